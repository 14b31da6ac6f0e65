//! The address of a server behind the gateway, as the operator writes it: `ws://10.0.0.5:9000`.

use std::{fmt, net::SocketAddr};

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `ws`: for WebSockets.
    Plain,
    /// `wss`: for WebSockets, over TLS.
    Tls,
    /// `http`: for all requests.
    Http,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its part of the requests.
    pub weight: u32,
}

/// The most that a weight may be.
const WEIGHT_MAX: u32 = 1000;

impl UpstreamUrl {
    /// Parses a URL without a path; `None` if it is not one.
    ///
    /// ```
    /// use ringway::config::upstream_url::UpstreamUrl;
    /// assert!(UpstreamUrl::parse("ws://127.0.0.1:9000").is_some());
    /// assert!(UpstreamUrl::parse("127.0.0.1:9000").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let (url, weight) = match text.split_once(' ') {
            Some((url, weight)) => {
                (url, weight.trim_start().strip_prefix("weight=")?.parse().ok()?)
            }
            None => (text, 1),
        };
        let (scheme, address) = match url.split_once("://")? {
            ("ws", address) => (Scheme::Plain, address),
            ("wss", address) => (Scheme::Tls, address),
            ("http", address) => (Scheme::Http, address),
            _ => return None,
        };
        let address = address.parse().ok()?;
        (1..=WEIGHT_MAX).contains(&weight).then_some(Self { scheme, address, weight })
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "ws",
            Scheme::Tls => "wss",
            Scheme::Http => "http",
        };
        write!(f, "{scheme}://{}", self.address)?;
        if self.weight != 1 {
            write!(f, " weight={}", self.weight)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_it_is_written() {
        for text in [
            "wss://127.0.0.1:9000",
            "ws://127.0.0.1:9000",
            "http://[::1]:80",
            "http://10.0.0.1:9000 weight=1000",
        ] {
            assert_eq!(UpstreamUrl::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "127.0.0.1:9000",
            "http://127.0.0.1",
            "http://127.0.0.1:9000/",
            "http://127.0.0.1:9000/path",
            "http://user@127.0.0.1:9000",
            "HTTP://127.0.0.1:9000",
            "ftp://127.0.0.1:9000",
            "http://127.0.0.1:9000 weight=0",
            "http://127.0.0.1:9000 weight=1001",
            "http://127.0.0.1:9000 weight=-1",
            "http://127.0.0.1:9000 load=1",
        ] {
            assert_eq!(UpstreamUrl::parse(text), None, "{text}");
        }
    }
}
