//! A hash of a run: two runs of a seed that differ anywhere differ here.
//!
//! It never compares anything.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    mem::discriminant,
    time::Duration,
};

use ringway_acceptor::Completion;

use crate::decoder::Said;

/// What was noted so far.
#[derive(Default)]
pub struct Trace(DefaultHasher);

impl Trace {
    /// A core was told of this.
    pub fn note(&mut self, core: usize, completion: &Completion<'_>, now: Duration) {
        let hasher = &mut self.0;
        (core, now, discriminant(completion)).hash(hasher);
        match completion {
            Completion::Accepted { connection, peer, .. } => (connection, peer).hash(hasher),
            Completion::Received { connection, bytes } => (connection, &**bytes).hash(hasher),
            Completion::Backlogged { connection, unsent_bytes, .. } => {
                (connection, unsent_bytes).hash(hasher);
            }
            Completion::EndOfStream { connection }
            | Completion::Failed { connection, .. }
            | Completion::Drained { connection }
            | Completion::Progress { connection, .. }
            | Completion::Connected { connection, .. }
            | Completion::Closed { connection } => connection.hash(hasher),
            Completion::Refused { .. } | Completion::Woken | Completion::ConnectFailed { .. } => {}
        }
    }

    /// A client was told this.
    pub fn hear(&mut self, said: &Said, now: Duration) {
        (now, said).hash(&mut self.0);
    }

    /// The hash.
    pub fn value(&self) -> u64 {
        self.0.finish()
    }
}
