//! One connection of a client: the requests that it sends, and how far the gateway has served them.
//!
//! It makes bytes and keeps marks; the gateway's answers are checked elsewhere.

use std::{collections::VecDeque, time::Duration};

use fastrand::Rng;
use ringway_acceptor::{ConnectionId, sim::Network};
use ringway_frame::{Opcode, emit_frame};
use ringway_hub::{Cursor, Sequence};

use super::{
    command::Token,
    connect_params::{ConnectParams, encoded},
    oracle::{Oracle, Since},
    taken::TakenEvents,
};
use crate::{
    connection::Connection,
    decoder::{Packing, Transport},
    sealing::{Received, Sealing},
    tally::{Count, Tally},
};

/// Something that the gateway does once it has served the bytes before it.
#[derive(Debug, Clone)]
pub enum Mark {
    /// It adds the client.
    Enter {
        /// Where the client resumes.
        start: Option<Cursor>,
        /// The client's topics.
        topics: Vec<String>,
    },
    /// It appends an event, unless it has done so before.
    Command(Token),
    /// It changes a subscription of this connection.
    ChangeRequest(ChangeRequest),
    /// It ends the connection.
    Leave,
    /// It changes a subscription of another connection.
    RemoteChange {
        /// The id of the command.
        id: String,
        /// The connection.
        connection: usize,
        /// The topic.
        topic: String,
        /// How it changes.
        change: Change,
    },
}

/// How a subscription is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The subscription begins.
    Subscribe,
    /// The subscription ends.
    Unsubscribe,
}

/// A requested change of a subscription.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// The id of the command.
    pub id: String,
    /// The topic.
    pub topic: String,
    /// Where the subscription begins; `None` ends it.
    pub wish: Option<Option<Cursor>>,
}

/// An applied change of a subscription, whose answer is in flight.
#[derive(Debug, Clone)]
pub struct ChangeDone {
    /// The id of the command; `None` if it came in a separate request, which is not answered here.
    pub id: Option<String>,
    /// The topic.
    pub topic: String,
    /// Where the subscription begins; `None` ends it.
    pub since: Option<Since>,
    /// The core's position at that time.
    pub position: Sequence,
    /// The time of the change.
    pub at: Duration,
}

/// How a client reads now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// All bytes.
    Full,
    /// Few bytes, or none.
    Poor,
}

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first answer has not arrived.
    Opening,
    /// The connection speaks its transport.
    Open,
    /// A request has no answer yet.
    Asking,
    /// The client has left, or ignores the connection.
    Left,
    /// The connection has ended.
    Over,
}

/// One connection.
pub struct HubConnection {
    /// The client's end.
    pub socket: Connection,
    /// The index of the client's name.
    pub person: usize,
    /// The index of the client.
    pub device: usize,
    /// Whether the request asks the gateway to close the connection after the answer.
    pub is_last: bool,
    /// Its transport.
    pub transport: Transport,
    /// Its phase.
    pub phase: Phase,
    /// How the client reads.
    pub attention: Attention,
    /// What the gateway must send on it, once the client is admitted.
    pub oracle: Option<Oracle>,
    /// Changes of subscriptions whose answers have not arrived.
    pub changes: VecDeque<ChangeDone>,
    /// The ids of commands that the gateway has served, and whose answers have not arrived.
    pub answers_due: VecDeque<String>,
    /// The gateway's name for it.
    pub name: Option<String>,
    /// The core that it is on, and its id there.
    pub place: Option<(usize, ConnectionId)>,
    /// Whether the gateway has closed its end.
    pub is_closed: bool,
    /// Whether the client has ended it, or it broke.
    pub has_ended: bool,
    /// Whether the client was admitted at least once.
    pub has_entered: bool,
    /// Whether the driver has ever kept bytes for it.
    pub was_backlogged: bool,
    /// The last of the client's own events that its socket has taken.
    pub taken_to: Sequence,
    /// `taken_to` at the time when the client left, if nothing was in flight to it.
    pub claimed: Sequence,
    /// The gateway knows that the client's own events up to here were taken.
    pub settled: Sequence,
    /// Whether others of the client may have been there when it came without a cursor.
    pub began_beside: bool,
    /// Whether the answer to a poll is incomplete.
    pub is_owed: bool,
    /// When it was last used.
    pub used_at: Duration,
    /// The events that its socket has taken.
    pub taken: TakenEvents,
    marks: VecDeque<(usize, Mark)>,
    received: usize,
}

