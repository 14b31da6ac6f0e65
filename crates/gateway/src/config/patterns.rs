//! Lists of name patterns, compiled once, that say which names a client may address.
//!
//! It knows names, but not the clients or their commands.

use ringway_hub::name::{self, NameFault};

/// At the end of a pattern, stands for any rest of a name.
const REST: char = '*';

/// A set of names: single names and prefixes. The default is empty.
///
/// The prefixes are sorted and none begins with another one. So only the last prefix that does not
/// come after a name can be a prefix of that name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    names: Box<[Box<str>]>,
    prefixes: Box<[Box<str>]>,
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternFault {
    /// A `*` that is not at the end.
    Star,
    /// The text, without a `*` at its end, is not a valid name.
    Name(NameFault),
}

impl PatternFault {
    /// The error, in words that follow the pattern.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Star => "has a \"*\" that is not at its end",
            Self::Name(fault) => fault.reason(),
        }
    }
}

/// Whether `text` is a name, or the beginning of a name and a `*`.
///
/// # Errors
/// The first fault of the pattern.
pub fn check(text: &str) -> Result<(), PatternFault> {
    let name = text.strip_suffix(REST).unwrap_or(text);
    if name.contains(REST) {
        return Err(PatternFault::Star);
    }
    match name::check(name) {
        Err(NameFault::Empty) if !text.is_empty() => Ok(()),
        result => result.map_err(PatternFault::Name),
    }
}

impl Patterns {
    /// The names that match one of these patterns, which were already checked.
    ///
    /// ```
    /// use ringway::config::patterns::Patterns;
    /// let patterns = Patterns::new(["chat.*", "news"]);
    /// assert!(patterns.allow("chat.42") && patterns.allow("news"));
    /// assert!(!patterns.allow("newspaper"));
    /// ```
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        let (mut names, mut prefixes) = (Vec::<Box<str>>::new(), Vec::<Box<str>>::new());
        for pattern in patterns {
            match pattern.strip_suffix(REST) {
                Some(prefix) => prefixes.push(prefix.into()),
                None => names.push(pattern.into()),
            }
        }
        prefixes.sort_unstable();
        // A longer prefix that begins with a shorter one adds nothing.
        prefixes.dedup_by(|longer, shorter| longer.starts_with(&**shorter));
        names.sort_unstable();
        names.dedup();
        Self { names: names.into(), prefixes: prefixes.into() }
    }

    /// Whether the name matches one of the patterns.
    pub fn allow(&self, name: &str) -> bool {
        let before = self.prefixes.partition_point(|prefix| **prefix <= *name);
        let by_prefix = before > 0 && name.starts_with(&*self.prefixes[before - 1]);
        by_prefix || self.names.binary_search_by(|known| (**known).cmp(name)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_its_beginning() {
        let longest = "a".repeat(128);
        let and_rest = format!("{longest}*");
        for good in ["a", "*", "a*", "chat.*", "ü*", " ", &longest, &and_rest] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check(""), Err(PatternFault::Name(NameFault::Empty)));
        assert_eq!(check(&format!("a{and_rest}")), Err(PatternFault::Name(NameFault::TooLong)));
        assert_eq!(check("a\n*"), Err(PatternFault::Name(NameFault::ControlCharacter)));
        for bad in ["*a", "a*b", "**", "a**", "*.*"] {
            assert_eq!(check(bad), Err(PatternFault::Star), "{bad}");
        }
    }

    #[test]
    fn names_match_whole_and_prefixes_match_beginnings() {
        let patterns = Patterns::new(["news", "chat.*", "chat.room.*", "b", "chat.*", "news"]);
        assert_eq!((patterns.names.len(), patterns.prefixes.len()), (2, 1));
        for name in ["news", "b", "chat.", "chat.room.1", "chat.zzz", "chat.👍"] {
            assert!(patterns.allow(name), "{name}");
        }
        for name in ["", "new", "news.", "News", "chat", "chat/", "cha", "a", "z", "b*"] {
            assert!(!patterns.allow(name), "{name}");
        }
    }

    #[test]
    fn a_lone_star_is_everyone_and_an_empty_list_is_no_one() {
        let everyone = Patterns::new(["news", "*", "a*"]);
        assert!(["a", "zebra", "news", "\u{10ffff}"].into_iter().all(|name| everyone.allow(name)));
        assert_eq!(Patterns::new([]), Patterns::default());
        assert!(!Patterns::default().allow("a"));
    }

    /// The naive twin, which does not use the order.
    fn naive(patterns: &[String], name: &str) -> bool {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == name,
        })
    }

    fn short() -> impl Strategy<Value = String> {
        let letters = prop::sample::select(vec!["a", "b", "ab", "é", "."]);
        prop::collection::vec(letters, 0..4).prop_map(|letters| letters.concat())
    }

    proptest! {
        #[test]
        fn the_binary_search_equals_a_linear_search(
            patterns in prop::collection::vec((short(), prop::sample::select(vec!["", "*"])), 0..8),
            name in short(),
        ) {
            let patterns: Vec<String> =
                patterns.into_iter().map(|(beginning, rest)| beginning + rest).collect();
            let compiled = Patterns::new(patterns.iter().map(String::as_str));
            prop_assert_eq!(compiled.allow(&name), naive(&patterns, &name));
        }
    }
}
