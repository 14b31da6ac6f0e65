//! A core's side of the hub: its subscriptions, its position in the log, and the clients that wait
//! for a turn.
//!
//! The core lends it to each connection that it serves. It never holds a connection.

use crate::encoding::large_events::LargeEvents;

use std::{cell::Cell, sync::Arc, time::Duration};

use ringway_acceptor::ConnectionId;
use ringway_hub::{Handover, Key, Name, Reader, Seat, Sequence, Subscriptions, TopicId};

use crate::{
    auth::{IdentitySource, SelfNamed},
    broker::{
        Broker,
        mailbox::{CoreMessage, Mailbox},
        source::{Submitter, SubmitterId},
    },
    limits::{LOOK_UP_BYTES, TURN_EVENT_BYTES_MAX, TURN_SLICE_BYTES},
    rates::CoreRates,
    session::{
        ahead::Ahead,
        departures::{Departure, Departures, Taken},
        dispatch::Dispatch,
        occurrences::Leaving,
        questions::Questions,
        ready::{Effort, ReadyQueue},
        served::Served,
        submissions::Submissions,
    },
};

/// A core's side of the hub.
pub struct CoreHub {
    /// Shared by all cores.
    pub broker: Arc<Broker>,
    /// Checks the tokens of commands.
    pub identities: Arc<dyn IdentitySource>,
    /// Sends messages to other cores.
    pub mailbox: Mailbox,
    /// This core's index.
    pub core: usize,
    /// The subscriptions of this core's clients.
    pub subscriptions: Subscriptions,
    /// Appends events to the log for this core.
    pub submitter: Submitter,
    /// Commands whose events have no place in the log yet.
    pub submissions: Submissions,
    /// What is asked of applications.
    pub questions: Questions,
    /// Reads the log for this core.
    pub reader: Reader,
    /// Events that were read and are not sent yet.
    pub dispatch: Dispatch,
    /// Encoded large events that are being sent.
    pub large_events: LargeEvents,
    /// Connections to serve in the next turn even if no completion arrives for them.
    pub ready: ReadyQueue,
    /// Clients that left before it was known whether their sockets took everything.
    pub departures: Departures,
    /// Connections that publish faster than their events are sent.
    pub ahead: Ahead,
    /// Clients whose connections are about to end.
    pub leaving: Leaving,
    /// Whether the other cores have something to read.
    pub appended: Appended,
    /// Whether a command has renewed a token, and the connection's deadline is not set to it yet.
    pub renewed: Renewed,
    /// Whether clients may send events.
    pub intake: Intake,
    /// WebSockets here that share compressed events.
    pub deflated: usize,
    /// The cost of single clients since this was last set to 0, in bytes written or searched, or in
    /// work that takes as long (`limits`).
    pub spent: Cell<usize>,
    /// What one client may cost now before others are served.
    pub slice: Cell<usize>,
    /// What its connections have used of their rates.
    pub rates: CoreRates,
    /// What the connection that is being served has sent.
    pub served: Served,
}

/// Whether this core has appended events for which the other cores have not been woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It has: it wakes the other cores when it next follows the log.
    Some,
    /// It has not: no core is woken.
    None,
}

/// Whether the client that is served now has renewed its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It has: its connection sets the deadline to the time of the new token.
    Some,
    /// It has not.
    None,
}

/// Whether this core takes events from clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// Commands append events.
    Open,
    /// The gateway is going away. New events are refused, as they might not reach their clients.
    Closed,
}

impl CoreHub {
    /// A core without clients.
    pub fn new(broker: Arc<Broker>, mailbox: Mailbox, core: usize) -> Self {
        Self {
            reader: broker.log.reader(),
            subscriptions: Subscriptions::new(&broker.log, core),
            broker,
            identities: Arc::new(SelfNamed),
            mailbox,
            core,
            submitter: Submitter::new(SubmitterId::Core(core)),
            submissions: Submissions::default(),
            questions: Questions::default(),
            dispatch: Dispatch::default(),
            large_events: LargeEvents::default(),
            ready: ReadyQueue::default(),
            departures: Departures::default(),
            ahead: Ahead::default(),
            leaving: Leaving::default(),
            appended: Appended::None,
            renewed: Renewed::None,
            intake: Intake::Open,
            deflated: 0,
            spent: Cell::new(0),
            slice: Cell::new(TURN_SLICE_BYTES),
            rates: CoreRates::default(),
            served: Served::default(),
        }
    }

    /// Adds to the cost of a client.
    pub fn spend(&self, bytes: usize) {
        self.spent.set(self.spent.get().saturating_add(bytes));
    }

    /// Whether the turn has used up its bound on cost.
    pub fn is_spent(&self) -> bool {
        self.spent.get() >= TURN_EVENT_BYTES_MAX
    }

    /// Whether input of this connection must wait until its events have been sent. A gateway that is
    /// going away takes no events, so nobody waits.
    #[inline]
    pub fn is_ahead(&self, connection: ConnectionId) -> bool {
        self.intake == Intake::Open
            && self.ahead.is_ahead(connection, || self.broker.progress.slowest())
    }

    /// Notes how far this core has sent the log, and serves the waiting connections that no longer
    /// have to wait for any core.
    pub fn note_progress(&mut self) {
        self.broker.progress.note(self.core, self.settled());
        for _ in 0..self.ahead.waiting() {
            let Some(connection) = self.ahead.next_waiting() else { break };
            match self.is_ahead(connection) {
                true => self.ahead.wait(connection),
                false => self.ready.push(connection, Effort::Heavy),
            }
        }
    }

    /// The position just before the last events of a topic, for a client that asks for them.
    pub fn before_last(&self, topic: &str, last: u32, last_max: usize, now: Duration) -> Sequence {
        let most = (last_max.min(last as usize), usize::MAX);
        self.spend(most.0 * LOOK_UP_BYTES);
        self.broker.log.before_last(Key::Topic(topic), self.position(), most, now)
    }

    /// Subscribes a connection; doing so again has no effect.
    pub fn subscribe(&mut self, topic: &str, slot: u32) -> TopicId {
        self.dispatch.join(slot);
        self.subscriptions.subscribe(topic, slot)
    }

    /// The place of a connection among those of all cores.
    pub fn seat(&self, slot: u32) -> Seat {
        Seat { core: self.core as u32, slot }
    }

    /// A connection of a client has ended: another of its connections is told which events may be
    /// missing.
    pub fn hand_over(&self, client: &Name, handover: Option<Handover>) {
        if let Some(handover) = handover {
            let order = CoreMessage::TakeOver { client: Name::clone(client), handover };
            self.mailbox.tell(handover.seat.core as usize, order);
        }
    }

    /// Ends these departures, whose sockets have taken everything, or nothing beyond what was
    /// already known.
    pub fn end_departures(&self, departures: impl IntoIterator<Item = Departure>, taken: Taken) {
        for Departure { connection, client, at, .. } in departures {
            let at = (taken == Taken::All).then_some(at);
            let seat = self.seat(connection.slot());
            self.hand_over(&client, self.broker.directory.end_departure(&client, seat, at));
        }
    }

    /// The last event that this core has read.
    pub fn position(&self) -> Sequence {
        self.reader.position()
    }

    /// The last event that every live client of this core has been sent.
    pub fn settled(&self) -> Sequence {
        self.dispatch.settled(self.position())
    }
}