impl HubConnection {
    /// Begins to connect.
    pub fn connect(network: &Network, person: usize, device: usize, transport: Transport) -> Self {
        let sealing = Sealing::of_next(network);
        let mut socket = Connection::connect(network, None, sealing, transport);
        socket.taken();
        Self {
            socket,
            person,
            device,
            is_last: false,
            transport,
            phase: Phase::Opening,
            attention: Attention::Full,
            oracle: None,
            changes: VecDeque::new(),
            answers_due: VecDeque::new(),
            name: None,
            place: None,
            is_closed: false,
            has_ended: false,
            has_entered: false,
            was_backlogged: false,
            taken_to: 0,
            claimed: 0,
            settled: 0,
            began_beside: false,
            is_owed: false,
            used_at: network.now(),
            taken: TakenEvents::default(),
            marks: VecDeque::new(),
            received: 0,
        }
    }

    /// Whether it is sent events as they come. A poll is not: each of its requests begins anew.
    pub fn keeps_up(&self) -> bool {
        self.transport != Transport::Poll && self.oracle.as_ref().is_some_and(Oracle::is_sound)
    }

    /// Whether the client still uses it.
    pub fn is_used(&self) -> bool {
        !matches!(self.phase, Phase::Left | Phase::Over)
    }

    /// Sends the request that connects the client.
    pub fn enter(&mut self, params: &ConnectParams<'_>, rng: &mut Rng) {
        let mut bytes = Vec::new();
        match self.transport {
            Transport::WebSocket(packing) => {
                let expectation = params.upgrade(packing, &mut bytes, rng);
                self.socket.expect(Some(expectation));
            }
            _ => {
                let request = params.request(self.transport, rng);
                self.is_last = request.contains("Connection: close");
                bytes.extend_from_slice(request.as_bytes());
            }
        }
        self.phase = match self.transport {
            Transport::Poll => Phase::Asking,
            _ => Phase::Opening,
        };
        let topics = params.topics.to_vec();
        self.send(&bytes, Some(Mark::Enter { start: params.cursor, topics }));
    }

    /// Sends a command in a frame.
    pub fn say(&mut self, text: &str, mark: Option<Mark>, rng: &mut Rng) {
        let mut frame = Vec::new();
        let mask = rng.u32(..).to_ne_bytes();
        emit_frame(&mut frame, Some(mask), Opcode::Text, text.as_bytes());
        self.send(&frame, mark);
    }

    /// Sends a command in a separate request.
    pub fn post(&mut self, person: &str, text: &str, mark: Option<Mark>, rng: &mut Rng) {
        let person = encoded(person);
        self.is_last = rng.bool();
        let close = if self.is_last { "Connection: close\r\n" } else { "" };
        let request = format!(
            "POST /send?client={person} HTTP/1.1\r\nHost: a\r\n{close}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            text.len(),
        );
        self.phase = Phase::Asking;
        self.send(request.as_bytes(), mark);
    }

    /// Sends bytes after which the gateway does what `mark` says.
    pub fn send(&mut self, bytes: &[u8], mark: Option<Mark>) {
        let sent = self.socket.send(bytes);
        self.marks.extend(mark.map(|mark| (sent, mark)));
    }

    /// Notes that the gateway has received this many bytes more, which it may put off.
    pub fn receives(&mut self, bytes: usize, tally: &mut Tally) {
        let Received { plain, has_ended } = self.socket.delivers(bytes);
        self.received += plain;
        if has_ended {
            self.marks.push_back((self.received, Mark::Leave));
            tally.add(Count::EndedByRecord);
        }
    }

    /// Whether the gateway has received a request or a message that it has not served yet.
    pub fn awaits_service(&self) -> bool {
        self.marks.front().is_some_and(|(end, _)| *end <= self.received)
    }

    /// The marks that the gateway has reached, given how many of the received bytes still wait.
    pub fn is_served(&mut self, waiting_bytes: usize) -> Vec<Mark> {
        // Records that wait are longer than their plain text.
        let served = self.received.saturating_sub(waiting_bytes);
        let mut done = Vec::new();
        while self.marks.front().is_some_and(|(end, _)| *end <= served) {
            done.extend(self.marks.pop_front().map(|(_, mark)| mark));
        }
        done
    }

    /// The gateway gives up the connection: its waiting bytes are never served.
    pub fn is_given_up(&mut self) {
        self.marks.clear();
    }

    /// Applies a change of a subscription, unless answers to earlier ones are due.
    pub fn settle(&mut self) {
        let Some(oracle) = &mut self.oracle else { return };
        while let Some(change) = self.changes.pop_front_if(|next| next.id.is_none()) {
            let since = match change.since {
                Some(Since::After(sequence)) => Some(sequence),
                _ => None,
            };
            oracle.changed(&change.topic, since, change.position, change.at);
        }
    }

    /// Whether it is unknown what its socket has taken, or the gateway does not wait to find out.
    pub fn is_opaque(&self) -> bool {
        match self.transport {
            Transport::WebSocket(Packing::Shared | Packing::Own) => self.has_entered,
            Transport::Poll => self.is_owed,
            _ => false,
        }
    }
}
