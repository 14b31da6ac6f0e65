//! The simulated driver: operations become changes of links, links become completions, with faults.
//!
//! Kernel work happens in `submit` and `wait`; `next` only hands out what has arrived.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    ops::Range,
    time::Duration,
};

use super::{
    Network,
    leases::{Lease, Leases},
    link::Tail,
    network::{Found, World},
    socket::{Direction, Event, Receiving, Sending, Socket},
};
use crate::{
    Completion, ConnectFailure, ConnectToken, ConnectionId, Counters, Driver, Failure, Operations,
    Place, Places, Settings, Waker, connecting::Connecting, slots::Slots,
};

/// Receives per connection and turn.
const RECEIVES_PER_TURN: usize = 4;

/// The most bytes of every other receive that a fault cuts short.
const CRUMB_BYTES: usize = 8;

/// The chance, per turn, that a reset shows on a connection that does not receive.
const SHOWN_RESET: f64 = 0.1;

/// A [`Driver`] on a [`Network`], made by [`Network::driver`].
///
/// It also checks its owner: two sends for a connection in one turn, a name that was never given
/// out, or a turn that ends before [`Driver::next`] returned `None` panics. Dropping it checks that
/// each receive buffer is accounted for.
#[derive(Debug)]
pub struct SimDriver {
    network: Network,
    pub(super) gate: usize,
    waker: Waker,
    pub(super) sockets: Slots<Socket>,
    pub(super) leases: Leases,
    lent: Option<Lease>,
    /// Completions that arrive in this turn, in order.
    arrivals: VecDeque<(ConnectionId, Direction)>,
    refused: u32,
    pub(super) connecting: Connecting,
    /// Attempts to connect that failed at once.
    pub(super) unconnected: VecDeque<(ConnectToken, ConnectFailure)>,
    is_woken: bool,
    /// The last generation of each slot that was reported to the owner.
    pub(super) told: HashMap<u32, u32>,
    pub(super) turn: u64,
    pub(super) submission: u64,
    pub(super) counters: Counters,
}

impl SimDriver {
    pub(super) fn new(network: Network, gate: usize, settings: Settings, waker: Waker) -> Self {
        Self {
            network,
            gate,
            waker,
            sockets: Slots::new(settings.connections_max),
            leases: Leases::new(settings.receive_buffers, settings.receive_buffer_bytes),
            lent: None,
            arrivals: VecDeque::new(),
            refused: 0,
            connecting: Connecting::default(),
            unconnected: VecDeque::new(),
            is_woken: false,
            told: HashMap::new(),
            turn: 0,
            submission: 0,
            counters: Counters::default(),
        }
    }

    /// Wakes this driver from another one's loop.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Receive buffers that are filled and not given back: lent, or in a completion in flight.
    pub fn leases_taken(&self) -> usize {
        self.leases.taken()
    }

    /// Connections that are open, or closing.
    pub fn connections(&self) -> usize {
        self.sockets.len()
    }

    /// The address of the client at the other end.
    pub fn peer(&self, connection: ConnectionId) -> Option<SocketAddr> {
        let socket = self.sockets.lookup(connection)?;
        Some(self.network.world().links[socket.link].address)
    }

    fn accept(&mut self, world: &mut World) {
        while let Some(link) = world.gates[self.gate].waiting.pop_front() {
            // io_uring never reports such a client; epoll does.
            if world.links[link].tail == Tail::Reset && world.chance(0.5) {
                continue;
            }
            if world.chance(world.faults.refusal) || !self.admit(world, link) {
                world.links[link].reset(&mut world.rng);
                self.refused += 1;
                self.counters.refused += 1;
            }
        }
    }

    pub(super) fn admit(&mut self, world: &mut World, link: usize) -> bool {
        let Ok(connection) = self.sockets.insert(Socket::new(link)) else { return false };
        let due = self.turn + world.delay();
        if let Some(socket) = self.sockets.lookup_mut(connection) {
            socket.launch(Direction::Incoming, due, Event::Accepted);
        }
        world.make_live(self.gate, link);
        self.counters.accepted += 1;
        true
    }

    /// Receives the bytes of a turn, up to the end of the stream.
    fn receive_turn(&mut self, world: &mut World, connection: ConnectionId) {
        for _ in 0..RECEIVES_PER_TURN {
            if !self.receive(world, connection) {
                break;
            }
        }
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let link = &world.links[socket.link];
        let is_drained = socket.receiving == Receiving::Open && link.inbound.is_empty();
        match link.tail {
            Tail::Fin if is_drained => {
                socket.receiving = Receiving::Ended;
                let due = self.turn + world.delay();
                socket.launch(Direction::Incoming, due, Event::EndOfStream);
            }
            Tail::Reset if socket.is_whole() => {
                let waits = socket.receiving == Receiving::Open && !is_drained;
                if is_drained || (!waits && world.chance(SHOWN_RESET)) {
                    self.fail(world, connection, libc::ECONNRESET);
                }
            }
            _ => {}
        }
    }

