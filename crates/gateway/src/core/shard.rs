//! One core's share of the clients: completions in, operations out, time as an argument.
//!
//! It runs on any driver, including the simulated one. It never reads a clock, never touches a
//! socket, and never waits.

use crate::encoding::large_events::SWEEP_INTERVAL;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ringway_acceptor::{Completion, ConnectionId, Counters, Operations, Wheel};

use crate::{
    auth::{Identification, IdentitySource},
    broker::{Broker, mailbox::Mailbox},
    config::settings::Settings,
    connection::{
        ClientConnection, ReadProgress, Turn,
        handshakes::Handshakes,
        log::{ConnectionLog, Told},
    },
    core::{connections::Peers, drain::Drain, leaving::Leavers, shard::relief::Relief},
    edge::{
        forwarded,
        limiter::{ConnectionLimiter, Origin},
    },
    encoding::scratch::Scratch,
    hooks::HookSource,
    limits::{AHEAD_INTERVAL, HANDSHAKES_PASSED_OVER_MAX},
    memory::{CoreMemory, MemoryBudget},
    metrics::CoreMetrics,
    outbox::channel::{Channel, Channels},
    refusal::Refusal,
    session::{
        core_hub::{Appended, CoreHub},
        delivery::DeliveryContext,
        departures::Taken,
        questions::Questions,
    },
    upstream::CoreUpstreams,
};

/// The state of one core.
///
/// Call order per turn: [`Shard::complete`] for each completion, then [`Shard::follow_log`] and
/// [`Shard::expire`]; sleep until [`Shard::next_deadline`] at the latest.
pub struct Shard {
    peers: Peers,
    core: Core,
    channels: Channels,
    drain: Option<Drain>,
    leavers: Leavers,
    reading: Reading,
    relief: Relief,
    /// Connections whose deadline has come, and how far their clients have read.
    measured: Vec<(ConnectionId, ReadProgress)>,
}

/// How far the log was read in the last turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// To its end: a core that appends more wakes this one.
    Ended,
    /// Unread events may remain, and no wake-up will come for them: the core must not sleep.
    Halted,
}

/// What a core lends to its connections.
struct Core {
    wheel: Wheel,
    scratch: Scratch,
    settings: Arc<Settings>,
    metrics: Arc<CoreMetrics>,
    log: ConnectionLog,
    handshakes: Handshakes,
    identities: Identification,
    limiter: Arc<ConnectionLimiter>,
    hub: CoreHub,
    memory: CoreMemory,
    upstreams: CoreUpstreams,
    /// The time of the last turn.
    before: Duration,
}

impl Core {
    #[inline]
    fn turn<'a>(&'a mut self, now: Duration, operations: &'a mut Operations) -> Turn<'a> {
        let Self { wheel, scratch, settings, metrics, log, handshakes, identities, .. } = self;
        let Self { limiter, hub, memory, upstreams, before, .. } = self;
        let context = DeliveryContext { now, settings, scratch, memory: memory.budget(), metrics };
        Turn {
            context,
            hub,
            before: *before,
            operations,
            wheel,
            handshakes,
            identities,
            limiter,
            log,
            upstreams,
        }
    }
}

/// What a shard is built with.
pub struct ShardParts {
    /// The settings of its connections.
    pub settings: Arc<Settings>,
    /// Identifies the clients.
    pub identities: Arc<dyn IdentitySource>,
    /// Counts all connections of the process.
    pub limiter: Arc<ConnectionLimiter>,
    /// The events of the process.
    pub broker: Arc<Broker>,
    /// The mailbox of all cores.
    pub mailbox: Mailbox,
    /// The budget for the buffers of the process.
    pub memory: Arc<MemoryBudget>,
    /// The core's counters.
    pub metrics: Arc<CoreMetrics>,
    /// The channels of connections, by the listener that accepted them.
    pub channels: Channels,
    /// Its index, the order in which cores are registered with `mailbox`.
    pub core: usize,
}

