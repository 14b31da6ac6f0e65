//! Messages to a core from the control thread, from other cores, and from identity and log sources.
//!
//! It finds the connection that a message concerns; the connection decides what the message means.

use std::time::Duration;

use ringway_acceptor::{Operation, Operations};

use crate::{
    broker::mailbox::CoreMessage,
    connection::log::EndReason,
    core::{drain::Drain, shard::Shard},
    session::core_hub::{CoreHub, Intake},
};

impl Shard {
    pub(super) fn handle_messages(&mut self, now: Duration, operations: &mut Operations) {
        let CoreHub { mailbox, core, .. } = &self.core.hub;
        let drain_time = mailbox.drain_time();
        for order in mailbox.collect(*core) {
            self.handle(order, now, operations);
        }
        if let Some(drain_time) = drain_time
            && self.drain.is_none()
        {
            operations.push(Operation::StopAccepting);
            self.core.hub.intake = Intake::Closed;
            self.core.hub.mailbox.close_intake();
            self.drain = Some(Drain::new(now, drain_time));
        }
    }

    fn handle(&mut self, order: CoreMessage, now: Duration, operations: &mut Operations) {
        match order {
            #[cfg(test)]
            CoreMessage::Panic => panic!("on purpose"),
            CoreMessage::Close { client, code, reason } => {
                let slots: Vec<u32> = self.core.hub.subscriptions.connections(&client).collect();
                for slot in slots {
                    self.with_slot(slot, now, operations, |peer, turn| {
                        peer.note_end(EndReason::ClosedByApplication);
                        peer.close(code, &reason, turn);
                    });
                }
            }
            CoreMessage::Describe { client, answer } => {
                let CoreHub { subscriptions, core, .. } = &self.core.hub;
                for slot in subscriptions.connections(&client) {
                    let peer = self.peers.in_slot_mut(slot);
                    if let Some(description) = peer.and_then(|peer| peer.describe(*core)) {
                        // Who asked may have given up.
                        let _ = answer.send(description);
                    }
                }
            }
            CoreMessage::Appended { number, result } => {
                self.complete_submission(number, result, now, operations);
            }
            CoreMessage::Answered { connection, awaited } => {
                self.with(connection, now, operations, |peer, turn| peer.outcome(&awaited, turn));
            }
            CoreMessage::Identified { ticket, result } => {
                self.with(ticket.connection, now, operations, |peer, turn| {
                    peer.identified(ticket, result, turn);
                });
            }
            CoreMessage::TakeOver { client, handover } => {
                self.with_slot(handover.seat.slot, now, operations, |peer, turn| {
                    if peer.is_of(&client) {
                        peer.take_over(handover, turn);
                    }
                });
            }
            // A connection keeps what it has negotiated with its client.
            CoreMessage::ReplaceSettings(settings) => self.core.settings = settings,
            CoreMessage::Renew { connection, identity } => {
                self.with(connection, now, operations, |peer, turn| {
                    if peer.is_of(&identity.client) {
                        peer.renew(&identity, turn);
                    }
                });
            }
            CoreMessage::Listen { connection, client, topic, change } => {
                self.with(connection, now, operations, |peer, turn| {
                    if peer.is_of(&client) {
                        peer.listen(change, &topic, turn);
                    }
                });
            }
        }
    }
}
