//! The origin of a web page, as browsers write it in a request (RFC 6454 §6.2).
//!
//! It does not decide which pages are allowed.

use std::net::Ipv6Addr;

/// Whether a browser would write an origin this way: scheme, ASCII host, and the port unless it is
/// the scheme's default, all in lower case; no path, not even a slash.
pub fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        // A colon inside the brackets of an IPv6 address does not start a port.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    is_scheme(scheme) && is_host(host) && port.is_none_or(|port| is_port(port, scheme))
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    let inner = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.')
    };
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(inner)
}

/// Whether a browser would write a host this way: an ASCII name in lower case, or an IPv6 address
/// in brackets.
pub fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let parsed = address.parse::<Ipv6Addr>();
        return parsed.is_ok_and(|parsed| parsed.to_string() == address);
    }
    let inner = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
    };
    !text.is_empty() && text.bytes().all(inner)
}

fn is_port(text: &str, scheme: &str) -> bool {
    let is_own = matches!((scheme, text), ("http", "80") | ("https", "443"));
    let parsed = text.parse::<u16>();
    !is_own && parsed.is_ok_and(|port| port > 0 && port.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_accepted_as_browsers_write_it() {
        for good in [
            "https://example.org",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://[2001:db8::1]",
            "https://xn--bcher-kva.example:8443",
            "http://a_b.example:443",
            "https://a:80",
            "chrome-extension://abcdefghijklmnop",
            "capacitor://localhost",
        ] {
            assert!(is_origin(good), "{good}");
        }
    }

    #[test]
    fn other_forms_of_an_origin_are_refused() {
        for bad in [
            "",
            "*",
            "null",
            "example.org",
            "//example.org",
            "https://",
            "https://:443",
            "://example.org",
            "1a://b",
            "https://example.org/",
            "https://example.org/path",
            "https://example.org?a",
            "https://example.org#a",
            "https://user@example.org",
            "https://Example.org",
            "HTTPS://example.org",
            "https://*.example.org",
            "https://bücher.example",
            "https://a b",
            "https://a\r\nX: y",
            "https://a:",
            "https://a:443",
            "http://a:80",
            "https://a:0",
            "https://a:065",
            "https://a:65536",
            "https://a:+1",
            "https://a:b:1",
            "http://[::1",
            "http://::1",
            "http://[::01]",
            "http://[1.2.3.4]",
            "http://[]:1",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
