//! The host names under which the private API may be requested.
//!
//! A web page can make its own name resolve to the gateway's address (DNS rebinding), and then
//! counts as a page of the gateway. Names that no such page can have are always allowed.

use std::net::IpAddr;

use httparse::Header;
use ringway_http::head;

/// Stands for every name.
const ANY: &str = "*";

/// The allowed names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiHosts(Box<[Box<str>]>);

/// Whether an operator may list this: a host name without a port, or `*`.
pub fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    text == ANY || (!text.is_empty() && text.bytes().all(inner))
}

impl ApiHosts {
    /// These names, in addition to those that are always allowed.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(|name| name.to_ascii_lowercase().into()).collect())
    }

    /// Whether a request with these fields may be answered. HTTP/1.0 needs no Host, and no browser
    /// uses it.
    pub fn allow(&self, fields: &[Header<'_>]) -> bool {
        let Some(host) = head::values(fields, "Host").next() else { return true };
        let Ok(host) = str::from_utf8(host) else { return false };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.to_ascii_lowercase();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = address.unwrap_or(&name).parse::<IpAddr>().is_ok();
        // RFC 6761 §6.3: nobody can register it. Other names without a dot may be answered by any
        // machine of a network (LLMNR, a search domain).
        let is_local = name == "localhost" || name.ends_with(".localhost");
        let is_listed = self.0.iter().any(|known| **known == *name || **known == *ANY);
        is_address || is_local || is_listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_that_a_page_could_use_must_be_listed() {
        let listed = ApiHosts::new(["Ringway.Internal"]);
        for (host, is_allowed) in [
            ("127.0.0.1:8081", true),
            ("10.1.2.3", true),
            ("[::1]:8081", true),
            ("localhost:8081", true),
            ("LOCALHOST", true),
            ("api.localhost", true),
            ("ringway:8081", false),
            ("a:8081", false),
            ("ringway.internal:8081", true),
            ("evil.example:8081", false),
            ("evil.example", false),
            ("ringway.internal.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("evil.example.", false),
            ("", false),
            ("a b", false),
        ] {
            let fields = [Header { name: "host", value: host.as_bytes() }];
            assert_eq!(listed.allow(&fields), is_allowed, "{host}");
        }
        assert!(listed.allow(&[]));
        let any = ApiHosts::new(["*"]);
        assert!(any.allow(&[Header { name: "host", value: b"evil.example" }]));
        assert!(is_name("a-b.c_d") && !is_name("a:80") && !is_name("") && !is_name("http://a"));
    }
}
