//! Which pages of other origins may use the gateway and read the answers: the Fetch Standard's CORS
//! protocol.
//!
//! The gateway uses neither cookies nor other browser credentials, so a page cannot act with a
//! user's.

use httparse::Header;
use ringway_http::head;

use crate::config::origins::Origins;

/// How long a browser may remember the answer to a preflight, in seconds: Chromium's maximum.
const PREFLIGHT_SECONDS_MAX: u32 = 7200;

/// The header fields that a page may send if its preflight names none, or none that are valid.
const USUAL_FIELDS: &str = "content-type, last-event-id";

/// The most field names in the answer to one preflight.
const REQUESTED_FIELDS_MAX: usize = 32;

/// The most bytes of these names.
const REQUESTED_BYTES_MAX: usize = 1024;

/// The CORS header lines of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cors {
    /// No page of another origin may read it.
    #[default]
    Silent,
    /// Pages of any origin may read it.
    Anyone,
    /// This request's origin may not read it, although others may.
    Varying,
    /// This origin may read it.
    Origin(Box<str>),
}

impl Cors {
    /// The header lines of the answer to a request with these fields.
    pub fn of(origins: &Origins, fields: &[Header<'_>]) -> Self {
        match origins {
            Origins::Any => return Self::Anyone,
            Origins::Listed(listed) if listed.is_empty() => return Self::Silent,
            Origins::Listed(_) => {}
        }
        let mut given = head::values(fields, "Origin");
        let (Some(origin), None) = (given.next(), given.next()) else { return Self::Varying };
        match str::from_utf8(origin) {
            Ok(origin) if origins.list(origin) => Self::Origin(origin.into()),
            _ => Self::Varying,
        }
    }

    /// The header lines of an answer to a request whose fields were not read. The answer contains
    /// nothing about a client; so if pages of some origins are allowed, pages of any origin may
    /// read it.
    pub fn unread(origins: &Origins) -> Self {
        match origins {
            Origins::Listed(listed) if listed.is_empty() => Self::Silent,
            _ => Self::Anyone,
        }
    }

    /// Appends the header lines.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Silent => {}
            Self::Anyone => out.extend_from_slice(b"Access-Control-Allow-Origin: *\r\n"),
            // Fetch §3.3.5: a cache must not show one origin the answer to another.
            Self::Varying => out.extend_from_slice(b"Vary: Origin\r\n"),
            Self::Origin(origin) => {
                out.extend_from_slice(b"Access-Control-Allow-Origin: ");
                out.extend_from_slice(origin.as_bytes());
                out.extend_from_slice(b"\r\nVary: Origin\r\n");
            }
        }
    }

    /// The additional header lines of the answer to a preflight for `method`.
    ///
    /// The page decides which fields it sends: the gateway reads few fields, and trusts none. So
    /// the answer allows the fields that were asked for (clients add `cache-control` and others),
    /// within bounds.
    pub fn preflight(&self, method: &str, fields: &[Header<'_>]) -> String {
        match self {
            Self::Silent | Self::Varying => String::new(),
            Self::Anyone | Self::Origin(_) => format!(
                "Access-Control-Allow-Methods: {method}\r\n\
                 Access-Control-Allow-Headers: {}\r\n\
                 Access-Control-Max-Age: {PREFLIGHT_SECONDS_MAX}\r\n",
                requested(fields).unwrap_or_else(|| USUAL_FIELDS.to_owned())
            ),
        }
    }
}