    /// One receive; `false` if there is nothing to receive.
    pub(super) fn receive(&mut self, world: &mut World, connection: ConnectionId) -> bool {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return false };
        let available = world.links[socket.link].inbound.len();
        if socket.receiving != Receiving::Open || available == 0 {
            return false;
        }
        let mut length = available.min(self.leases.buffer_bytes());
        if world.chance(world.faults.short_receive) {
            let most = if world.rng.bool() { length } else { length.min(CRUMB_BYTES) };
            length = world.rng.usize(1..=most);
        }
        let bytes = world.links[socket.link].inbound.iter().copied().take(length);
        let is_short = world.rng.f64() < world.faults.shortage;
        let lease = if is_short { None } else { self.leases.fill(bytes) };
        let Some(lease) = lease else {
            self.counters.buffer_shortages += 1;
            return false;
        };
        world.links[socket.link].inbound.drain(..length);
        let event = Event::Received { lease, length };
        socket.launch(Direction::Incoming, self.turn + world.delay(), event);
        true
    }

    pub(super) fn fail(&mut self, world: &mut World, connection: ConnectionId, errno: i32) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        if socket.unreported_token().is_some() && world.chance(0.5) {
            let failure = ConnectFailure::Kernel(Failure(errno));
            return self.fail_connect(world, connection, failure);
        }
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let backlog_bytes = std::mem::take(&mut socket.backlog).len();
        world.gates[self.gate].backlog_bytes -= backlog_bytes;
        socket.recall_sent();
        socket.receiving = Receiving::Ended;
        socket.sending = Sending::Broken;
        let due = self.turn + world.delay();
        socket.launch(Direction::Incoming, due, Event::Failed(Failure(errno)));
        if backlog_bytes > 0 {
            // It replaces the report about the backlog, so it must be no later.
            socket.hasten(Direction::Incoming, self.turn);
        }
    }

    /// Sends more of the backlog.
    fn flush(&mut self, world: &mut World, connection: ConnectionId) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let link = &mut world.links[socket.link];
        if socket.backlog.is_empty() || link.tail == Tail::Reset || !link.is_writable(&world.faults)
        {
            return;
        }
        let bytes = socket.backlog.make_contiguous();
        let taken = link.take(bytes, &world.faults, &mut world.rng);
        socket.backlog.drain(..taken);
        world.gates[self.gate].backlog_bytes -= taken;
        let event = match socket.backlog.len() {
            0 => Event::Drained,
            unsent_bytes if taken > 0 => Event::Backlogged(unsent_bytes),
            _ => return,
        };
        if socket.backlog.is_empty() && socket.sending == Sending::Finishing {
            socket.sending = Sending::Finished;
            link.finish();
        }
        socket.launch(Direction::Outgoing, self.turn + world.delay(), event);
    }

    /// Collects the completions of this turn, connections in any order.
    fn collect(&mut self, world: &mut World, names: &[ConnectionId]) {
        for name in names {
            let Some(socket) = self.sockets.lookup_mut(*name) else { continue };
            for direction in [Direction::Incoming, Direction::Outgoing] {
                let arrived = socket.arrived(direction, self.turn);
                self.arrivals.extend(std::iter::repeat_n((*name, direction), arrived));
            }
        }
        if world.faults.delay > 0.0 {
            world.rng.shuffle(self.arrivals.make_contiguous());
        }
    }

    /// Whether a connection changes although neither its owner nor its client acts.
    fn is_restless(&self, world: &World, connection: ConnectionId) -> bool {
        self.is_connecting(world, connection)
            || self.sockets.lookup(connection).is_some_and(|socket| {
                let link = &world.links[socket.link];
                let has_news = !link.inbound.is_empty() || link.tail != Tail::Open;
                socket.has_flights_after(self.turn)
                    || (socket.receiving == Receiving::Open && has_news)
                    || (socket.is_whole() && link.tail == Tail::Reset)
                    || (!socket.backlog.is_empty() && link.is_writable(&world.faults))
            })
    }

    fn arrive(&mut self, connection: ConnectionId, event: Event) -> Completion<'_> {
        match event {
            Event::Accepted => {
                self.told.insert(connection.slot(), connection.generation());
                let link = self.sockets.lookup(connection).map(|socket| socket.link);
                let link = link.expect("a connection is in its slot until its last completion");
                let link = &self.network.world().links[link];
                Completion::Accepted { connection, listener: link.listener, peer: link.address }
            }
            Event::Connected(token) => {
                self.told.insert(connection.slot(), connection.generation());
                self.connecting.remove(connection);
                Completion::Connected { connection, token }
            }
            Event::ConnectFailed(token, failure) => {
                self.connecting.remove(connection);
                self.sockets.remove(connection);
                Completion::ConnectFailed { token, failure }
            }
            Event::Received { lease, length } => {
                self.counters.received_bytes += length as u64;
                let lease = self.lent.insert(lease);
                Completion::Received { connection, bytes: self.leases.lend(lease, length) }
            }
            Event::Placed(length) => {
                self.counters.received_bytes += length as u64;
                Completion::Placed { connection, length }
            }
            Event::EndOfStream => Completion::EndOfStream { connection },
            Event::Failed(failure) => Completion::Failed { connection, failure },
            // The simulated driver copies all bytes that it keeps, so it shares none.
            Event::Backlogged(unsent_bytes) => {
                Completion::Backlogged { connection, unsent_bytes, shared_bytes: 0 }
            }
            Event::Drained => Completion::Drained { connection },
            Event::Progress { acknowledged_bytes, unacknowledged_bytes } => {
                Completion::Progress { connection, acknowledged_bytes, unacknowledged_bytes }
            }
            Event::Closed => {
                self.sockets.remove(connection);
                Completion::Closed { connection }
            }
        }
    }

    /// Does with received bytes what their owner wishes, or lends them as they are. `None`: they
    /// arrive in the next turn.
    fn place(
        &mut self,
        connection: ConnectionId,
        event: Event,
        places: &mut dyn Places,
    ) -> Option<Event> {
        let Event::Received { lease, length } = event else { return Some(event) };
        let network = self.network.clone();
        let world = &mut *network.world();
        let wish = places.place(connection);
        if world.rng.bool() {
            return Some(Event::Received { lease, length });
        }
        match wish {
            Place::Lent => Some(Event::Received { lease, length }),
            Place::Later => {
                self.put_back(connection, self.turn + 1, lease, 0..length);
                None
            }
            Place::In(place) => {
                // All of them, or as many as a shorter receive would have brought.
                let mut placed = length.min(place.capacity() - place.len());
                if world.chance(world.faults.short_receive) {
                    placed = world.rng.usize(1..=placed);
                }
                place.extend_from_slice(&self.leases.lend(&lease, length)[..placed]);
                self.put_back(connection, self.turn, lease, placed..length);
                Some(Event::Placed(placed))
            }
        }
    }

    /// Received bytes that were not taken arrive before all others.
    fn put_back(&mut self, connection: ConnectionId, due: u64, lease: Lease, rest: Range<usize>) {
        let length = rest.len();
        self.leases.lend(&lease, rest.end).copy_within(rest, 0);
        match self.sockets.lookup_mut(connection) {
            Some(socket) if length > 0 => {
                socket.put_back(due, Event::Received { lease, length });
                if due == self.turn {
                    self.arrivals.push_front((connection, Direction::Incoming));
                }
            }
            _ => self.leases.give_back(lease),
        }
    }

    fn return_lent(&mut self) {
        if let Some(lease) = self.lent.take() {
            self.leases.give_back(lease);
        }
    }
}

