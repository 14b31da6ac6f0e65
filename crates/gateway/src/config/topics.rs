//! `[[history.topic]]`: topics that keep less than the history, the first table that matches a
//! topic counting. The section may be absent, its keys have no defaults, and only a file can set
//! them, so that they are in no other table of keys.

use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Table;
use toml::de::DeTable;

use crate::{
    config::{
        History,
        error::{Faults, Origin},
        keys::{Key, Kind, Repeats, Section},
        source::{Assigned, Values},
        units, value,
    },
    limits,
};

/// One `[[history.topic]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicHistory {
    /// The topics: a name, or the beginning of names and `*`.
    pub pattern: String,
    /// The last events of each topic that are kept; `None`: as many as the history keeps.
    pub events_max: Option<u64>,
    /// How long an event is kept; `None`: as long as the history keeps it.
    #[serde(default, deserialize_with = "milliseconds")]
    pub age_max: Option<Duration>,
}

pub(super) const SECTION: &str = "history.topic";
pub(super) const PATTERN: &str = "history.topic.pattern";
const EVENTS_MAX: &str = "history.topic.events_max";
const AGE_MAX: &str = "history.topic.age_max";

pub(super) static TOPIC_SECTION: Section = Section {
    path: SECTION,
    repeats: Repeats::Each,
    meaning: "Topics that keep less than the history does: the last events of each, or each for a \
              shorter time. Write the section once for each pattern, in a file; the first one that \
              matches a topic counts. What a topic no longer keeps is told as a gap. At most 64.",
};

pub(super) static TOPIC_KEYS: &[Key] = &[
    Key {
        path: PATTERN,
        kind: Kind::Pattern,
        meaning: "The topics: a name, or the beginning of names and \"*\".",
    },
    Key {
        path: EVENTS_MAX,
        kind: Kind::Count(limits::HISTORY_EVENTS),
        meaning: "The last events of each topic that are kept; at most history.events_max, which is \
                  the default.",
    },
    Key {
        path: AGE_MAX,
        kind: Kind::Duration(limits::HISTORY_AGE_MS),
        meaning: "How long an event is kept; at most history.age_max, which is the default.",
    },
];

/// Why a key of the section is not set elsewhere, if `name` is one: `history.topic.events_max` in
/// `--set`, `RINGWAY_HISTORY_TOPIC_EVENTS_MAX` in the environment.
pub(super) fn only_in_a_file(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('_', ".");
    name.trim_start_matches("ringway.").starts_with(SECTION).then_some(
        "can only be set in a file, since there may be many: write a [[history.topic]] table for each \
         pattern, and name the file with --config or RINGWAY_CONFIG",
    )
}

/// A table as `[history]` holds it.
pub(super) fn document(values: &Values) -> Table {
    let field = |key: &Key| Some((key.name().to_owned(), values.get(key.path)?.value.clone()));
    TOPIC_KEYS.iter().filter_map(field).collect()
}

/// What is wrong with a table that has nothing but its pattern.
pub(super) fn limits_nothing(table: &DeTable<'_>) -> Option<&'static str> {
    (table.len() == 1).then_some("[[history.topic]] limits nothing; add events_max or age_max")
}

/// Finds tables that no topic reaches, or that keep more than the history.
pub(super) fn check(history: &History, tables: &[Values], faults: &mut Faults) {
    if tables.len() as u64 > limits::HISTORY_TOPICS_MAX {
        let most = limits::HISTORY_TOPICS_MAX;
        let origin = origin(&tables[most as usize], PATTERN);
        let message = format!("{SECTION}: {} of them; there may be at most {most}", tables.len());
        return faults.add(origin, message);
    }
    for (place, (topic, table)) in history.topics.iter().zip(tables).enumerate() {
        let pattern = value::quoted(&topic.pattern);
        let before = history.topics.iter().zip(tables).take(place);
        let first = before.clone().find(|(earlier, _)| covers(&earlier.pattern, &topic.pattern));
        if let Some((earlier, earlier_table)) = first {
            let message = format!(
                "{PATTERN} = {pattern} is never used: {} ({}) matches all its topics first; \
                 write the narrower pattern first",
                value::quoted(&earlier.pattern),
                origin(earlier_table, PATTERN),
            );
            faults.add(origin(table, PATTERN), message);
        }
        if let Some(events) = topic.events_max.filter(|events| *events > history.events_max) {
            let of_all = format!("history.events_max = {}", history.events_max);
            faults
                .add(origin(table, EVENTS_MAX), too_much(EVENTS_MAX, &events.to_string(), &of_all));
        }
        if let Some(age) = topic.age_max.filter(|age| *age > history.age_max) {
            let shown = |age: Duration| value::quoted(&age_text(age));
            let of_all = format!("history.age_max = {}", shown(history.age_max));
            faults.add(origin(table, AGE_MAX), too_much(AGE_MAX, &shown(age), &of_all));
        }
    }
}

fn too_much(key: &str, value: &str, of_all: &str) -> String {
    format!(
        "{key} = {value} is more than {of_all}, which bounds every topic; lower the first or raise \
         the second"
    )
}

/// Whether every topic that matches `pattern` matches `earlier`.
fn covers(earlier: &str, pattern: &str) -> bool {
    match earlier.strip_suffix('*') {
        Some(beginning) => pattern.strip_suffix('*').unwrap_or(pattern).starts_with(beginning),
        None => earlier == pattern,
    }
}

fn origin(values: &Values, path: &str) -> Origin {
    values.get(path).map_or(Origin::Default, |Assigned { origin, .. }| origin.clone())
}

/// What `ringway check` prints of the tables, to follow the bounds of the history.
pub(super) fn text(topics: &[TopicHistory]) -> String {
    let mut text = String::new();
    for TopicHistory { pattern, events_max, age_max } in topics {
        let events = events_max.map(|events| format!("{events} events"));
        let parts: Vec<_> = events.into_iter().chain(age_max.map(age_text)).collect();
        let parts = parts.join(" and ");
        write!(text, "; {pattern} {parts}").expect("writing to a string does not fail");
    }
    text
}

fn age_text(age: Duration) -> String {
    units::duration_text(age.as_millis() as u64)
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    u64::deserialize(deserializer).map(|milliseconds| Some(Duration::from_millis(milliseconds)))
}

impl TopicHistory {
    /// The example that `ringway defaults` prints, commented out.
    pub(super) fn example(key: &Key) -> &'static str {
        match key.path {
            PATTERN => "\"news.*\"",
            EVENTS_MAX => "100",
            _ => "\"1m\"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_matches_it_alone() {
        for (earlier, pattern) in [("*", "a"), ("*", "*"), ("a*", "ab*"), ("a*", "a"), ("a", "a")] {
            assert!(covers(earlier, pattern), "{earlier} {pattern}");
        }
        for (earlier, pattern) in [("a", "a*"), ("ab*", "a*"), ("b*", "a"), ("a", "*")] {
            assert!(!covers(earlier, pattern), "{earlier} {pattern}");
        }
    }

    #[test]
    fn the_meaning_of_the_section_names_its_limit() {
        let most = format!("At most {}.", limits::HISTORY_TOPICS_MAX);
        assert!(TOPIC_SECTION.meaning.ends_with(&most));
    }
}
