//! The model: the log, the people and each connection; and what it learns from each completion
//! before the gateway does.
//!
//! It never changes a completion and never reads the gateway's answers.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use ringway::broker::Broker;
use ringway::config::settings::Settings;
use ringway::core::shard::Shard;
use ringway_acceptor::{Completion, ConnectionId};
use ringway_hub::{Liveness, Sequence};

use super::{
    command::{Command, Kind},
    connection::{Attention, ChangeDone, HubConnection},
    oracle::{Health, Moment, Since},
    person::Person,
    reference_log::ReferenceLog,
    scenario::{HubPlan, Placing},
    token,
};
use crate::{
    checkers::{
        LATENESS, Merging,
        backlogs::{check_backlog, of_events},
        check, check_eq,
    },
    core::connection_of,
    decoder::Transport,
    sealing::Outcome,
    tally::{Count, Tally},
};

pub(super) const PROPERTY: &str = "the directory knows who is connected";

/// A queue of this many bytes has room for all events of a turn, except in a flood.
const ROOMY: usize = 64 << 10;

/// The longest time that a poll waits for an event.
pub(super) const POLL_WAIT_MAX: Duration = Duration::from_secs(3);

/// The model of a world.
pub struct Model {
    /// The state that the cores share.
    pub broker: Arc<Broker>,
    /// The settings of the gateway.
    pub settings: Arc<Settings>,
    /// The log.
    pub reference: ReferenceLog,
    /// All commands, by their tokens.
    pub commands: Vec<Command>,
    /// All names of clients.
    pub people: Vec<Person>,
    /// All connections.
    pub connections: Vec<HubConnection>,
    /// The counts of the run.
    pub tally: Tally,
    /// The index of each connection, by the gateway's name for it.
    pub(super) numbers: HashMap<(usize, ConnectionId), usize>,
    /// Changes of subscriptions in each core's mailbox.
    pub(super) mail: HashMap<usize, Vec<RemoteChange>>,
    /// The positions from which the changes in the mailboxes were promised, by the ids of their
    /// commands.
    pub(super) promised: HashMap<String, Sequence>,
    /// `refresh` commands that are not answered, by their ids.
    pub(super) renewals: HashMap<String, token::Renewal>,
    /// Until when each client is revoked.
    pub(super) revoked_until: Vec<Duration>,
    /// Commands whose events had no place in the log when they were performed.
    unanswered: Vec<usize>,
    /// When events get their places.
    pub(super) placing: Placing,
    /// How many connections each name had before the gateway served the current input.
    pub(super) present: Vec<u32>,
    /// Connections that leave in this turn.
    leavers: Vec<usize>,
    learnt: Sequence,
    /// Checks what each core merges into one send.
    merging: Merging,
    /// Whether a client that has everything keeps up with new events.
    health: Health,
    event_bytes_max: usize,
}

/// A change of another connection's subscription.
pub(super) struct RemoteChange {
    pub(super) number: usize,
    pub(super) topic: String,
    /// Where the subscription begins; `None` ends it.
    pub(super) since: Option<Since>,
}

/// The position and time of an event on a core.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The core.
    pub core: usize,
    /// How far it has read the log.
    pub position: Sequence,
    /// How far it has read, and sent everything.
    pub settled: Sequence,
    /// The last event that is not kept any more.
    pub gone: Sequence,
    /// The time.
    pub now: Duration,
}

impl Place {
    /// The position of a core.
    pub fn of(core: usize, shard: &Shard, now: Duration) -> Self {
        let hub = shard.hub();
        let gone = hub.broker.log.first() - 1;
        Self { core, position: hub.position(), settled: hub.settled(), gone, now }
    }
}

impl Model {
    /// The model before anything has happened.
    pub fn new(broker: &Arc<Broker>, settings: &Arc<Settings>, plan: &HubPlan) -> Self {
        let is_roomy = settings.clients.queue_bytes_max >= ROOMY && plan.flood.is_none();
        let names = &plan.people;
        let allowed = settings.clients.may_notify.clone();
        Self {
            broker: Arc::clone(broker),
            settings: Arc::clone(settings),
            reference: ReferenceLog::new(&broker.log, settings.history.age_max, allowed),
            commands: Vec::new(),
            people: names.iter().cloned().map(Person::new).collect(),
            connections: Vec::new(),
            tally: Tally::default(),
            numbers: HashMap::new(),
            mail: HashMap::new(),
            promised: HashMap::new(),
            renewals: HashMap::new(),
            revoked_until: vec![Duration::ZERO; names.len()],
            unanswered: Vec::new(),
            placing: plan.placing,
            present: vec![0; names.len()],
            leavers: Vec::new(),
            learnt: 0,
            merging: Merging::default(),
            health: if is_roomy { Health::Sound } else { Health::Doubtful },
            event_bytes_max: 0,
        }
    }

