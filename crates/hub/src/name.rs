//! The names that clients, topics, events and commands may have. Never decides who may use a name.

use std::sync::Arc;

/// A client's name, shared by the directory and the cores.
pub type Name = Arc<str>;

/// The longest name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameFault {
    /// It has no bytes.
    Empty,
    /// It has more than [`NAME_BYTES_MAX`] bytes.
    TooLong,
    /// It holds a control character (Unicode category Cc). Names appear in lines of text: in
    /// Server-Sent Events, in lists, in logs.
    ControlCharacter,
    /// It begins with `@` or `$`, which are reserved for the gateway's own names.
    Reserved,
    /// One of its dot-separated levels is `*` or `>`, the wildcards.
    Wildcard,
}

impl NameFault {
    /// The fault, phrased to follow what the text was to name.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 128 bytes",
            Self::ControlCharacter => "has a control character in it",
            Self::Reserved => "begins with @ or $, which are reserved",
            Self::Wildcard => "has a wildcard in it (* or > between dots): name each one by itself",
        }
    }
}

/// Whether a client, a topic or an event may have this name.
///
/// ```
/// use ringway_hub::name::{self, NameFault};
/// assert_eq!(name::check("räume/7"), Ok(()));
/// assert_eq!(name::check("a\nb"), Err(NameFault::ControlCharacter));
/// assert_eq!(name::check("$system"), Err(NameFault::Reserved));
/// assert_eq!(name::check("news.*"), Err(NameFault::Wildcard));
/// ```
///
/// # Errors
/// The first rule that the name breaks.
pub fn check(name: &str) -> Result<(), NameFault> {
    check_id(name)?;
    if name.starts_with(['@', '$']) {
        Err(NameFault::Reserved)
    } else if name.split('.').any(|level| matches!(level, "*" | ">")) {
        Err(NameFault::Wildcard)
    } else {
        Ok(())
    }
}

/// Whether a command may have this id. Nothing is addressed by it, so no character is reserved.
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_id(name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        Err(NameFault::Empty)
    } else if name.len() > NAME_BYTES_MAX {
        Err(NameFault::TooLong)
    } else if name.chars().any(char::is_control) {
        Err(NameFault::ControlCharacter)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_128_bytes_and_no_control_characters() {
        assert_eq!(check(""), Err(NameFault::Empty));
        assert_eq!(check("a"), Ok(()));
        assert_eq!(check(&"a".repeat(128)), Ok(()));
        assert_eq!(check(&"a".repeat(129)), Err(NameFault::TooLong));
        assert_eq!(check(&"é".repeat(64)), Ok(()));
        assert_eq!(check(&"é".repeat(65)), Err(NameFault::TooLong));
        for control in ["\0", "a\tb", "a\n", "\r", "\u{7f}", "\u{85}", "\u{9f}"] {
            assert_eq!(check(control), Err(NameFault::ControlCharacter), "{control:?}");
        }
        for plain in [
            " ", "a b", "/", "a*", "*a.b>", "a@b", "a.$b", "<&>", "名前", "👍", "\u{a0}",
            "\u{2028}",
        ] {
            assert_eq!(check(plain), Ok(()), "{plain:?}");
        }
    }

    #[test]
    fn the_characters_of_wildcards_and_of_the_gateway_are_reserved() {
        for reserved in ["@", "@ann", "$", "$SYS.load", "$*"] {
            assert_eq!(check(reserved), Err(NameFault::Reserved), "{reserved}");
        }
        for wildcard in ["*", ">", "news.*", "*.news", "news.>", "a.*.b"] {
            assert_eq!(check(wildcard), Err(NameFault::Wildcard), "{wildcard}");
        }
        for id in ["@1", "$1", "*", "a.>"] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn the_bound_is_the_one_in_the_message() {
        assert!(NameFault::TooLong.reason().contains(&NAME_BYTES_MAX.to_string()));
    }
}
