//! What a key and a section of the configuration are, and how they are found by
//! name, or by nearly their name. It never says which there are: that is `table`.

use crate::{
    config::{
        table::{KEYS, SECTIONS},
        topics::{TOPIC_KEYS, TOPIC_SECTION},
    },
    limits::Bound,
};

/// What may be written for a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A duration with its unit; the bound is in milliseconds.
    Duration(Bound),
    /// A duration of whole seconds, which the kernel counts in; the bound is in milliseconds.
    WholeSeconds(Bound),
    /// Bytes, bare or with a unit.
    Size(Bound),
    /// A whole number.
    Count(Bound),
    /// A whole number that is a power of two.
    PowerOfTwo(Bound),
    /// `true` or `false`, and the default.
    Switch(bool),
    /// One of these words, and the default.
    Word(&'static [&'static str], &'static str),
    /// An IP address and a port, and the default.
    Address(&'static str),
    /// Networks such as `10.0.0.0/8`, and the default.
    Networks(&'static [&'static str]),
    /// Name patterns such as `chat.*`, and the default.
    Patterns(&'static [&'static str]),
    /// One name pattern.
    Pattern,
    /// Origins of web pages, or `*`; by default none.
    Origins,
    /// Host names, or `*`; by default none.
    Hosts,
    /// `"auto"`, a count or a list of cores.
    Cores,
}

/// One key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    /// Section and name, with dots: `limits.handshake_timeout`.
    pub path: &'static str,
    pub kind: Kind,
    /// What it does: sentences for an operator, printed by `ringway defaults`.
    pub meaning: &'static str,
}

impl Key {
    /// `limits` of `limits.handshake_timeout`.
    pub fn section(&self) -> &'static str {
        split(self.path).0
    }

    /// `handshake_timeout` of `limits.handshake_timeout`.
    pub fn name(&self) -> &'static str {
        split(self.path).1
    }

    /// `RINGWAY_LIMITS_HANDSHAKE_TIMEOUT` of `limits.handshake_timeout`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// Whether the key belongs to one listener of possibly several.
    pub fn is_of_listener(&self) -> bool {
        self.section() == LISTENER
    }
}

fn split(path: &'static str) -> (&'static str, &'static str) {
    path.rsplit_once('.').expect("every key is in a section")
}

/// How many tables a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// One table: `[limits]`.
    Once,
    /// A table for each: `[[listener]]`.
    Each,
}

/// A section, in the order in which `ringway defaults` prints them.
#[derive(Debug)]
pub(super) struct Section {
    pub path: &'static str,
    pub repeats: Repeats,
    pub meaning: &'static str,
}

impl Section {
    /// The section as it is written: `[limits]` or `[[listener]]`.
    pub fn header(&self) -> String {
        match self.repeats {
            Repeats::Once => format!("[{}]", self.path),
            Repeats::Each => format!("[[{}]]", self.path),
        }
    }
}

/// What the name of each environment variable starts with.
pub const VARIABLE_PREFIX: &str = "RINGWAY_";
/// The variable that names the configuration file, as `--config` does.
pub const FILE_VARIABLE: &str = "RINGWAY_CONFIG";
/// The section that may be written several times.
pub(super) const LISTENER: &str = "listener";

pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The keys that a file may set, those of repeated sections that may be absent with them.
pub(super) fn of_file() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(TOPIC_KEYS)
}

/// The sections that a file may have.
pub(super) fn sections() -> impl Iterator<Item = &'static Section> {
    SECTIONS.iter().flat_map(|section| {
        let within = TOPIC_SECTION.path.starts_with(&format!("{}.", section.path));
        std::iter::once(section).chain(within.then_some(&TOPIC_SECTION))
    })
}

pub(super) fn find_section(path: &str) -> Option<&'static Section> {
    sections().find(|section| section.path == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paths_and_variables_are_unique_and_in_order_of_their_sections() {
        let paths: BTreeSet<_> = KEYS.iter().map(|key| key.path).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        assert_eq!(paths.len(), KEYS.len());
        assert_eq!(variables.len(), KEYS.len());
        assert!(!variables.contains(FILE_VARIABLE));

        let mut sections: Vec<_> = KEYS.iter().map(Key::section).collect();
        sections.dedup();
        let expected: Vec<_> = SECTIONS.iter().map(|section| section.path).collect();
        assert_eq!(sections, expected, "the keys of a section stand together");
    }

    #[test]
    fn nearest_is_near() {
        let names = || KEYS.iter().map(Key::name);
        let table = [
            ("handshake_timout", Some("handshake_timeout")),
            ("hanshake_timeout", Some("handshake_timeout")),
            ("header_byte_max", Some("header_bytes_max")),
            ("adress", Some("address")),
            ("lvl", None),
            ("port", None),
            ("", None),
        ];
        for (name, expected) in table {
            assert_eq!(crate::config::spelling::nearest(name, names()), expected, "{name:?}");
        }
    }
}