    /// Reads the appended events, and notes which clients must get them.
    pub fn learn(&mut self) {
        self.reference.follow(&self.broker.log, &self.commands);
        for sequence in self.learnt + 1..=self.reference.head() {
            let Some(record) = self.reference.record(sequence) else { continue };
            self.event_bytes_max = self.event_bytes_max.max(record.text.len());
            for connection in self.connections.iter_mut().filter(|connection| !connection.is_closed)
            {
                if let Some(oracle) = &mut connection.oracle {
                    oracle.learns(sequence, record);
                }
            }
        }
        self.learnt = self.reference.head();
    }

    /// Notes a completion.
    pub fn note(&mut self, completion: &Completion<'_>, place: Place) {
        let Place { core, position, now, .. } = place;
        match *completion {
            Completion::Accepted { connection, peer, .. } => {
                return self.is_accepted(core, connection, peer);
            }
            Completion::Woken => {
                // The outcomes of submissions may be in the mailbox.
                for token in std::mem::take(&mut self.unanswered) {
                    if self.commands[token].ack.is_none() {
                        self.find_recipients(token);
                        self.unanswered.push(token);
                    }
                }
                for RemoteChange { number, topic, since } in
                    self.mail.remove(&core).unwrap_or_default()
                {
                    self.trouble(number);
                    let connection = &mut self.connections[number];
                    let change = ChangeDone { id: None, topic, since, position, at: now };
                    connection.changes.push_back(change);
                    connection.settle();
                }
                return;
            }
            _ => {}
        }
        let Some(connection) = connection_of(completion) else { return };
        let Some(&number) = self.numbers.get(&(core, connection)) else { return };
        match *completion {
            Completion::Received { ref bytes, .. } => self.receives(number, bytes.len()),
            Completion::Placed { length, .. } => self.receives(number, length),
            Completion::Backlogged { unsent_bytes, .. } => {
                let transport = self.connections[number].transport;
                let bound = of_events(transport, &self.settings, self.event_bytes_max);
                let socket = &self.connections[number].socket;
                let bound = bound.map(|bound| socket.sealed_bytes_max(bound));
                check_backlog(connection, unsent_bytes, bound);
                self.trouble(number);
                self.connections[number].was_backlogged = true;
            }
            Completion::EndOfStream { .. } => self.leaves(number),
            Completion::Failed { .. } => {
                // It may belong to a send of the last turn, which was not taken.
                self.connections[number].claimed = 0;
                self.leaves(number);
            }
            Completion::Closed { .. } => {
                self.numbers.remove(&(core, connection));
                self.is_closed(number);
            }
            _ => {}
        }
    }

    fn is_accepted(&mut self, core: usize, id: ConnectionId, address: SocketAddr) {
        let mut newest = self.connections.iter().enumerate().rev();
        let found = newest.find(|(_, connection)| connection.socket.address() == address);
        if let Some((number, _)) = found {
            self.numbers.insert((core, id), number);
            self.connections[number].place = Some((core, id));
            if self.connections[number].socket.sealed_bytes_max(0) > 0 {
                self.tally.add(Count::Sealed);
            }
        }
    }

    /// How much longer than others a closed connection may have been silent; `None` means forever.
    /// A stream whose socket takes its bytes is not probed.
    pub fn patience(&self, core: usize, completion: &Completion<'_>) -> Option<Duration> {
        let Completion::Closed { connection } = completion else { return None };
        let number = self.numbers.get(&(core, *connection));
        match number.map(|number| self.connections[*number].transport) {
            Some(transport) if transport.is_stream() => None,
            Some(Transport::Poll) => Some(POLL_WAIT_MAX),
            _ => Some(Duration::ZERO),
        }
    }

    /// A core has served all input of this turn: bytes that were written before it and are not
    /// backlogged were taken. After a backlog the model does not know whether the client was still
    /// served when its bytes were taken; and the gateway does not check closely where commands are
    /// answered.
    pub fn has_received_all(&mut self, core: usize) {
        for person in 0..self.people.len() {
            self.take_stock(person);
        }
        for connection in &mut self.connections {
            let is_here = connection.place.is_some_and(|(own, _)| own == core);
            let is_stream = matches!(
                connection.transport,
                Transport::Sse(_) | Transport::Lines | Transport::Iframe
            );
            if is_here && is_stream && !connection.was_backlogged && !connection.has_ended {
                connection.settled = connection.settled.max(connection.taken_to);
            }
        }
    }

    /// A core that was at `before` has read the log and has visited clients.
    pub fn has_visited(&mut self, core: usize, before: (u64, u32), shard: &Shard) {
        self.merging.has_visited(core, before, shard.hub().position());
    }

    /// A core may have slept for longer than the history lasts.
    pub fn expect_a_gap(&mut self, core: usize, position: Sequence) {
        if self.broker.log.first() > position + 1 {
            for connection in &mut self.connections {
                let is_here = connection.place.is_some_and(|(own, _)| own == core);
                if let Some(oracle) = connection.oracle.as_mut().filter(|_| is_here) {
                    oracle.trouble();
                }
            }
        }
    }