/// Fetch §3.3.4: the field names that a preflight asks for; `None` if there are none, too many, or
/// one is invalid (RFC 9110 §5.6.2).
fn requested(fields: &[Header<'_>]) -> Option<String> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let mut names = String::new();
    for (count, name) in head::elements(fields, "Access-Control-Request-Headers").enumerate() {
        let is_within =
            count < REQUESTED_FIELDS_MAX && names.len() + name.len() < REQUESTED_BYTES_MAX;
        if !is_within || !name.iter().all(is_letter) {
            return None;
        }
        if count > 0 {
            names.push_str(", ");
        }
        names.push_str(str::from_utf8(name).ok()?);
    }
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_preflight_is_granted_its_requested_headers_within_bounds() {
        let answer = |values: &[&str]| {
            let name = "access-control-request-headers";
            let fields: Vec<_> =
                values.iter().map(|value| Header { name, value: value.as_bytes() }).collect();
            let text = Cors::Anyone.preflight("GET", &fields);
            let (_, rest) = text.split_once("Access-Control-Allow-Headers: ").unwrap();
            rest.split_once("\r\n").unwrap().0.to_owned()
        };
        let many = vec!["x"; 33].join(",");
        let long = "x".repeat(1025);
        for (values, wanted) in [
            (&[][..], USUAL_FIELDS),
            (&["cache-control"], "cache-control"),
            (&["Cache-Control,last-event-id", "x-a"], "Cache-Control, last-event-id, x-a"),
            (&[" , "], USUAL_FIELDS),
            (&["a b"], USUAL_FIELDS),
            (&["a\r\nSet-Cookie: b"], USUAL_FIELDS),
            (&["\u{e4}"], USUAL_FIELDS),
            (&[&many], USUAL_FIELDS),
            (&[&long], USUAL_FIELDS),
        ] {
            assert_eq!(answer(values), wanted, "{values:?}");
        }
        assert_eq!(Cors::Silent.preflight("GET", &[]), "");
    }

    #[test]
    fn only_allowed_pages_may_embed_the_iframe() {
        let listed = Origins::parse(["https://a", "https://b:1"]).unwrap();
        assert_eq!(listed.ancestors(), "'self' https://a https://b:1");
        assert_eq!(Origins::default().ancestors(), "'self'");
        assert_eq!(Origins::Any.ancestors(), "*");
        let unread = [&listed, &Origins::default()].map(Cors::unread);
        assert_eq!(unread, [Cors::Anyone, Cors::Silent]);
    }

    use super::*;

    fn judge(entries: &[&str], origins: &[&'static str]) -> String {
        let field = |origin: &&'static str| Header { name: "ORIGIN", value: origin.as_bytes() };
        let fields: Vec<_> = origins.iter().map(field).collect();
        let mut out = Vec::new();
        Cors::of(&Origins::parse(entries.iter().copied()).unwrap(), &fields).emit(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_allowed_origins_get_permission_to_read() {
        const A: &str = "Access-Control-Allow-Origin: https://a\r\nVary: Origin\r\n";
        const VARY: &str = "Vary: Origin\r\n";
        for (entries, origins, wanted) in [
            (&[][..], &["https://a"][..], ""),
            (&[], &[], ""),
            (&["*"], &[], "Access-Control-Allow-Origin: *\r\n"),
            (&["https://a", "*"], &["null"], "Access-Control-Allow-Origin: *\r\n"),
            (&["https://a"], &["https://a"], A),
            (&["http://b", "https://a"], &["https://a"], A),
            (&["https://a"], &[], VARY),
            (&["https://a"], &["http://a"], VARY),
            (&["https://a"], &["https://a.b"], VARY),
            (&["https://a"], &["https://a:8443"], VARY),
            (&["https://a"], &["https://A"], VARY),
            (&["https://a"], &["null"], VARY),
            (&["https://a"], &["https://a", "https://a"], VARY),
            (&["https://a"], &["https://a https://a"], VARY),
        ] {
            assert_eq!(judge(entries, origins), wanted, "{entries:?} {origins:?}");
        }
    }

    #[test]
    fn origins_that_no_browser_sends_are_faults() {
        for entry in [
            "",
            "a",
            "null",
            "https://",
            "://a",
            "https://a/",
            "https://a?b",
            "https://A",
            "HTTPS://a",
            "https://a b",
            "https://*.*.a",
            "https://a\r\nX: y",
            "https://u@a",
            "http://a:80",
            "https://a:443",
            "https://ä",
        ] {
            let fault = Origins::parse(["https://b", entry]).unwrap_err();
            assert_eq!(fault.entry, entry);
            assert!(fault.to_string().starts_with(&format!("{entry:?} is not an origin")));
        }
        for entry in
            ["http://localhost:3000", "https://a-1.b.example", "http://[::1]:8043", "app+x://a_b"]
        {
            assert!(Origins::parse([entry]).is_ok(), "{entry}");
        }
    }
}
