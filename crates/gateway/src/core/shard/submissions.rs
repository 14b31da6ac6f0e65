//! Events of this core's clients that did not get a place in the log at once: their outcomes, and
//! the connections that wait for them.
//!
//! The log's source decides the outcome of an event.

use std::{sync::Arc, time::Duration};

use ringway_acceptor::Operations;

use crate::{
    broker::{Waiter, mailbox::CoreMessage, source::SubmissionOutcome},
    core::shard::Shard,
    session::{perform, submissions::Completed},
};

impl Shard {
    /// Takes the outcome of a submission, and tells the connections that wait for it, on any core.
    pub(super) fn complete_submission(
        &mut self,
        number: u64,
        result: SubmissionOutcome,
        now: Duration,
        operations: &mut Operations,
    ) {
        let hub = &mut self.core.hub;
        let Some(completed) = hub.complete_submission(number, result) else { return };
        let (mailbox, own_core) = (hub.mailbox.clone(), hub.core);
        let Completed { awaited, waiters, pending } = completed;
        for Waiter { core, connection } in waiters {
            if core == own_core {
                self.with(connection, now, operations, |peer, turn| peer.outcome(&awaited, turn));
            } else {
                let awaited = Arc::clone(&awaited);
                mailbox.tell(core, CoreMessage::Answered { connection, awaited });
            }
        }
        // Draining cores wait for the last submission.
        if pending == 0 && mailbox.is_draining() {
            mailbox.wake_all();
        }
    }

    /// Tells each connection that waits for an outcome that there is no more time for it.
    pub(super) fn give_up_submissions(&mut self, now: Duration, operations: &mut Operations) {
        let Self { peers, core, .. } = self;
        for peer in peers.iter_mut().filter(|peer| peer.is_awaiting()) {
            peer.give_up_awaiting(perform::going_away(), &mut core.turn(now, operations));
            peer.account(&mut core.memory, &core.settings);
        }
    }
}
