//! Where a request may have a token: a field, the query, an offered subprotocol, a cookie.
//!
//! It finds the token and never reads it.

use httparse::Header;
use ringway_http::head;

use crate::{
    auth::{Secret, TokenPlace},
    refusal::TokenFault,
};

/// The beginning of an offered subprotocol that carries a token. It is never chosen, so a response
/// never repeats the token.
const SUBPROTOCOL_PREFIX: &[u8] = b"ringway.token.";

/// The token of a request with these fields, and with this one in its query. A browser sends a
/// cookie with every request, so a cookie counts only if there is no other token.
///
/// # Errors
/// RFC 6750 §2: a client gives its token in one way.
pub fn find(
    fields: &[Header<'_>],
    of_query: Option<Secret>,
    cookie: &str,
) -> Result<Option<(Secret, TokenPlace)>, TokenFault> {
    let of_fields = head::values(fields, "Authorization").filter_map(bearer);
    let offered = head::values(fields, "Sec-WebSocket-Protocol");
    let of_subprotocols = offered
        .flat_map(|line| line.split(|byte| *byte == b','))
        .filter_map(|name| name.trim_ascii().strip_prefix(SUBPROTOCOL_PREFIX));
    let found = |token: &[u8], place| (Secret::new(token), place);
    let mut tokens = of_fields
        .map(|token| found(token, TokenPlace::Authorization))
        .chain(of_query.map(|token| (token, TokenPlace::Query)))
        .chain(of_subprotocols.map(|token| found(token, TokenPlace::Subprotocol)));
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => return Ok(Some(token)),
        (Some(_), Some(_)) => return Err(TokenFault::Several),
        (None, _) if cookie.is_empty() => return Ok(None),
        (None, _) => {}
    }
    let mut cookies = head::values(fields, "Cookie").flat_map(|line| of_cookies(line, cookie));
    match (cookies.next(), cookies.next()) {
        (token, None) => Ok(token.map(|token| found(token, TokenPlace::Cookie))),
        (_, Some(_)) => Err(TokenFault::Several),
    }
}

/// The token of a field Authorization. RFC 6750 §2.1; RFC 9110 §11.1: the scheme is
/// case-insensitive.
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// RFC 6265 §4.2.1: the values of the cookies with this name.
fn of_cookies<'l>(line: &'l [u8], name: &str) -> impl Iterator<Item = &'l [u8]> {
    line.split(|byte| *byte == b';').filter_map(move |pair| {
        pair.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(
        fields: &[(&str, &str)],
        of_query: Option<&str>,
    ) -> Result<Option<(String, TokenPlace)>, TokenFault> {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        let of_query = of_query.map(|token| Secret::new(token.as_bytes()));
        let text = |(token, place): (Secret, TokenPlace)| {
            (String::from_utf8(token.expose().to_vec()).unwrap(), place)
        };
        find(&fields, of_query, "session").map(|token| token.map(text))
    }

    #[test]
    fn a_token_is_found_in_each_place() {
        use TokenPlace::*;
        for (name, value, wanted) in [
            ("Authorization", "Bearer a.b.c", Some(("a.b.c", Authorization))),
            ("authorization", "bEARER  a ", Some(("a", Authorization))),
            ("Authorization", "Bearer ", Some(("", Authorization))),
            ("Authorization", "Bearer", None),
            ("Authorization", "Basic YTpi", None),
            (
                "Sec-WebSocket-Protocol",
                "ringway.v1.json, ringway.token.a.b.c",
                Some(("a.b.c", Subprotocol)),
            ),
            ("Sec-WebSocket-Protocol", "ringway.v1.json", None),
            ("Cookie", "a=b; session=a.b.c; d=e", Some(("a.b.c", Cookie))),
            ("Cookie", "xsession=a; session2=b; session", None),
        ] {
            let wanted = wanted.map(|(token, place)| (token.to_owned(), place));
            assert_eq!(token(&[(name, value)], None), Ok(wanted), "{name}: {value}");
        }
        assert_eq!(token(&[], Some("a")), Ok(Some(("a".to_owned(), Query))));
        assert_eq!(token(&[], None), Ok(None));
        let fields = [Header { name: "Cookie", value: b"=a; session=b" }];
        assert_eq!(find(&fields, None, ""), Ok(None), "no cookie is read");
    }

    #[test]
    fn a_cookie_counts_last_and_two_others_are_one_too_many() {
        let bearer = ("Authorization", "Bearer a");
        let offered = ("Sec-WebSocket-Protocol", "ringway.token.a");
        let cookie = ("Cookie", "session=b");
        let found = token(&[cookie, bearer], None);
        assert_eq!(found, Ok(Some(("a".to_owned(), TokenPlace::Authorization))));
        for (fields, of_query) in [
            (&[bearer, bearer][..], None),
            (&[bearer, offered], None),
            (&[offered, offered], None),
            (&[bearer], Some("a")),
            (&[cookie, ("Cookie", "session=c")], None),
            (&[("Cookie", "session=b; session=c")], None),
        ] {
            assert_eq!(token(fields, of_query), Err(TokenFault::Several), "{fields:?}");
        }
    }
}
