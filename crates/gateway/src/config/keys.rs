//! The types of the configuration's keys and sections, and their lookup by name. The macro
//! `section!` builds both, and the struct that holds the values, from one entry for each key. The
//! entries are in `table`.

use crate::config::{bound::Bound, table::SECTIONS};

/// The kind of value that a key accepts.
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
    /// `true` or `false`, with the default.
    Switch(bool),
    /// One of these words, with the default.
    Word(&'static [&'static str], &'static str),
    /// An IP address and a port, with the default.
    Address(&'static str),
    /// Networks such as `10.0.0.0/8`, with the default.
    Networks(&'static [&'static str]),
    /// Name patterns such as `chat.*`, and the default.
    Patterns(&'static [&'static str]),
    /// One name pattern, which has no default, and an example.
    Pattern(&'static str),
    /// A text that is empty by default, and an example.
    Text(&'static str),
    /// A text that has no default, and an example.
    OptionalText(&'static str),
    /// A list of these words, which has no default, and an example.
    Words(&'static [&'static str], &'static str),
    /// The beginning of the paths of requests, which has no default, and an example.
    Path(&'static str),
    /// How requests are shared among servers, with the default.
    Balance(&'static str),
    /// URLs of servers behind the gateway, which have no default, and an example.
    Upstreams(&'static str),
    /// Where an application is asked, which has no default, and an example.
    HookUrl(&'static str),
    /// Names of header fields, by default none, and an example.
    FieldNames(&'static str),
    /// Origins of web pages, or `*`; by default none.
    Origins,
    /// Host names, or `*`; by default none.
    Hosts,
    /// `"auto"`, a count or a list of cores.
    Cores,
}

impl Kind {
    /// The range, where the value is a number.
    pub const fn bound(&self) -> Option<&Bound> {
        match self {
            Self::Duration(bound)
            | Self::WholeSeconds(bound)
            | Self::Size(bound)
            | Self::Count(bound)
            | Self::PowerOfTwo(bound) => Some(bound),
            _ => None,
        }
    }
}

/// When another value of a key can take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// At once: a connection reads the value each time it needs it.
    Live,
    /// At the next start: sockets, memory, the log or an agreement with a peer depend on it.
    Restart,
}

/// One key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    /// Section and name, with dots: `limits.handshake_timeout`.
    pub path: &'static str,
    pub kind: Kind,
    /// What it does: sentences for an operator, printed by `ringway defaults`.
    pub meaning: &'static str,
    pub change: Change,
    /// Keys that bound this one, each with the reason, to follow its value and "which".
    pub at_most: &'static [(&'static str, &'static str)],
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
}

fn split(path: &'static str) -> (&'static str, &'static str) {
    path.rsplit_once('.').expect("every key is in a section")
}

/// How many tables a section is, and which sources may set its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// One table: `[limits]`.
    Once,
    /// One `[[listener]]` or more, each with this key. A key from outside the file holds for all.
    Each(&'static str),
    /// Any number of tables, each with this key, in a file only.
    InFile(&'static str),
}

/// A section, in the order in which `ringway defaults` prints them.
#[derive(Debug)]
pub(super) struct Section {
    pub path: &'static str,
    pub repeats: Repeats,
    pub meaning: &'static str,
    pub keys: &'static [Key],
}

impl Section {
    /// The section as it is written: `[limits]` or `[[listener]]`.
    pub fn header(&self) -> String {
        match self.repeats {
            Repeats::Once => format!("[{}]", self.path),
            Repeats::Each(_) | Repeats::InFile(_) => format!("[[{}]]", self.path),
        }
    }
}

/// Declares a section: its path, how often it may be written, the struct of its values, and one
/// entry for each key with its [`Change`], the field's type and the [`Kind`] of its values. A doc comment is what
/// operators read in `ringway defaults` and engineers on the field.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $path:literal, $Repeats:ident $(($needed:literal))? => $Section:ident
        $(
            $(#[doc = $meaning:literal])+
            $name:ident [$Change:ident]: $type:ty = $Kind:ident $(($($argument:tt)*))?
                $(, at most $greater:literal which $why:literal)?;
        )+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Section {
            $( $(#[doc = $meaning])+ pub $name: $type, )+
        }

        impl $Section {
            pub(in crate::config) const SECTION: &'static $crate::config::keys::Section =
                &$crate::config::keys::Section {
                    path: $path,
                    repeats: $crate::config::keys::Repeats::$Repeats $(($needed))?,
                    meaning: concat!($($about),+),
                    keys: &[$(
                        $crate::config::keys::Key {
                            path: concat!($path, ".", stringify!($name)),
                            kind: $crate::config::keys::Kind::$Kind $(($($argument)*))?,
                            meaning: concat!($($meaning),+),
                            change: $crate::config::keys::Change::$Change,
                            at_most: &[$(($greater, $why))?],
                        },
                    )+],
                };

            /// The values that were set, and the defaults of the others.
            pub(in crate::config) fn read(values: &$crate::config::source::Values) -> Self {
                let mut keys = Self::SECTION.keys.iter();
                let mut next = || keys.next().expect("each field has its key");
                Self { $( $name: $crate::config::read::field(next(), values), )+ }
            }

            /// Takes over the values of `next` that can be replaced at run time.
            pub fn replace_live(&mut self, next: &Self) {
                let mut keys = Self::SECTION.keys.iter();
                let mut change = || keys.next().expect("each field has its key").change;
                $( if change() == $crate::config::keys::Change::Live {
                    self.$name.clone_from(&next.$name);
                } )+
            }
        }
    };
}
pub(super) use section;

/// What the name of each environment variable starts with.
pub const VARIABLE_PREFIX: &str = "RINGWAY_";
/// The variable that names the configuration file, as `--config` does.
pub const FILE_VARIABLE: &str = "RINGWAY_CONFIG";

/// All keys, in their order.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The keys that a source other than a file may set.
pub(super) fn settable() -> impl Iterator<Item = &'static Key> {
    let sections = SECTIONS.iter().filter(|one| !matches!(one.repeats, Repeats::InFile(_)));
    sections.flat_map(|section| section.keys)
}

pub(super) fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

pub(super) fn find_section(path: &str) -> Option<&'static Section> {
    SECTIONS.iter().copied().find(|section| section.path == path)
}

/// The range of a key that is a number, at compile time too.
///
/// ```
/// assert!(ringway::config::bound_of("limits.header_fields_max").allows(64));
/// assert!(!ringway::config::bound_of("limits.header_fields_max").allows(0));
/// ```
///
/// # Panics
/// There is no such key, or it is not a number.
pub const fn bound_of(path: &str) -> Bound {
    let mut section = 0;
    while section < SECTIONS.len() {
        let keys = SECTIONS[section].keys;
        let mut key = 0;
        while key < keys.len() {
            if is_same(keys[key].path, path) {
                return match keys[key].kind.bound() {
                    Some(bound) => *bound,
                    None => panic!("this key is not a number"),
                };
            }
            key += 1;
        }
        section += 1;
    }
    panic!("there is no such key")
}

/// Equality of texts for `const`, where `==` is not available.
const fn is_same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut place = 0;
    while place < left.len() && place < right.len() && left[place] == right[place] {
        place += 1;
    }
    place == left.len() && place == right.len()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paths_and_variables_are_unique_and_the_order_of_the_table_is_kept() {
        let paths: BTreeSet<_> = all().map(|key| key.path).collect();
        let variables: BTreeSet<_> = all().map(Key::variable).collect();
        assert_eq!((paths.len(), variables.len()), (all().count(), all().count()));
        assert!(!variables.contains(FILE_VARIABLE));
        for key in all() {
            assert!(key.at_most.iter().all(|(greater, _)| find(greater).is_some()), "{}", key.path);
        }
    }

    #[test]
    fn a_suggested_key_is_similar() {
        let names = || all().map(Key::name);
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
