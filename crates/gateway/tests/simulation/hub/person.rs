//! What the gateway may assume about each client name, over all of its connections.
//!
//! A return without a cursor is checked against it.

use std::collections::BTreeSet;

use ringway_hub::Sequence;

/// The model of the clients of one name.
#[derive(Debug, Clone)]
pub struct Person {
    /// The name.
    pub name: String,
    /// Its own events that a socket of one of its connections took.
    pub taken: BTreeSet<Sequence>,
    /// Up to here it has said, or was told, that it does not wait for its own events.
    pub waived: Sequence,
    /// The gateway knew that a socket had taken its own events up to here.
    pub settled: Sequence,
    /// Whether it has ever connected.
    pub was_here: bool,
}

impl Person {
    /// A client that was never connected.
    pub fn new(name: String) -> Self {
        Self { name, taken: BTreeSet::new(), waived: 0, settled: 0, was_here: false }
    }

    /// Notes that the client does not wait for anything up to `to`.
    pub fn waive(&mut self, to: Sequence) {
        self.waived = self.waived.max(to);
    }

    /// Whether a return without a cursor may leave out an event.
    pub fn may_miss(&self, sequence: Sequence) -> bool {
        sequence <= self.waived || self.taken.contains(&sequence)
    }
}
