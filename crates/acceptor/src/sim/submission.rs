//! The effects of a simulated driver's operations, and the checks that they keep the contract.
//!
//! Bytes that were in flight when a pause or a close is submitted may still arrive, or not.

use super::{
    driver::SimDriver,
    link::{Tail, Unread},
    network::World,
    socket::{Direction, Event, Receiving, Sending},
};
use crate::{ConnectionId, Operation, Outgoing};

impl SimDriver {
    pub(super) fn perform(&mut self, world: &mut World, operation: Operation, turn: &[u8]) {
        let Some(connection) = operation.connection() else {
            return match operation {
                Operation::Wake(waker) => waker.wake(),
                Operation::Connect(request) => self.connect(world, &request),
                Operation::CancelConnect(token) => self.cancel_connect(world, token),
                _ => self.stop_accepting(world),
            };
        };
        let told = self.told.get(&connection.slot());
        if told.is_none_or(|generation| connection.generation() > *generation) {
            world.violation(&format!("{connection:?} was never given out"));
        }
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        if socket.is_closed() {
            return;
        }
        match operation {
            Operation::Send { outgoing, .. } => match outgoing {
                Outgoing::Turn(range) => self.send(world, connection, &turn[range]),
                Outgoing::Owned { bytes, start } => self.send(world, connection, &bytes[start..]),
                Outgoing::Shared(bytes) => self.send(world, connection, &bytes),
                Outgoing::Pieces(pieces) => {
                    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.bytes(turn)).collect();
                    self.send(world, connection, &pieces.concat());
                }
            },
            Operation::PauseReceive(_) if socket.receiving == Receiving::Open => {
                if world.chance(world.faults.late_cancel) {
                    self.receive(world, connection);
                }
                if let Some(socket) = self.sockets.lookup_mut(connection) {
                    socket.receiving = Receiving::Paused;
                }
            }
            Operation::ResumeReceive(_) if socket.receiving == Receiving::Paused => {
                socket.receiving = Receiving::Open;
            }
            Operation::MeasureProgress(_) if socket.is_whole() => {
                let link = &world.links[socket.link];
                let event = Event::Progress {
                    acknowledged_bytes: link.acknowledged_bytes,
                    unacknowledged_bytes: link.outbound.len() + socket.backlog.len(),
                };
                // Never late: the owner's deadline has expired already.
                socket.hurry(Direction::Outgoing, self.turn + 1, event);
            }
            Operation::Shutdown(_) if socket.sending == Sending::Open => {
                socket.sending = Sending::Finishing;
                if socket.backlog.is_empty() {
                    socket.sending = Sending::Finished;
                    world.links[socket.link].finish();
                }
            }
            Operation::Close(_) => self.close(world, connection, Unread::None),
            Operation::Reset(_) => self.close(world, connection, Unread::Some),
            _ => {}
        }
    }

    fn send(&mut self, world: &mut World, connection: ConnectionId, bytes: &[u8]) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        if socket.sent_in == self.submission {
            world.violation(&format!("two sends for {connection:?} in one turn"));
        }
        socket.sent_in = self.submission;
        if socket.sending == Sending::Broken {
            // The send is refused, and the failure in flight is reported at once.
            socket.hasten(Direction::Incoming, self.turn + 1);
        }
        if socket.sending != Sending::Open || bytes.is_empty() {
            return;
        }
        let link = &mut world.links[socket.link];
        if link.tail == Tail::Reset {
            let errno = if world.rng.bool() { libc::EPIPE } else { libc::ECONNRESET };
            if world.rng.bool() {
                let recalled = socket.recall_received();
                recalled.into_iter().for_each(|lease| self.leases.give_back(lease));
            }
            self.fail(world, connection, errno);
            // Never later than the report about a backlog that it replaces.
            if let Some(socket) = self.sockets.lookup_mut(connection) {
                socket.hasten(Direction::Incoming, self.turn + 1);
            }
            return;
        }
        let (mut taken, queues_behind) = (0, !socket.backlog.is_empty());
        if !queues_behind {
            taken = link.take(bytes, &world.faults, &mut world.rng);
        }
        if taken < bytes.len() {
            socket.backlog.extend(&bytes[taken..]);
            let event = Event::Backlogged(socket.backlog.len());
            // Never late: silence about a send means that all of it was sent.
            socket.hurry(Direction::Outgoing, self.turn + 1, event);
            self.counters.short_sends += u64::from(!queues_behind);
            let gate = &mut world.gates[self.gate];
            gate.backlog_bytes += bytes.len() - taken;
            gate.backlog_bytes_peak = gate.backlog_bytes_peak.max(gate.backlog_bytes);
        }
    }

    /// A close with unread bytes is a reset, as [`Operation::Reset`] is.
    fn close(&mut self, world: &mut World, connection: ConnectionId, unread: Unread) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let recalled = socket.recall_received();
        let unread = if recalled.is_empty() { unread } else { Unread::Some };
        recalled.into_iter().for_each(|lease| self.leases.give_back(lease));
        socket.recall_sent();
        world.gates[self.gate].backlog_bytes -= std::mem::take(&mut socket.backlog).len();
        if socket.is_whole() {
            world.links[socket.link].abandon(unread, &mut world.rng);
        }
        socket.sending = Sending::Closed;
        socket.receiving = Receiving::Ended;
        let mut due = self.turn + 1 + world.delay();
        if world.chance(world.faults.late_cancel) {
            due += world.rng.u64(1..=4);
        }
        socket.launch(Direction::Outgoing, due, Event::Closed);
    }

    /// Clients not yet accepted are refused, except for accepts in flight.
    fn stop_accepting(&mut self, world: &mut World) {
        world.gates[self.gate].is_listening = false;
        for link in std::mem::take(&mut world.gates[self.gate].waiting) {
            if !world.chance(world.faults.late_cancel) || !self.admit(world, link) {
                world.links[link].reset(&mut world.rng);
            }
        }
    }
}
