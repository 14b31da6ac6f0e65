//! The origins whose pages may use the gateway: the operator's list.

use std::{error, fmt};

pub use super::page_origin::{is_host, is_origin};

/// The origins whose pages may use the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every origin.
    Any,
    /// These origins, and the subdomains of entries such as `https://*.example.com`.
    Listed(Vec<Box<str>>),
}

/// Stands for one or more labels of a host name in an entry.
const SUBDOMAINS: &str = "://*.";

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
             case, without a path and without the port that the scheme has by default; a host may \
             begin with \"*.\", which stands for all its subdomains",
            self.entry
        )
    }
}

impl error::Error for OriginFault {}

impl Origins {
    /// The origins of a list, in which `*` stands for all, and `*.` at the beginning of a host for
    /// all its subdomains (but not for the host itself).
    ///
    /// # Errors
    /// The first entry that is not as a browser writes it (RFC 6454 §6.2).
    ///
    /// ```
    /// use ringway::config::origins::Origins;
    /// assert!(Origins::parse(["https://shop.example"]).is_ok());
    /// assert!(Origins::parse(["https://shop.example/"]).is_err());
    /// let subdomains = Origins::parse(["https://*.shop.example"]).unwrap();
    /// assert!(subdomains.list("https://eu.shop.example"));
    /// assert!(!subdomains.list("https://shop.example"));
    /// ```
    pub fn parse<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, OriginFault> {
        let mut listed = Vec::new();
        let mut any = None;
        for entry in entries {
            match entry {
                "*" => any = Some(Self::Any),
                _ if is_entry(entry) => listed.push(entry.into()),
                _ => return Err(OriginFault { entry: entry.to_owned() }),
            }
        }
        Ok(any.unwrap_or(Self::Listed(listed)))
    }

    /// Whether pages of this origin may use the gateway.
    pub fn list(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|entry| includes(entry, origin)),
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

fn is_entry(entry: &str) -> bool {
    match entry.split_once(SUBDOMAINS) {
        // An address has no subdomains.
        Some((scheme, parent)) => {
            !parent.starts_with('[') && is_origin(&format!("{scheme}://{parent}"))
        }
        None => is_origin(entry),
    }
}

/// Whether an entry is this origin, or stands for it.
fn includes(entry: &str, origin: &str) -> bool {
    let Some((scheme, parent)) = entry.split_once(SUBDOMAINS) else { return entry == origin };
    let labels = origin
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"))
        .and_then(|rest| rest.strip_suffix(parent))
        .and_then(|rest| rest.strip_suffix('.'));
    labels.is_some_and(|labels| is_host(labels) && !labels.starts_with(['[', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_the_subdomains_of_one_host() {
        let origins = Origins::parse(["https://*.example.com", "http://*.b.test:8080"]).unwrap();
        for (origin, is_listed) in [
            ("https://a.example.com", true),
            ("https://a.b.example.com", true),
            ("http://a.b.test:8080", true),
            ("https://example.com", false),
            ("https://.example.com", false),
            ("https://badexample.com", false),
            ("http://a.example.com", false),
            ("https://a.example.com:8443", false),
            ("https://a.example.com.evil.test", false),
            ("https://evil.test/.example.com", false),
            ("https://evil.test:1.example.com", false),
            ("https://user@.example.com", false),
            ("https://user@a.example.com", false),
            ("https://A.example.com", false),
            ("https://*.example.com", false),
            ("http://a.b.test", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(origins.list(origin), is_listed, "{origin}");
        }
    }

    #[test]
    fn wildcards_elsewhere_are_refused() {
        for entry in [
            "*.example.com",
            "https://*",
            "https://*.",
            "https://a.*.example.com",
            "https://*.*.example.com",
            "https://*a.example.com",
            "https://*.[::1]",
            "*://a.example.com",
        ] {
            assert!(Origins::parse([entry]).is_err(), "{entry}");
        }
    }

    #[test]
    fn a_content_security_policy_has_the_same_wildcard() {
        let origins = Origins::parse(["https://*.example.com"]).unwrap();
        assert_eq!(origins.ancestors(), "'self' https://*.example.com");
    }
}
