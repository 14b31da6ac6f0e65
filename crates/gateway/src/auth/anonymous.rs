//! The names of clients without a token, where others have one.
//!
//! They begin with a word with which no token's name may begin, so that neither can take the name
//! of the other.

use ringway_hub::name;

/// The beginning of these names.
pub const PREFIX: &str = "anon-";

/// A name that nobody else has.
pub fn unique() -> Box<str> {
    let number = getrandom::u32().unwrap_or_default();
    format!("{PREFIX}{number:08x}").into()
}

/// The name of a client that calls itself `name`: inside the namespace, even if it comes back with
/// the name that it was given before. `None`: it would be too long.
pub fn within(name: &str) -> Option<Box<str>> {
    let name = if name.starts_with(PREFIX) { name.into() } else { format!("{PREFIX}{name}") };
    name::check(&name).is_ok().then(|| name.into())
}

/// Whether a name is in the namespace.
pub fn contains(name: &str) -> bool {
    name.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_moved_into_the_namespace_once() {
        assert_eq!(within("ann").as_deref(), Some("anon-ann"));
        assert_eq!(within("anon-ann").as_deref(), Some("anon-ann"));
        assert_eq!(within(&"a".repeat(123)).map(|name| name.len()), Some(128));
        assert_eq!(within(&"a".repeat(124)), None);
        assert!(contains(&unique()) && contains("anon-ann") && !contains("ann"));
    }

    #[test]
    fn unique_names_differ() {
        let names: std::collections::HashSet<_> = (0..16).map(|_| unique()).collect();
        assert!(names.len() > 14, "{names:?}");
        assert!(names.iter().all(|name| name.len() == 13));
    }
}
