//! The addressees of an event: a topic's subscribers, or named recipients. Never knows which of
//! them are connected.

/// The addressees of an event, as its text gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'e> {
    /// All subscribers of the topic.
    Topic(&'e str),
    /// These clients.
    Recipients(Recipients<'e>),
}

/// The names of an event's recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipients<'e> {
    /// Invariant: `count` names, each followed by a line feed, which no name contains.
    names: &'e str,
    count: u32,
}

impl<'e> Recipients<'e> {
    pub(crate) fn listed(names: &'e str, count: u32) -> Self {
        Self { names, count }
    }

    /// Bytes that [`Recipients::list`] appends for a name.
    #[must_use]
    pub const fn list_bytes(name: &str) -> usize {
        name.len() + 1
    }

    /// Appends distinct names to an event's text, in the form that [`crate::Audience::Recipients`]
    /// refers to, and returns how many there are.
    ///
    /// ```
    /// use ringway_hub::Recipients;
    /// let mut text = String::from("text;");
    /// assert_eq!(Recipients::list(&mut text, ["ann", "bob"]), 2);
    /// assert_eq!(text, "text;ann\nbob\n");
    /// ```
    ///
    /// # Panics
    /// A name contains a line feed: [`crate::name::check`] would have rejected it.
    pub fn list<'n>(text: &mut String, names: impl IntoIterator<Item = &'n str>) -> u32 {
        let mut count = 0;
        for name in names {
            assert!(!name.as_bytes().contains(&b'\n'), "names have no control characters");
            text.push_str(name);
            text.push('\n');
            count += 1;
        }
        count
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &'e str> + use<'e> {
        self.names.split_terminator('\n')
    }

    /// The number of names.
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

    #[test]
    fn names_are_listed_in_order() {
        let thousand: Vec<String> = (0..1_000).map(|number| format!("client-{number}")).collect();
        let thousand: Vec<&str> = thousand.iter().map(String::as_str).collect();
        for names in [&[][..], &["a"], &["b", "a"], &["a", "", "b"], &[""], &thousand] {
            let mut text = String::new();
            let count = Recipients::list(&mut text, names.iter().copied());
            let bytes: usize = names.iter().map(|name| Recipients::list_bytes(name)).sum();
            assert_eq!(bytes, text.len());
            let recipients = Recipients::listed(&text, count);
            assert_eq!(recipients.iter().collect::<Vec<_>>(), names);
            assert_eq!(recipients.len(), names.len());
            assert_eq!(recipients.is_empty(), names.is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "control characters")]
    fn a_name_cannot_contain_another_one() {
        Recipients::list(&mut String::new(), ["ann\nbob"]);
    }
}
