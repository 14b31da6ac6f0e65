//! The methods of each kind of route, for a 405.

/// The methods that a route allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// The methods of a page.
    Page,
    /// The methods of a route that streams events.
    Events,
    /// The methods of a route that only accepts data.
    Send,
    /// The methods of requests that other servers answer.
    Proxied,
}

impl Methods {
    /// The `Allow` header line.
    pub fn allow(self) -> &'static str {
        match self {
            Self::Page => "Allow: GET, HEAD\r\n",
            Self::Events => "Allow: GET, HEAD, OPTIONS\r\n",
            Self::Send => "Allow: POST, OPTIONS\r\n",
            Self::Proxied => "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
        }
    }
}
