//! The rules between the tables of `[[hook]]`: one application decides each event.

use crate::{
    config::{
        error::{Faults, Origin},
        source::Values,
        value,
    },
    limits,
};

const EVENTS: &str = "hook.events";
const URL: &str = "hook.url";

/// Reports hooks that are asked about nothing, or about the events of another one.
pub(super) fn check(tables: &[Values], faults: &mut Faults) {
    if tables.len() > limits::HOOKS_MAX {
        let most = limits::HOOKS_MAX;
        let message =
            format!("hook: there are {} sections; at most {most} are allowed", tables.len());
        return faults.add(origin(&tables[most], URL), message);
    }
    for (place, table) in tables.iter().enumerate() {
        if events(table).next().is_none() {
            let message =
                format!("[[hook]] has no events; add some such as {EVENTS} = [\"connect\"]");
            faults.add(origin(table, URL), message);
        }
        for event in events(table) {
            let mut before = tables.iter().take(place);
            let Some(earlier) = before.find(|one| events(one).any(|other| other == event)) else {
                continue;
            };
            let message = format!(
                "{EVENTS}: {} is in another [[hook]], too ({}); one application decides it",
                value::quoted(event),
                origin(earlier, EVENTS),
            );
            faults.add(origin(table, EVENTS), message);
        }
    }
}

fn events(table: &Values) -> impl Iterator<Item = &str> {
    let listed = table.get(EVENTS).and_then(|assigned| assigned.value.as_array());
    listed.into_iter().flatten().filter_map(|event| event.as_str())
}

fn origin(table: &Values, key: &str) -> Origin {
    table.get(key).map_or(Origin::Default, |assigned| assigned.origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Hook;

    #[test]
    fn the_meaning_of_the_section_names_its_limit() {
        let most = format!("At most {}.", limits::HOOKS_MAX);
        assert!(Hook::SECTION.meaning.ends_with(&most));
    }
}
