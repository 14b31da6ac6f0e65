//! Whether a request comes from a page of another site, according to the browser's header fields.
//!
//! Programs that are not browsers send neither of these fields, and are not judged here. This is no
//! authentication: it keeps pages from acting through the browsers of their visitors.

use httparse::Header;
use ringway_http::head;

use crate::config::origins::Origins;

/// The origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site<'f> {
    /// Not from a page, or from a page of the gateway's own origin.
    Own,
    /// From a page of this origin.
    Origin(&'f [u8]),
    /// From a page of another site whose origin the browser does not name.
    Unnamed,
}

/// The origin of a request with these fields.
pub fn of<'f>(fields: &'f [Header<'_>]) -> Site<'f> {
    let mut origins = head::values(fields, "Origin");
    match (origins.next(), origins.next()) {
        (Some(origin), None) if is_of_host(origin, head::values(fields, "Host").next()) => {
            Site::Own
        }
        (Some(origin), None) => Site::Origin(origin),
        (Some(_), Some(_)) => Site::Unnamed,
        // Fetch Metadata §2.4: images, scripts and frames are requested without an Origin.
        (None, _) => match head::values(fields, "Sec-Fetch-Site").next() {
            Some(b"cross-site" | b"same-site") => Site::Unnamed,
            _ => Site::Own,
        },
    }
}

/// Whether the request comes from no page, or from a page that may use the gateway.
pub fn admits(origins: &Origins, fields: &[Header<'_>]) -> bool {
    match (of(fields), origins) {
        (Site::Own, _) | (_, Origins::Any) => true,
        (Site::Unnamed, Origins::Listed(_)) => false,
        (Site::Origin(origin), origins) => {
            str::from_utf8(origin).is_ok_and(|origin| origins.list(origin))
        }
    }
}

/// Whether the page is the gateway's own: its host and port are those that the request was sent to.
///
/// The scheme is not compared: TLS may end in front of the gateway.
fn is_of_host(origin: &[u8], host: Option<&[u8]>) -> bool {
    let Some(host) = host else { return false };
    [(&b"http://"[..], &b":80"[..]), (b"https://", b":443")].iter().any(|(scheme, port)| {
        let own = |text: &'_ [u8]| text.strip_suffix(*port).unwrap_or(text).to_ascii_lowercase();
        origin.strip_prefix(*scheme).is_some_and(|authority| own(authority) == own(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site<'f>(fields: &'f [Header<'f>]) -> Site<'f> {
        of(fields)
    }

    #[test]
    fn a_site_is_a_host_and_a_port() {
        for (origin, host, is_own) in [
            ("http://a", "a", true),
            ("https://a", "A:443", true),
            ("https://a", "a", true),
            ("http://a", "a:80", true),
            ("http://a:8080", "a:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://a", "a:8080", false),
            ("http://a:8080", "a", false),
            ("https://a", "a:80", false),
            ("http://a.b", "a", false),
            ("http://a", "a.b", false),
            ("null", "null", false),
            ("", "", false),
            ("a", "a", false),
            ("ftp://a", "a", false),
        ] {
            let fields = [
                Header { name: "origin", value: origin.as_bytes() },
                Header { name: "host", value: host.as_bytes() },
            ];
            assert_eq!(site(&fields) == Site::Own, is_own, "{origin} {host}");
        }
    }

    #[test]
    fn a_request_that_names_no_site_is_still_cross_site() {
        let field = |name, value| Header { name, value };
        for (fields, wanted) in [
            (&[][..], Site::Own),
            (&[field("Sec-Fetch-Site", b"same-origin")], Site::Own),
            (&[field("Sec-Fetch-Site", b"none")], Site::Own),
            (&[field("Sec-Fetch-Site", b"cross-site")], Site::Unnamed),
            (&[field("Sec-Fetch-Site", b"same-site")], Site::Unnamed),
            (&[field("Origin", b"http://a"), field("Origin", b"http://a")], Site::Unnamed),
            (&[field("Origin", b"http://b"), field("Host", b"a")], Site::Origin(b"http://b")),
            (&[field("Origin", b"http://b")], Site::Origin(b"http://b")),
        ] {
            assert_eq!(site(fields), wanted, "{fields:?}");
        }
    }
}
