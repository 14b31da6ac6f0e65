//! One core's share of the clients: completions in, operations out, time an argument.
//!
//! It runs on any driver, the simulated one included. It never reads a clock, never touches a
//! socket, and waits for nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ringway_acceptor::{Completion, Connection, Counters, Operation, Operations, Wheel};
use ringway_frame::CloseCode;

use crate::{
    census::Census,
    drain::Drain,
    metrics::CoreMetrics,
    orders::Orders,
    peer::{Peer, Turn},
    peers::Peers,
    settings::Settings,
    workbench::Workbench,
};

/// The state of one core.
///
/// Call order per turn: [`Shard::complete`] for each completion, then [`Shard::expire`]; sleep
/// until [`Shard::next_deadline`] at the latest.
pub struct Shard {
    peers: Peers,
    wheel: Wheel,
    bench: Workbench,
    settings: Arc<Settings>,
    census: Arc<Census>,
    orders: Orders,
    metrics: Arc<CoreMetrics>,
    drain: Option<Drain>,
}

impl Shard {
    /// A core without clients.
    pub fn new(
        settings: Arc<Settings>,
        census: Arc<Census>,
        orders: Orders,
        metrics: Arc<CoreMetrics>,
    ) -> Self {
        Self {
            peers: Peers::default(),
            wheel: Wheel::default(),
            bench: Workbench::default(),
            settings,
            census,
            orders,
            metrics,
            drain: None,
        }
    }

    /// Takes one completion.
    #[inline]
    pub fn complete(
        &mut self,
        completion: Completion<'_>,
        now: Duration,
        operations: &mut Operations,
    ) {
        match completion {
            Completion::Received { connection, bytes } => {
                self.with(connection, now, operations, |peer, turn| peer.receive(bytes, turn));
            }
            Completion::Accepted { connection, peer, .. } => {
                self.accept(connection, peer, now, operations);
            }
            Completion::EndOfStream { connection } => {
                self.with(connection, now, operations, Peer::end_of_stream);
            }
            Completion::Failed { connection, .. } => {
                self.with(connection, now, operations, Peer::end);
            }
            Completion::Backlogged { connection, unsent_bytes } => {
                self.with(connection, now, operations, |peer, turn| {
                    peer.backlogged(unsent_bytes, turn);
                });
            }
            Completion::Drained { connection } => {
                self.with(connection, now, operations, Peer::drained);
            }
            Completion::Closed { connection } => self.forget(connection),
            Completion::Refused { count } => self.metrics.refused.add(u64::from(count)),
            Completion::Woken => self.obey(now, operations),
        }
    }

    /// Does what has become due.
    pub fn expire(&mut self, now: Duration, operations: &mut Operations) {
        while let Some(slot) = self.wheel.expire(now) {
            self.with_slot(slot, now, operations, Peer::expire);
        }
        self.see_off(now, operations);
    }

    /// How long the core may sleep; `None`: until something happens.
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let drain = self.drain.as_ref().map(|drain| drain.next_deadline(now));
        let next = match (self.wheel.next_deadline(), drain) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        next.map(|deadline| deadline.saturating_sub(now))
    }

    /// Whether the core has let its last client go, or its time to do so is over.
    pub fn is_finished(&self, now: Duration) -> bool {
        self.drain.as_ref().is_some_and(|drain| self.peers.is_empty() || now >= drain.end())
    }

    /// Clients now.
    pub fn clients(&self) -> usize {
        self.peers.len()
    }

    /// Publishes the driver's counts beside the shard's own.
    pub fn count(&self, counters: &Counters) {
        self.metrics.connections.set(self.peers.len() as u64);
        self.metrics.accepted.set(counters.accepted);
        self.metrics.received_bytes.set(counters.received_bytes);
        self.metrics.short_sends.set(counters.short_sends);
        self.metrics.buffer_shortages.set(counters.buffer_shortages);
        self.metrics.turns.set(counters.turns);
    }

    fn accept(
        &mut self,
        connection: Connection,
        address: SocketAddr,
        now: Duration,
        operations: &mut Operations,
    ) {
        let seat = self.census.admit(address.ip());
        let mut turn = Turn {
            now,
            operations,
            wheel: &mut self.wheel,
            settings: &self.settings,
            bench: &mut self.bench,
        };
        self.peers.insert(match seat {
            Ok(seat) => Peer::new(connection, seat, &mut turn),
            Err(refusal) => {
                self.metrics.refused.add(1);
                Peer::turned_away(connection, refusal, self.census.seat_outside(), &mut turn)
            }
        });
        if self.drain.is_some() {
            // It was on its way when accepting stopped, and may have a slot that was gone through.
            self.with(connection, now, operations, tell_to_leave);
        }
    }

    #[inline]
    fn with(
        &mut self,
        connection: Connection,
        now: Duration,
        operations: &mut Operations,
        serve: impl FnOnce(&mut Peer, &mut Turn<'_>),
    ) {
        if let Some(peer) = self.peers.lookup_mut(connection) {
            let Self { wheel, settings, bench, .. } = self;
            serve(peer, &mut Turn { now, operations, wheel, settings, bench });
        }
    }

    fn with_slot(
        &mut self,
        slot: u32,
        now: Duration,
        operations: &mut Operations,
        serve: impl FnOnce(&mut Peer, &mut Turn<'_>),
    ) {
        if let Some(peer) = self.peers.in_slot_mut(slot) {
            let Self { wheel, settings, bench, .. } = self;
            serve(peer, &mut Turn { now, operations, wheel, settings, bench });
        }
    }

    fn forget(&mut self, connection: Connection) {
        if let Some(mut peer) = self.peers.remove(connection) {
            self.wheel.cancel(connection.slot());
            if let Some(seat) = peer.take_seat() {
                self.census.leave(seat);
            }
        }
    }

    fn obey(&mut self, now: Duration, operations: &mut Operations) {
        if self.orders.is_draining() && self.drain.is_none() {
            operations.push(Operation::StopAccepting);
            let (slots, peers) = (self.peers.slots(), self.peers.len());
            self.drain = Some(Drain::new(now, self.settings.drain_time, slots, peers));
        }
    }

    /// While draining: tells the next few clients to leave.
    fn see_off(&mut self, now: Duration, operations: &mut Operations) {
        let Some(drain) = &mut self.drain else { return };
        for slot in drain.due(now) {
            self.with_slot(slot, now, operations, tell_to_leave);
        }
    }
}

fn tell_to_leave(peer: &mut Peer, turn: &mut Turn<'_>) {
    peer.close(CloseCode::GOING_AWAY, "the server is going away", turn);
}
