//! A hash of a run: if two runs of a seed differ anywhere, their hashes differ.
//!
//! It never compares anything.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    mem::discriminant,
    time::Duration,
};

use ringway_acceptor::Completion;

use crate::{core::connection_of, decoder::Said};

/// The hash so far.
#[derive(Default)]
pub struct Trace(DefaultHasher);

impl Trace {
    /// Notes a completion of a core.
    pub fn note(&mut self, core: usize, completion: &Completion<'_>, now: Duration) {
        (core, now, discriminant(completion), connection_of(completion)).hash(&mut self.0);
        match completion {
            Completion::Accepted { peer, .. } => peer.hash(&mut self.0),
            Completion::Received { bytes, .. } => (**bytes).hash(&mut self.0),
            Completion::Placed { length, .. } => length.hash(&mut self.0),
            Completion::Backlogged { unsent_bytes, .. } => unsent_bytes.hash(&mut self.0),
            _ => {}
        }
    }

    /// Notes something that a client received.
    pub fn said(&mut self, said: &Said, now: Duration) {
        (now, said).hash(&mut self.0);
    }

    /// The hash.
    pub fn value(&self) -> u64 {
        self.0.finish()
    }
}