impl Driver for SimDriver {
    fn submit(&mut self, operations: &mut Operations) {
        self.return_lent();
        self.submission += 1;
        let network = self.network.clone();
        let world = &mut *network.world();
        let (list, turn) = operations.drain();
        for operation in list {
            self.perform(world, operation, turn);
        }
        operations.clear();
    }

    fn send_early(&mut self, operations: &mut Operations) {
        self.submit(operations);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.return_lent();
        let network = self.network.clone();
        let world = &mut *network.world();
        if !self.arrivals.is_empty() || self.refused > 0 || self.is_woken {
            world.violation("the turn was not read to its end");
        }
        self.turn += 1;
        self.counters.turns += 1;
        world.progress(self.gate);
        self.accept(world);
        let names: Vec<_> = self.sockets.names().collect();
        for name in &names {
            self.answer(world, *name);
            self.receive_turn(world, *name);
            self.flush(world, *name);
        }
        self.collect(world, &names);
        let is_restless =
            world.is_moving(self.gate) || names.iter().any(|name| self.is_restless(world, *name));
        let has_reports = self.refused > 0 || !self.unconnected.is_empty();
        let found = if is_restless {
            Found::Later
        } else if self.arrivals.is_empty() && !has_reports {
            Found::Nothing
        } else {
            Found::Now
        };
        self.is_woken = world.rest(self.gate, timeout, found);
        Ok(())
    }

    fn next_in(&mut self, places: &mut dyn Places) -> Option<Completion<'_>> {
        self.return_lent();
        if std::mem::take(&mut self.is_woken) {
            self.counters.completions += 1;
            return Some(Completion::Woken);
        }
        if self.refused > 0 {
            self.counters.completions += 1;
            return Some(Completion::Refused { count: std::mem::take(&mut self.refused) });
        }
        if let Some((token, failure)) = self.unconnected.pop_front() {
            self.counters.completions += 1;
            return Some(Completion::ConnectFailed { token, failure });
        }
        loop {
            let (connection, direction) = self.arrivals.pop_front()?;
            // An operation of this same turn may have recalled the completion.
            let socket = self.sockets.lookup_mut(connection);
            let landed = socket.and_then(|socket| socket.land(direction, self.turn));
            if let Some(event) = landed.and_then(|event| self.place(connection, event, places)) {
                self.counters.completions += 1;
                return Some(self.arrive(connection, event));
            }
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Drop for SimDriver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.return_lent();
        let names: Vec<_> = self.sockets.names().collect();
        let in_flight =
            names.iter().filter_map(|name| self.sockets.lookup(*name)).map(Socket::leases).sum();
        let world = &mut *self.network.world();
        if self.leases.taken() != in_flight {
            world.violation("a receive buffer is lost");
        }
        world.leave(self.gate);
    }
}
