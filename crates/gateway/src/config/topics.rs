//! The rules between the tables of `[[history.topic]]`: the first match counts, so no table may be
//! hidden by an earlier one. Their keys are in the table with all others.

use crate::{
    config::{
        error::{Faults, Origin},
        source::{Assigned, Values},
        value,
    },
    limits,
};

const PATTERN: &str = "history.topic.pattern";

/// Reports tables that no topic reaches, and too many tables.
pub(super) fn check(tables: &[Values], faults: &mut Faults) {
    if tables.len() as u64 > limits::HISTORY_TOPICS_MAX {
        let most = limits::HISTORY_TOPICS_MAX;
        let (_, origin) = pattern(&tables[most as usize]);
        let message = format!(
            "history.topic: there are {} sections; at most {most} are allowed",
            tables.len()
        );
        return faults.add(origin.clone(), message);
    }
    for (place, table) in tables.iter().enumerate() {
        let (pattern_text, origin) = pattern(table);
        let mut before = tables.iter().take(place).map(pattern);
        if let Some((earlier, earlier_origin)) =
            before.find(|(earlier, _)| covers(earlier, pattern_text))
        {
            let message = format!(
                "{PATTERN} = {} is never used: {} ({earlier_origin}) matches all its topics first; \
                 write the narrower pattern first",
                value::quoted(pattern_text),
                value::quoted(earlier),
            );
            faults.add(origin.clone(), message);
        }
    }
}

fn pattern(table: &Values) -> (&str, &Origin) {
    let Assigned { value, origin } = table.get(PATTERN).expect("no table is without its pattern");
    (value.as_str().expect("a pattern is a text"), origin)
}

/// Whether every topic that matches `pattern` matches `earlier`.
fn covers(earlier: &str, pattern: &str) -> bool {
    match earlier.strip_suffix('*') {
        Some(beginning) => pattern.strip_suffix('*').unwrap_or(pattern).starts_with(beginning),
        None => earlier == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HistoryTopic;

    #[test]
    fn a_pattern_covers_only_the_names_that_match_it() {
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
        assert!(HistoryTopic::SECTION.meaning.ends_with(&most));
    }
}
