//! The address of a server behind the gateway, as the operator writes it: `ws://10.0.0.5:9000`.

use std::{fmt, net::SocketAddr};

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `ws`
    Plain,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Where it listens.
    pub address: SocketAddr,
}

impl UpstreamUrl {
    /// Parses a URL without a path; `None` if it is not one.
    ///
    /// ```
    /// use ringway::config::upstream_url::UpstreamUrl;
    /// assert!(UpstreamUrl::parse("ws://127.0.0.1:9000").is_some());
    /// assert!(UpstreamUrl::parse("127.0.0.1:9000").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let address = text.strip_prefix("ws://")?.parse().ok()?;
        Some(Self { scheme: Scheme::Plain, address })
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Scheme::Plain => write!(f, "ws://{}", self.address),
        }
    }
}
