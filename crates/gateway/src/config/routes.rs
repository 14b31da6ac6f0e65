//! The rules between the tables of `[[route]]`: each has servers, and no path is there twice. Their
//! keys are in the table with all others.

use crate::{
    config::{
        error::Faults,
        source::{Assigned, Values},
        value,
    },
    limits,
};

const PATH: &str = "route.path";

/// Reports routes without servers, paths that are there twice, and too many routes.
pub(super) fn check(tables: &[Values], faults: &mut Faults) {
    for (place, table) in tables.iter().enumerate() {
        let Assigned { value: path, origin } = table.get(PATH).expect("it is its needed key");
        let text = value::quoted(path.as_str().expect("a path is a text"));
        if place as u64 == limits::ROUTES_MAX {
            let message = format!("route: there are more than {} sections", limits::ROUTES_MAX);
            return faults.add(origin.clone(), message);
        }
        if !table.contains_key("route.upstream") {
            let message = format!("{PATH} = {text} has no upstream; add the URLs of its servers");
            faults.add(origin.clone(), message);
        }
        let mut before = tables.iter().take(place);
        if before.any(|other| other.get(PATH).is_some_and(|other| other.value == *path)) {
            faults.add(origin.clone(), format!("{PATH} = {text} is there twice"));
        }
    }
}
