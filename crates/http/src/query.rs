//! Parses the query of a request target: `application/x-www-form-urlencoded`, as `URLSearchParams`
//! writes it.
//!
//! A part that does not decode to UTF-8 is an error here and is never replaced, because two
//! different names must not become the same.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// A name or a value does not decode to UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUtf8;

/// A parameter's name and its value.
pub type Pair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// The parameters in order; a parameter without `=` has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = Result<Pair<'_>, NotUtf8>> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Ok((decode(name)?, decode(value)?))
    })
}

/// URL Standard §5.1: a `+` is a space, and a `%` without two hex digits after it stands for
/// itself.
fn decode(text: &str) -> Result<Cow<'_, str>, NotUtf8> {
    if !text.contains('+') {
        return percent_decode(text.as_bytes()).decode_utf8().map_err(|_| NotUtf8);
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8().map_err(|_| NotUtf8)?;
    Ok(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Vec<(String, String)>, NotUtf8> {
        let owned = |(name, value): Pair<'_>| (name.into_owned(), value.into_owned());
        pairs(query).map(|pair| pair.map(owned)).collect()
    }

    #[test]
    fn queries_are_parsed() {
        for (query, wanted) in [
            ("", &[][..]),
            ("&&", &[]),
            ("a=b&c=d", &[("a", "b"), ("c", "d")]),
            ("a", &[("a", "")]),
            ("a=&=b", &[("a", ""), ("", "b")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=b&a=c&", &[("a", "b"), ("a", "c")]),
            ("%61=%26%3D%2B%25", &[("a", "&=+%")]),
            ("a=b+c+%2b", &[("a", "b c +")]),
            ("a=%C3%A4%e2%82%ac", &[("a", "ä€")]),
            ("a=ä", &[("a", "ä")]),
            ("a=%&b=%4&c=%zz", &[("a", "%"), ("b", "%4"), ("c", "%zz")]),
            ("a=%00", &[("a", "\0")]),
            ("a=b?c", &[("a", "b?c")]),
        ] {
            let got = parse(query).unwrap();
            let got: Vec<_> = got.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(got, wanted, "{query:?}");
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_a_fault() {
        for query in ["a=%ff", "%c3=a", "a=%c3%28", "a=+%c3", "a=%ed%a0%80", "a=b&c=%f5%80%80%80"] {
            assert_eq!(parse(query), Err(NotUtf8), "{query:?}");
        }
    }
}
