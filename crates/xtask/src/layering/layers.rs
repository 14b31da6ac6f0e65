//! The order of a crate's modules: a module may use only modules listed before it. Every module
//! must be in the list.

use super::graph::graphs;
use super::{CRATE_ROOT, Graph, Place, Workspace};

/// The layers of one crate.
pub struct Layers<'a> {
    /// The root file.
    pub root: &'a str,
    /// The modules, lowest first.
    pub order: &'a [&'a str],
    /// Modules that have no place yet. This list can only shrink.
    pub unplaced: &'a [&'a str],
    /// Known uses of a higher module by a lower one. This list can only shrink.
    pub upward: &'a [(&'a str, &'a str)],
}

const WHERE: &str = "crates/xtask/src/layering/tables.rs";

/// The faults: each use against the order, each module without a place, and each exception that is
/// no longer needed.
pub fn layers(workspace: &Workspace, layers: &Layers<'_>) -> Vec<String> {
    let root = layers.root;
    let graphs = graphs(workspace);
    let Some(graph) = graphs.iter().find(|graph| graph.root == root) else {
        return vec![format!("{root}: no such root file; correct it in {WHERE}")];
    };
    let mut faults = Vec::new();
    for module in &graph.modules {
        let module = module.as_str();
        if !layers.order.contains(&module) && !layers.unplaced.contains(&module) {
            faults.push(format!("{root}: module `{module}` has no layer; give it one in {WHERE}"));
        }
    }
    for module in layers.unplaced {
        if layers.order.contains(module) || !graph.modules.contains(*module) {
            faults.push(format!("{root}: remove `{module}` from the unplaced modules in {WHERE}"));
        }
    }
    let upward = upward_uses(graph, layers);
    for (from, to, places) in &upward {
        if !layers.upward.contains(&(*from, *to)) {
            faults.push(format!(
                "{}: `{from}` must not use `{to}`, which is in a higher layer; move what it needs \
                 down, or let `{to}` pass it in",
                places[0]
            ));
        }
    }
    for (from, to) in layers.upward {
        if !upward.iter().any(|(a, b, _)| a == from && b == to) {
            faults.push(format!(
                "{root}: `{from}` does not use `{to}` any more; remove the pair in {WHERE}"
            ));
        }
    }
    faults
}

/// The uses of a higher module by a lower one. The root is above all modules.
pub fn upward_uses<'a>(
    graph: &'a Graph,
    layers: &Layers<'_>,
) -> Vec<(&'a str, &'a str, &'a [Place])> {
    let height = |module: &str| {
        if module == CRATE_ROOT {
            return Some(layers.order.len());
        }
        layers.order.iter().position(|one| *one == module)
    };
    let mut found = Vec::new();
    for (from, used) in &graph.uses {
        for (to, places) in used {
            if let (Some(lower), Some(higher)) = (height(from), height(to))
                && higher > lower
            {
                found.push((from.as_str(), to.as_str(), places.as_slice()));
            }
        }
    }
    found
}
