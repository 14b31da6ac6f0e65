//! The address of a server: a URL, parsed and resolved.
//!
//! It never connects.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
};

use anyhow::{Context, Result, bail, ensure};
use url::Url;

/// The layer between the socket and the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// None, for `ws` and `http`.
    Plain,
    /// TLS, for `wss` and `https`.
    Tls,
}

/// A server's URL, resolved once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: String,
    security: Security,
    host: String,
    authority: String,
    path: String,
    addresses: Vec<SocketAddr>,
}

/// A host without a known address: the command line may be right, and the network at fault.
#[derive(Debug)]
pub struct Unresolved(String);

impl std::error::Error for Unresolved {}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` cannot be resolved", self.0)
    }
}

impl Target {
    /// Parses and resolves a URL such as `ws://127.0.0.1:8080/echo`.
    ///
    /// # Errors
    /// The URL is invalid, or its host has no address; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Self> {
        let url = Url::parse(text).with_context(|| {
            format!("`{text}` is not a URL; write one such as ws://127.0.0.1:8080/echo")
        })?;
        let (security, usual_port) = match url.scheme() {
            "ws" | "http" => (Security::Plain, 80),
            "wss" | "https" => (Security::Tls, 443),
            other => bail!("`{text}` begins with {other}:; it may be ws, wss, http or https"),
        };
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "`{text}` has a user in it; send one with --header 'Authorization: …'"
        );
        let host = url.host_str().with_context(|| format!("`{text}` has no host"))?;
        let port = url.port().unwrap_or(usual_port);
        // RFC 9110 §7.2: the scheme's default port is left out.
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in
            (bare, port).to_socket_addrs().with_context(|| Unresolved(host.to_owned()))?
        {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        ensure!(!addresses.is_empty(), Unresolved(host.to_owned()));
        let (url, host) = (text.to_owned(), bare.to_owned());
        Ok(Self { url, security, host, authority, path, addresses })
    }

    /// Keeps only the addresses of the same family as `source`, if there are any.
    #[must_use]
    pub fn reached_from(mut self, source: IpAddr) -> Self {
        if self.addresses.iter().any(|one| one.is_ipv4() == source.is_ipv4()) {
            self.addresses.retain(|one| one.is_ipv4() == source.is_ipv4());
        }
        self
    }

    /// The same server with other addresses.
    #[must_use]
    pub fn at(self, addresses: Vec<SocketAddr>) -> Self {
        Self { addresses, ..self }
    }

    /// The URL that was parsed.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the server uses TLS.
    pub fn security(&self) -> Security {
        self.security
    }

    /// The host without a port, as in certificates.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Host and port, as in the `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The addresses of the server: at least one, in the order in which to try them.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parsed() {
        let target = Target::parse("ws://127.0.0.1:8080/a/b?c=d#e").unwrap();
        assert_eq!((target.authority(), target.path()), ("127.0.0.1:8080", "/a/b?c=d"));
        assert_eq!(target.addresses(), ["127.0.0.1:8080".parse().unwrap()]);
        let target = Target::parse("wss://[::1]").unwrap();
        assert_eq!((target.host(), target.authority(), target.path()), ("::1", "[::1]", "/"));
        assert_eq!((target.security(), target.addresses()[0].port()), (Security::Tls, 443));
    }

    #[test]
    fn an_invalid_url_is_explained() {
        for (text, why) in [
            ("127.0.0.1:8080", "ws://"),
            ("ftp://127.0.0.1", "it may be ws"),
            ("ws://", "ws://"),
            ("ws://ann:secret@127.0.0.1/", "--header"),
        ] {
            let said = format!("{:#}", Target::parse(text).unwrap_err());
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