impl Shard {
    /// A core without clients.
    pub fn new(parts: ShardParts) -> Self {
        let ShardParts {
            settings,
            identities,
            limiter,
            broker,
            mailbox,
            memory,
            metrics,
            channels,
            core,
        } = parts;
        Self {
            peers: Peers::default(),
            core: Core {
                wheel: Wheel::default(),
                scratch: Scratch::default(),
                settings,
                metrics,
                log: ConnectionLog::new(core, Arc::clone(&limiter)),
                handshakes: Handshakes::default(),
                identities: Identification::new(Arc::clone(&identities), core),
                limiter,
                hub: CoreHub { identities, ..CoreHub::new(broker, mailbox, core) },
                memory: CoreMemory::new(memory),
                upstreams: CoreUpstreams::new(channels.clone()),
                before: Duration::ZERO,
            },
            channels,
            drain: None,
            leavers: Leavers::new(core as u64),
            measured: Vec::new(),
            reading: Reading::Ended,
            relief: Relief::default(),
        }
    }

    /// Asks these applications about its clients; without them nobody is asked.
    #[must_use]
    pub fn asking(mut self, hooks: Arc<dyn HookSource>) -> Self {
        self.core.hub.questions = Questions::new(hooks, self.core.hub.core);
        self
    }

    /// Takes one completion.
    #[inline]
    pub fn complete(
        &mut self,
        completion: Completion<'_>,
        now: Duration,
        operations: &mut Operations,
    ) {
        let Some(completion) = self.serve_server(completion, now, operations) else { return };
        match completion {
            Completion::Received { connection, bytes } => {
                self.with(connection, now, operations, |peer, turn| peer.receive(bytes, turn));
            }
            Completion::Placed { connection, length } => {
                self.with(connection, now, operations, |peer, turn| peer.take_placed(length, turn));
            }
            Completion::Accepted { connection, listener, peer } => {
                let channel = self.channels.accept(listener);
                self.accept(connection, channel, peer, now, operations);
            }
            Completion::EndOfStream { connection } => {
                self.with(connection, now, operations, ClientConnection::end_of_stream);
            }
            Completion::Failed { connection, failure } => {
                if failure.is_out_of_memory() {
                    self.core.metrics.closed_for_memory.add(1);
                }
                self.with(connection, now, operations, ClientConnection::fail);
            }
            Completion::Backlogged { connection, unsent_bytes, shared_bytes } => {
                self.with(connection, now, operations, |peer, turn| {
                    peer.backlogged(unsent_bytes, shared_bytes, turn);
                });
            }
            Completion::Drained { connection } => {
                self.with(connection, now, operations, ClientConnection::drained);
            }
            Completion::Progress { connection, acknowledged_bytes, unacknowledged_bytes } => {
                // Judged after the turn's last completion: until then the driver may not have
                // reported a backlog of the last turn's sends.
                let progress = ReadProgress { acknowledged_bytes, unacknowledged_bytes };
                self.measured.push((connection, progress));
            }
            Completion::Closed { connection } => self.forget(connection, now),
            Completion::Connected { connection, token } => {
                self.server_connected(token, connection, now, operations);
            }
            Completion::ConnectFailed { token, failure } => {
                self.server_unconnected(token, failure, now, operations);
            }
            Completion::Refused { count } => {
                self.core.metrics.refused.no_descriptor.add(u64::from(count));
            }
            Completion::Woken => self.handle_messages(now, operations),
        }
    }

    /// Sends the core's clients the events that any core has appended to the log; a bounded number
    /// in each turn, so that clients' input is served in between.
    pub fn follow_log(&mut self, now: Duration, operations: &mut Operations) {
        let hub = &mut self.core.hub;
        if hub.appended == Appended::Some {
            hub.appended = Appended::None;
            hub.mailbox.wake_others(hub.core, operations);
        }
        self.judge_departures(now);
        self.read_log();
        self.dispatch(now, operations);
        self.core.hub.dispatch.end_turn();
        self.core.hub.note_progress();
        self.serve_ready(now, operations);
    }

    fn judge_departures(&mut self, now: Duration) {
        let (hub, peers) = (&mut self.core.hub, &mut self.peers);
        let served = hub.departures.judge(now, |connection| {
            peers.lookup_mut(connection).is_some_and(|peer| peer.is_backlogged())
        });
        hub.end_departures(served, Taken::All);
    }

