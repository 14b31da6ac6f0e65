//! The rules between the tables of `[[hook]]`: one application decides each event, and one that is told
//! has nothing to answer.

use crate::{
    config::{
        HookEvent,
        error::{Faults, Origin},
        source::Values,
        value,
    },
    limits,
};

const EVENTS: &str = "hook.events";
const URL: &str = "hook.url";
const WAITS: &str = "hook.waits";

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
        let needs_answer = |event: &&str| {
            !is_one_of(&HookEvent::TOLD, event) && !is_one_of(&HookEvent::ASKED_OR_TOLD, event)
        };
        if !waits(table)
            && let Some(event) = events(table).find(needs_answer)
        {
            let event = value::quoted(event);
            let message = format!("{EVENTS}: {event} needs an answer, so {WAITS} cannot be false");
            faults.add(origin(table, EVENTS), message);
        }
        for event in questions(table) {
            let mut before = tables.iter().take(place);
            let Some(earlier) = before.find(|one| questions(one).any(|other| other == event))
            else {
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

/// The events that it decides.
fn questions(table: &Values) -> impl Iterator<Item = &str> {
    let is_asked = waits(table);
    events(table).filter(move |event| is_asked && !is_one_of(&HookEvent::TOLD, event))
}

fn waits(table: &Values) -> bool {
    table.get(WAITS).is_none_or(|assigned| assigned.value.as_bool() != Some(false))
}

fn is_one_of(events: &[HookEvent], word: &str) -> bool {
    events.iter().any(|event| event.as_str() == word)
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
