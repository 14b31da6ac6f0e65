//! The fields that concern one connection only, and those that only the gateway may write. Both
//! sides of a proxied message drop them.

use httparse::Header;
use ringway_http::head;

/// RFC 9110 §7.6.1: fields that no proxy passes on, whether or not `Connection` names them.
const ALWAYS: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    // RFC 9110 §11.7: they are for the next proxy, which is this one.
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "http2-settings",
];

/// Whether a field goes no further than this connection. `options` has the elements of
/// `Connection`.
pub fn ends_here<'o>(name: &[u8], mut options: impl Iterator<Item = &'o [u8]>) -> bool {
    ALWAYS.iter().any(|always| name.eq_ignore_ascii_case(always.as_bytes()))
        || options.any(|option| name.eq_ignore_ascii_case(option))
}

/// The elements of `Connection`.
pub fn options<'f>(fields: &'f [Header<'_>]) -> impl Iterator<Item = &'f [u8]> {
    head::elements(fields, "Connection")
}

/// Whether a list field has this element.
pub fn lists(fields: &[Header<'_>], name: &'static str, element: &str) -> bool {
    head::elements(fields, name).any(|one| one.eq_ignore_ascii_case(element.as_bytes()))
}

/// Whether two names are the same to a server that turns them into variables: CGI and WSGI make no
/// difference between `-` and `_`.
pub fn is_same_variable(name: &[u8], lower: &str) -> bool {
    name.len() == lower.len() && starts_like(name, lower)
}

/// As [`is_same_variable`], for the beginning of a name.
pub fn starts_like(name: &[u8], lower: &str) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() >= lower.len() && name.iter().map(fold).zip(lower.bytes()).all(|(a, b)| a == b)
}