    /// Handles expired deadlines and other periodic work.
    pub fn expire(&mut self, now: Duration, operations: &mut Operations) {
        let mut measured = std::mem::take(&mut self.measured);
        for (connection, progress) in measured.drain(..) {
            self.with(connection, now, operations, |peer, turn| peer.due_after(progress, turn));
        }
        self.measured = measured;
        // The input of the next turn has a bound of its own.
        self.core.hub.spent.set(0);
        while let Some(slot) = self.core.wheel.expire(now) {
            self.with_slot(slot, now, operations, ClientConnection::expire);
        }
        self.see_off(now, operations);
        self.core.upstreams.sweep_idle(operations, now);
        self.core.log.catch_up(now);
        let (before, held) = self.core.hub.large_events.sweep();
        self.core.memory.change(before, held);
        self.relieve(now, operations);
        self.core.before = now;
    }

    /// How long the core may sleep; `None`: until something happens.
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let CoreHub { ready, dispatch, departures, appended, ahead, .. } = &self.core.hub;
        // Deferred input may have appended events after the log was read.
        let may_be_unread = self.reading == Reading::Halted || *appended == Appended::Some;
        if may_be_unread || departures.are_due() || !ready.is_empty() || !dispatch.is_empty() {
            return Some(Duration::ZERO);
        }
        let drain = self.drain.as_ref().map(Drain::next_deadline);
        let is_swept = self.core.hub.large_events.is_empty();
        let sweep = (!is_swept).then(|| now + SWEEP_INTERVAL);
        let ahead = (ahead.waiting() > 0).then(|| now + AHEAD_INTERVAL);
        let [wheel, leavers] = [self.core.wheel.next_deadline(), self.leavers.next_deadline()];
        let idle = self.core.upstreams.next_deadline();
        let next = [wheel, leavers, drain, sweep, ahead, idle];
        let next = next.into_iter().flatten().min();
        next.map(|deadline| deadline.saturating_sub(now))
    }

    /// Whether the core has no more clients, or its drain time is over.
    pub fn is_finished(&self, now: Duration) -> bool {
        self.drain.as_ref().is_some_and(|drain| self.peers.is_empty() || now >= drain.end())
    }

    /// Its side of the hub, read-only.
    pub fn hub(&self) -> &CoreHub {
        &self.core.hub
    }

    /// Input of a connection that waits for a turn of its own, in bytes; `None` once the connection
    /// is closed or closing. For tests, which must know when a request was served.
    pub fn deferred_bytes(&self, connection: ConnectionId) -> Option<usize> {
        self.peers.lookup(connection)?.deferred_bytes()
    }

    /// Reports the clients that have not left when the drain time is over.
    pub fn report_left_behind(&mut self) {
        for slot in 0..self.peers.slots() {
            if let Some(peer) = self.peers.in_slot_mut(slot) {
                peer.report_left_behind(&mut self.core.hub);
            }
        }
    }

    /// The number of clients.
    pub fn clients(&self) -> usize {
        self.peers.len()
    }

    /// Publishes the driver's counters with the shard's own; to be called each time before the
    /// operations are submitted.
    pub fn count(&self, counters: &Counters, operations: &Operations) {
        self.core.metrics.sent_bytes.add(operations.bytes_to_send());
        self.core.metrics.connections.set(self.peers.len() as u64);
        self.core.metrics.handshakes_in_progress.set(self.core.handshakes.in_progress() as u64);
        self.core.metrics.held_bytes.set(self.core.memory.held());
        self.core.metrics.accepted.set(counters.accepted);
        self.core.metrics.received_bytes.set(counters.received_bytes);
        self.core.metrics.short_sends.set(counters.short_sends);
        self.core.metrics.buffer_shortages.set(counters.buffer_shortages);
        self.core.metrics.turns.set(counters.turns);
    }

    fn accept(
        &mut self,
        connection: ConnectionId,
        mut channel: Channel,
        address: SocketAddr,
        now: Duration,
        operations: &mut Operations,
    ) {
        self.core.log.opened(connection, address);
        if !self.core.settings.routes.is_empty() {
            self.core.upstreams.note_address(connection, address.ip());
        }
        let trusted = &self.core.settings.server.trusted_proxies;
        let origin = forwarded::origin(address.ip(), trusted);
        let permit = match self.core.memory.budget().is_pressed() {
            true => Err(Refusal::Memory),
            false => self.core.limiter.admit(address.ip(), origin),
        };
        if let Err(refusal) = permit {
            self.core.metrics.refused.of(refusal).add(1);
            let told = Told::through(&mut channel);
            self.core.log.turned_away(refusal, told, connection, address.ip(), now);
        }
        self.core.hub.rates.begin(connection.slot(), now);
        let is_stranger = channel.proxy_header().is_some() && origin == Origin::Client;
        let mut turn = self.core.turn(now, operations);
        self.peers.insert(match permit {
            Ok(permit) => ClientConnection::new(connection, channel, permit, &mut turn),
            Err(refusal) => ClientConnection::turned_away(
                connection,
                channel,
                refusal,
                turn.limiter.permit_outside(),
                &mut turn,
            ),
        });
        self.leavers.comes(connection.slot(), now, self.core.settings.server.max_connection_age);
        self.bound_handshakes(connection, now, operations);
        if is_stranger {
            self.with(connection, now, operations, ClientConnection::refuse_without_header);
        }
        if self.drain.as_ref().is_some_and(|drain| !drain.is_gathering()) {
            // Accepted before accepting stopped; the others have been counted already.
            self.leavers.tell_all(&[connection.slot()], now, Duration::ZERO);
        }
    }

    /// Ends the oldest handshakes if there are too many, but none that waits for the core: its client
    /// is not to blame. If all of them wait for the core, the newest one ends.
    fn bound_handshakes(&mut self, last: ConnectionId, now: Duration, operations: &mut Operations) {
        let handshakes_max = self.core.settings.tls.handshakes_max as usize;
        let mut passed_over = 0;
        while let Some(oldest) = self.core.handshakes.beyond(handshakes_max) {
            let peer = self.peers.lookup(oldest);
            if !peer.is_some_and(ClientConnection::has_handshake_to_advance) {
                self.with(oldest, now, operations, ClientConnection::displace_handshake);
                continue;
            }
            self.core.handshakes.pass_over(oldest);
            passed_over += 1;
            if passed_over == HANDSHAKES_PASSED_OVER_MAX {
                self.with(last, now, operations, ClientConnection::displace_handshake);
                break;
            }
        }
        let peers = &self.peers;
        self.core.handshakes.forget_ended(|connection| {
            peers.lookup(connection).is_some_and(ClientConnection::is_handshaking)
        });
    }

    #[inline]
    fn with(
        &mut self,
        connection: ConnectionId,
        now: Duration,
        operations: &mut Operations,
        serve: impl FnOnce(&mut ClientConnection, &mut Turn<'_>),
    ) {
        if let Some(peer) = self.peers.lookup_mut(connection) {
            serve(peer, &mut self.core.turn(now, operations));
            peer.account(&mut self.core.memory, &self.core.settings);
        }
    }

    fn with_slot(
        &mut self,
        slot: u32,
        now: Duration,
        operations: &mut Operations,
        serve: impl FnOnce(&mut ClientConnection, &mut Turn<'_>),
    ) {
        if let Some(peer) = self.peers.in_slot_mut(slot) {
            serve(peer, &mut self.core.turn(now, operations));
            peer.account(&mut self.core.memory, &self.core.settings);
        }
    }

    fn forget(&mut self, connection: ConnectionId, now: Duration) {
        if let Some(mut peer) = self.peers.remove(connection) {
            let Core { log, metrics, hub, .. } = &mut self.core;
            peer.log_end(log, metrics, hub, now);
            self.core.hub.rates.errors.forget(connection.slot());
            self.core.wheel.cancel(connection.slot());
            self.leavers.goes(connection.slot());
            self.core.hub.submissions.end_wait(connection);
            self.core.memory.change(peer.counted_bytes(), 0);
            if let Some(permit) = peer.take_permit() {
                self.core.limiter.leave(permit);
            }
        }
    }
}

mod farewells;
mod messages;
mod placing;
mod ready;
mod relief;
mod sending;
mod submissions;
#[cfg(test)]
mod tests;
mod upstreams;
