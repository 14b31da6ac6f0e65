//! Property: events that a core reads while it is sending others are merged with them: a client that
//! keeps up is sent to once in a pass over the clients, and waits for an event for one pass at most.
//!
//! It knows in which turn a core read an event, and which clients the core visited in a turn.

use std::collections::HashMap;

use ringway_hub::Sequence;

use super::check;

const PROPERTY: &str =
    "a client that keeps up is sent to once in a pass, which has all it waits for";

/// How far a core has come: the number of the pass, and the first slot that is not visited in it.
pub type Place = (u64, u32);

/// What each core has read and whom it has visited.
#[derive(Default)]
pub struct Merging {
    cores: HashMap<usize, CorePasses>,
    /// The pass in which each connection was last sent events.
    last_passes: HashMap<usize, u64>,
}

#[derive(Default)]
struct CorePasses {
    /// Where the last turn began to visit clients.
    visited_from: Place,
    /// Where the core was when it read the events up to each of these.
    reads: Vec<(Sequence, Place)>,
}

impl Merging {
    /// A core at this place has read events up to `position` and has visited clients from there on.
    pub fn has_visited(&mut self, core: usize, place: Place, position: Sequence) {
        let passes = self.cores.entry(core).or_default();
        passes.visited_from = place;
        if passes.reads.last().is_none_or(|(read, _)| *read < position) {
            passes.reads.push((position, place));
        }
    }

    /// The socket of a connection has taken these events, which its core sent in its last turn.
    /// Returns whether they were read in several turns.
    pub fn takes(&mut self, number: usize, core: usize, slot: u32, events: &[Sequence]) -> bool {
        let passes = self.cores.entry(core).or_default();
        let (pass, first) = passes.visited_from;
        let visit: Place = if slot >= first { (pass, slot) } else { (pass + 1, slot) };
        let last = self.last_passes.insert(number, visit.0);
        check!(last.is_none_or(|last| last < visit.0), "{number} was sent to twice in {visit:?}");
        let mut places = events.iter().map(|event| passes.read_at(*event)).collect::<Vec<_>>();
        for (event, (pass, slot)) in events.iter().zip(&places) {
            let latest = (pass + 1, *slot);
            check!(visit < latest, "{event} came to {number} at {visit:?}, not before {latest:?}");
        }
        places.dedup();
        places.len() > 1
    }
}

impl CorePasses {
    fn read_at(&self, event: Sequence) -> Place {
        let read = self.reads.partition_point(|(position, _)| *position < event);
        let read = self.reads.get(read);
        check!(read.is_some(), "{event} was sent and never read");
        read.map_or((0, 0), |(_, place)| *place)
    }
}
