//! The origins whose pages may use the gateway: the operator's list.

use std::{error, fmt};

pub use super::page_origin::is_origin;

/// The origins whose pages may use the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every origin.
    Any,
    /// These origins.
    Listed(Vec<Box<str>>),
}

/// Only the gateway's own origin.
impl Default for Origins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

/// A configured entry that no browser would ever send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginFault {
    /// The entry.
    pub entry: String,
}

impl fmt::Display for OriginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an origin: write \"*\", or scheme://host or scheme://host:port in lower \
             case, without a path and without the port that the scheme has by default",
            self.entry
        )
    }
}

impl error::Error for OriginFault {}

impl Origins {
    /// The origins of a list, in which `*` stands for all.
    ///
    /// # Errors
    /// The first entry that is not as a browser writes it (RFC 6454 §6.2).
    ///
    /// ```
    /// use ringway::config::origins::Origins;
    /// assert!(Origins::parse(["https://shop.example"]).is_ok());
    /// assert!(Origins::parse(["https://shop.example/"]).is_err());
    /// ```
    pub fn parse<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, OriginFault> {
        let mut listed = Vec::new();
        let mut any = None;
        for entry in entries {
            match entry {
                "*" => any = Some(Self::Any),
                _ if is_origin(entry) => listed.push(entry.into()),
                _ => return Err(OriginFault { entry: entry.to_owned() }),
            }
        }
        Ok(any.unwrap_or(Self::Listed(listed)))
    }

    /// Whether pages of this origin may use the gateway.
    pub fn list(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|allowed| **allowed == *origin),
        }
    }

    /// The pages that may embed a frame: sources of `frame-ancestors` (CSP 3 §6.4.2).
    pub fn ancestors(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Listed(listed) => {
                listed.iter().fold("'self'".to_owned(), |sources, origin| sources + " " + origin)
            }
        }
    }
}
