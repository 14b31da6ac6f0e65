//! The names of clients without a token, where others have one.
//!
//! They begin with a word with which no token's name may begin, so that neither can take the name
//! of the other.

use std::cell::RefCell;

use ringway_hub::name;

/// The beginning of these names.
pub const PREFIX: &str = "anon-";

/// Numbers that are drawn at a time. A draw is a system call: half a microsecond of a connection.
const DRAWN_AT_ONCE: usize = 64;

thread_local! {
    static NUMBERS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// A name that nobody else has.
pub fn unique() -> Box<str> {
    let number = NUMBERS.with_borrow_mut(|numbers| {
        if numbers.is_empty() {
            *numbers = draw();
        }
        numbers.pop().unwrap_or_default()
    });
    format!("{PREFIX}{number:08x}").into()
}

/// Random numbers of the kernel; none if it has none.
fn draw() -> Vec<u32> {
    let mut bytes = [0; DRAWN_AT_ONCE * size_of::<u32>()];
    match getrandom::fill(&mut bytes) {
        Ok(()) => bytes.as_chunks().0.iter().map(|number| u32::from_ne_bytes(*number)).collect(),
        Err(_) => Vec::new(),
    }
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
        let names: std::collections::HashSet<_> = (0..200).map(|_| unique()).collect();
        assert!(names.len() > 198, "{names:?}");
        assert!(names.iter().all(|name| name.len() == 13));
    }
}
