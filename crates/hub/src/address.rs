//! Whom an event is for: a topic's subscribers, or named recipients.
//! Never who of them is there.

use std::collections::{HashSet, TryReserveError};

/// Up to this many recipients each is compared with each; beyond, a set finds doubled names.
const COMPARED_MAX: usize = 16;

/// Whom an event is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Everyone who is subscribed to the topic.
    Topic(Box<str>),
    /// These clients.
    Recipients(Recipients),
}

impl Address {
    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Topic(topic) => topic.len(),
            Self::Recipients(recipients) => recipients.names.len(),
        }
    }
}

/// The names of an event's recipients, in one allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients {
    /// Invariant: `count` names, each followed by a line feed, which no name contains.
    names: Box<str>,
    count: u32,
}

impl Recipients {
    /// Keeps the order; a name that comes again is left out.
    ///
    /// ```
    /// use ringway_hub::Recipients;
    /// let recipients = Recipients::new(["ann", "bob", "ann"]);
    /// assert_eq!(recipients.iter().collect::<Vec<_>>(), ["ann", "bob"]);
    /// ```
    ///
    /// # Panics
    /// A name contains a line feed: it has not been through [`crate::name::check`].
    #[must_use]
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut first_ones = Vec::new();
        let mut others = HashSet::new();
        Self::of_distinct(names.into_iter().filter(|name| {
            if first_ones.contains(name) {
                return false;
            }
            if first_ones.len() < COMPARED_MAX {
                first_ones.push(*name);
                return true;
            }
            others.insert(*name)
        }))
    }

    /// As [`Recipients::new`], of names that are known to be distinct.
    ///
    /// # Panics
    /// A name contains a line feed: it has not been through [`crate::name::check`].
    #[must_use]
    pub fn of_distinct<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self::join(String::new(), names)
    }

    fn join<'n>(mut joined: String, names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut count = 0;
        for name in names {
            assert!(!name.as_bytes().contains(&b'\n'), "names have no control characters");
            joined.push_str(name);
            joined.push('\n');
            count += 1;
        }
        Self { names: joined.into_boxed_str(), count }
    }

    /// As [`Recipients::of_distinct`], of names that a peer chose.
    ///
    /// # Errors
    /// There is no memory for them.
    ///
    /// # Panics
    /// A name contains a line feed: it has not been through [`crate::name::check`].
    pub fn try_of_distinct<'n>(
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<Self, TryReserveError> {
        let mut joined = String::new();
        joined.try_reserve_exact(names.clone().map(|name| name.len() + 1).sum())?;
        Ok(Self::join(joined, names))
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.split_terminator('\n')
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn keeps(names: &[&str], kept: &[&str]) {
        let recipients = Recipients::new(names.iter().copied());
        assert_eq!(recipients.iter().collect::<Vec<_>>(), kept);
        assert_eq!(recipients.len(), kept.len());
        assert_eq!(recipients.is_empty(), kept.is_empty());
        assert_eq!(recipients, Recipients::of_distinct(kept.iter().copied()));
        assert_eq!(Ok(recipients), Recipients::try_of_distinct(kept.iter().copied()));
    }

    #[test]
    fn names_keep_their_order_and_come_once() {
        keeps(&[], &[]);
        keeps(&["a"], &["a"]);
        keeps(&["b", "a", "b", "a"], &["b", "a"]);
        keeps(&["a", "", "b"], &["a", "", "b"]);
        keeps(&[""], &[""]);
    }

    #[test]
    fn a_thousand_names_keep_their_order_and_come_once() {
        let names: Vec<String> = (0..1_000).map(|number| format!("client-{number}")).collect();
        let once: Vec<&str> = names.iter().map(String::as_str).collect();
        let twice: Vec<&str> = once.iter().flat_map(|name| [*name, once[0], *name]).collect();
        keeps(&twice, &once);
    }

    #[test]
    #[should_panic(expected = "control characters")]
    fn a_name_cannot_smuggle_another_one_in() {
        let _ = Recipients::new(["ann\nbob"]);
    }
}
