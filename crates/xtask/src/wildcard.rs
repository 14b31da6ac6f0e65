//! Patterns in which one character stands for any text. They are no regular expressions: all other
//! characters stand for themselves.

/// Whether the whole of `text` matches `pattern`, in which `any` stands for any text.
pub fn matches(pattern: &str, any: char, text: &str) -> bool {
    let mut pieces = pattern.split(any);
    let Some(rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    // The earliest match of each inner piece leaves most text for the pieces after it.
    let mut rest = rest;
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_any_run_and_nothing_else() {
        for (pattern, text, expected) in [
            ("1.*", "1.1.1", true),
            ("1.*", "10.1.1", false),
            ("1.1.1", "1.1.1", true),
            ("1.1.1", "1.1.10", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*bc", "abc", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, '*', text), expected, "{pattern} {text}");
        }
    }
}
