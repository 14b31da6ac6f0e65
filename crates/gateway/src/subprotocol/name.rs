//! Which texts name something: a client, a topic, an event, a command.
//!
//! It never knows what is named.

/// The longest name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// It has nothing in it.
    Empty,
    /// It has more than [`NAME_BYTES_MAX`] bytes.
    TooLong,
    /// Names stand in lines of text: in server-sent events, in lists, in logs.
    ControlCharacter,
}

impl NameFault {
    /// What is wrong, to follow the name of the field.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 128 bytes",
            Self::ControlCharacter => "has a control character in it",
        }
    }
}

/// Whether `text` may name something.
///
/// ```
/// use ringway::subprotocol::name::{NameFault, check};
/// assert_eq!(check("news/Zürich"), Ok(()));
/// assert_eq!(check("two\nlines"), Err(NameFault::ControlCharacter));
/// ```
pub fn check(text: &str) -> Result<(), NameFault> {
    match text.len() {
        0 => Err(NameFault::Empty),
        1..=NAME_BYTES_MAX if text.chars().any(char::is_control) => {
            Err(NameFault::ControlCharacter)
        }
        1..=NAME_BYTES_MAX => Ok(()),
        _ => Err(NameFault::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_in_bytes_and_stand_on_one_line() {
        let longest = "é".repeat(64);
        for name in ["a", " ", "a b", "*", "<&>", "\u{2028}", "👍", &longest] {
            assert_eq!(check(name), Ok(()), "{name:?}");
        }
        assert_eq!(check(""), Err(NameFault::Empty));
        assert_eq!(check(&(longest + "é")), Err(NameFault::TooLong));
        for name in ["\0", "a\n", "a\r", "\t", "\u{1f}", "\u{7f}", "\u{85}"] {
            assert_eq!(check(name), Err(NameFault::ControlCharacter), "{name:?}");
        }
    }

    #[test]
    fn the_bound_is_the_one_that_is_named() {
        assert!(NameFault::TooLong.reason().contains(&NAME_BYTES_MAX.to_string()));
    }
}