    /// Checks, when nothing moves, that every client that reads has everything.
    pub fn audit_rest(&mut self, now: Duration) {
        self.tally.add(Count::Rests);
        // Before the clients are known to keep up: they may have been behind.
        (0..self.people.len()).for_each(|person| self.take_stock(person));
        let log = &self.broker.log;
        let moment =
            Moment { now, reference: &self.reference, first: log.first(), epoch: log.epoch() };
        let health = self.health;
        for connection in &mut self.connections {
            let listens = connection.attention == Attention::Full
                && connection.is_used()
                && !connection.is_closed;
            let Some(oracle) = connection.oracle.as_mut().filter(|_| listens) else { continue };
            oracle.rests(moment, health);
            let age_max = self.settings.server.max_connection_age;
            let is_young = age_max.is_zero() || now < connection.used_at + age_max + LATENESS;
            check!(is_young, "on {:?} since {:?}", connection.transport, connection.used_at);
            if connection.transport != Transport::Poll {
                token::check_at_rest(connection, now);
            }
            if connection.transport != Transport::Poll {
                let name = &self.people[connection.person].name;
                let liveness = self.broker.directory.liveness(name);
                check_eq!(
                    liveness,
                    Liveness::Live,
                    "{name} has all, on {:?}",
                    connection.transport
                );
            }
        }
    }

    /// Counts how connections over TLS have ended.
    pub fn count_outcomes(&mut self) {
        for connection in &self.connections {
            let Some(outcome) = connection.socket.outcome() else { continue };
            self.tally.add(match outcome {
                Outcome::Announced => Count::EndsAnnounced,
                Outcome::Unannounced => Count::EndsUnannounced,
                Outcome::Alerted => Count::Alerts,
                Outcome::Refused => Count::HandshakesRefused,
            });
        }
    }

    /// Collects what the sockets of a client have taken so far.
    pub(super) fn take_stock(&mut self, person: usize) {
        let Self { connections, people, reference, merging, tally, .. } = self;
        let known = &mut people[person];
        let bytes_of = |sequence| reference.record(sequence).map_or(0, |record| record.text.len());
        let all = connections.iter_mut().enumerate();
        for (number, connection) in all.filter(|(_, connection)| connection.person == person) {
            let taken = connection.socket.taken();
            let taken = connection.taken.take(&taken, connection.transport, bytes_of);
            if let Some((core, id)) = connection.place.filter(|_| connection.keeps_up())
                && !taken.is_empty()
                && merging.takes(number, core, id.slot(), &taken)
            {
                tally.add(Count::Merged);
            }
            let is_own = |sequence: &&Sequence| {
                let record = reference.record(**sequence);
                record.is_none_or(|record| record.is_for(&known.name))
            };
            let own: Vec<Sequence> = taken.iter().filter(is_own).copied().collect();
            connection.taken_to = own.iter().copied().fold(connection.taken_to, Sequence::max);
            known.taken.extend(own);
            known.waive(connection.taken.told_to());
            if connection.is_opaque() {
                known.waive(reference.head());
            }
        }
    }

    /// Notes which recipients are connected when a command is performed.
    pub fn is_carried_out(&mut self, token: usize) {
        // A repeated command is performed only the first time.
        if self.reference.place(token as u64).is_none() {
            if self.placing == Placing::AtOnce {
                self.commands[token].there.clear();
            } else if !self.unanswered.contains(&token) {
                self.unanswered.push(token);
            }
            self.find_recipients(token);
        }
    }

    /// Notes which recipients of a command are connected now.
    pub(super) fn find_recipients(&mut self, token: usize) {
        let Kind::Notify { to } = &self.commands[token].kind else { return };
        let is_there = |name: &&String| {
            self.connections.iter().any(|connection| {
                let is_theirs = self.people[connection.person].name == **name;
                is_theirs && connection.has_entered && !connection.is_closed
            })
        };
        let there: Vec<String> = to.iter().filter(is_there).cloned().collect();
        self.commands[token].there.extend(there);
    }

    fn is_closed(&mut self, number: usize) {
        self.take_stock(self.connections[number].person);
        let connection = &mut self.connections[number];
        connection.is_closed = true;
        connection.has_entered = false;
    }

    /// At the end of a turn the gateway knows what was taken by clients that left normally.
    pub fn end_turn(&mut self) {
        for connection in std::mem::take(&mut self.leavers) {
            let HubConnection { person, settled, claimed, began_beside, .. } =
                self.connections[connection];
            // A connection that began while the client had others does not settle earlier events.
            if began_beside {
                continue;
            }
            let person = &mut self.people[person];
            person.settled = person.settled.max(settled).max(claimed);
        }
    }

    /// The gateway sees the end of a connection.
    pub(super) fn leaves(&mut self, number: usize) {
        self.trouble(number);
        self.connections[number].has_ended = true;
        self.leavers.push(number);
    }

    pub(super) fn trouble(&mut self, number: usize) {
        if let Some(oracle) = &mut self.connections[number].oracle {
            oracle.trouble();
        }
    }
}
