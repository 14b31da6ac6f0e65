//! Cycles between modules. Two modules are in a cycle when each can be reached from the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Graph, Workspace, graphs};

/// Each cycle, as a path with a place for each step.
pub fn cycles(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for graph in graphs(workspace) {
        for group in cycles_in(&graph) {
            let start = group.first().expect("a group has members");
            faults.push(format!(
                "{}: these modules use each other in a cycle; move what the lower one needs into it, \
                 or into a module below both:{}",
                graph.root,
                cycle_through(&graph, &group, start)
            ));
        }
    }
    faults
}

/// The groups of modules that all reach each other; a single module is no group.
pub fn cycles_in(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        graph.uses.keys().map(|from| (from.as_str(), reached_from(graph, from))).collect();
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    for (from, reached) in &reach {
        let is_mutual = |to: &&&str| reach.get(**to).is_some_and(|back| back.contains(from));
        let group: BTreeSet<String> =
            reached.iter().filter(is_mutual).map(|to| (*to).to_owned()).collect();
        if group.len() > 1 && !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

fn reached_from<'a>(graph: &'a Graph, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&str> = graph.used_by(from).collect();
    while let Some(module) = waiting.pop() {
        if reached.insert(module) {
            waiting.extend(graph.used_by(module));
        }
    }
    reached
}

/// The shortest cycle through one module of a group: its path, and a line for each step.
fn cycle_through(graph: &Graph, group: &BTreeSet<String>, start: &str) -> String {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(module) = waiting.pop_front() {
        for used in graph.used_by(module).filter(|used| group.contains(*used)) {
            if !before.contains_key(used) {
                before.insert(used, module);
                waiting.push_back(used);
            }
        }
    }
    let mut path = vec![start];
    while let Some(previous) = before.get(path[path.len() - 1]) {
        path.push(previous);
        if *previous == start {
            break;
        }
    }
    path.reverse();
    let mut text = format!(" {}", path.join(" -> "));
    if group.len() >= path.len() {
        let members: Vec<&str> = group.iter().map(String::as_str).collect();
        text.push_str(&format!(" (all that reach each other: {})", members.join(", ")));
    }
    for step in path.windows(2) {
        if let Some(place) = graph.first(step[0], step[1]) {
            text.push_str(&format!("\n    {place}: {} uses {}", step[0], step[1]));
        }
    }
    text
}
