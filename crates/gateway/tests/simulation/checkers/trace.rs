//! A hash of a run: if two runs of a seed differ anywhere, their hashes differ.
//!
//! It never compares anything.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    mem::discriminant,
    time::Duration,
};

use ringway_acceptor::Completion;

use super::Key;
use crate::{core::connection_of, decoder::Said, sealing};

/// The hash so far.
#[derive(Default)]
pub struct Trace {
    hasher: DefaultHasher,
    /// Connections whose bytes, though not their number, differ between two runs.
    random: HashSet<Key>,
}

impl Trace {
    /// Notes a completion of a core.
    pub fn note(&mut self, core: usize, completion: &Completion<'_>, now: Duration) {
        let Self { hasher, random } = self;
        (core, now, discriminant(completion), connection_of(completion)).hash(hasher);
        match completion {
            Completion::Accepted { peer, listener, connection } => {
                if sealing::is_random(*listener) {
                    random.insert((core, *connection));
                }
                peer.hash(hasher);
            }
            Completion::Received { bytes, connection } => {
                match random.contains(&(core, *connection)) {
                    true => bytes.len().hash(hasher),
                    false => (**bytes).hash(hasher),
                }
            }
            Completion::Placed { length, .. } => length.hash(hasher),
            Completion::Backlogged { unsent_bytes, .. } => unsent_bytes.hash(hasher),
            _ => {}
        }
    }

    /// Notes something that a client received.
    pub fn said(&mut self, said: &Said, now: Duration) {
        (now, said).hash(&mut self.hasher);
    }

    /// The hash.
    pub fn value(&self) -> u64 {
        self.hasher.finish()
    }
}
