//! The small part of RFC 9110's grammar that the handshake's header fields use: tokens, optional
//! white space, comma-separated lists over several lines.
//!
//! Never knows what a field means, and never allocates.

use httparse::Header;

/// RFC 9110 §5.6.2: `tchar`.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 §5.6.2: `token = 1*tchar`.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// RFC 9110 §5.6.3: optional white space is spaces and tabs only.
pub(super) fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `bytes` without optional white space at either end.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_white_space(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_white_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// The trimmed values of every line of the field `name`, in order.
pub(super) fn lines<'h>(
    headers: &'h [Header<'h>],
    name: &'static str,
) -> impl Iterator<Item = &'h [u8]> + Clone {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| trim(header.value))
}

/// The trimmed elements of a comma-separated list that may span several lines of the field `name`
/// (RFC 9110 §5.3 and §5.6.1). Empty elements are included.
pub(super) fn elements<'h>(
    headers: &'h [Header<'h>],
    name: &'static str,
) -> impl Iterator<Item = &'h [u8]> + Clone {
    lines(headers, name).flat_map(|line| line.split(|&byte| byte == b',').map(trim))
}

/// The occurrences of a field that is allowed at most once.
pub(super) enum Single<'h> {
    /// No line has that name.
    Absent,
    /// Exactly one line; its trimmed value.
    Once(&'h [u8]),
    /// Two lines or more.
    Repeated,
}

/// Reads a field that is not a list.
pub(super) fn single<'h>(headers: &'h [Header<'h>], name: &'static str) -> Single<'h> {
    let mut found = lines(headers, name);
    match (found.next(), found.next()) {
        (None, _) => Single::Absent,
        (Some(value), None) => Single::Once(value),
        (Some(_), Some(_)) => Single::Repeated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9110 §5.6.2: every one of the 256 bytes, against the list in the RFC.
    #[test]
    fn a_token_has_no_delimiter_control_or_high_byte() {
        for byte in 0..=u8::MAX {
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            let expected = byte.is_ascii_graphic() && !delimiter;
            assert_eq!(is_token_byte(byte), expected, "byte {byte:#04x}");
        }
        assert!(!is_token(b""));
    }

    // RFC 9110 §5.3: lines of one name are one list.
    #[test]
    fn elements_join_lines_and_keep_empty_ones() {
        let headers = [
            Header { name: "Upgrade", value: b"a ,\tb" },
            Header { name: "Other", value: b"x" },
            Header { name: "upgrade", value: b",c " },
        ];
        let found: Vec<&[u8]> = elements(&headers, "Upgrade").collect();
        assert_eq!(found, [&b"a"[..], b"b", b"", b"c"]);
    }
}
