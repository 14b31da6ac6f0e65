//! One connection of a client: the requests that it makes, and how far the gateway has served them.
//!
//! It makes bytes and keeps marks; what the gateway says is checked elsewhere.

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

/// Something that the gateway does once it has served what came before.
#[derive(Debug, Clone)]
pub enum Mark {
    /// It enters the client.
    Enter {
        /// From where on.
        start: Option<Cursor>,
        /// For which topics.
        topics: Vec<String>,
    },
    /// It appends an event, unless it has done so before.
    Command(Token),
    /// It changes a subscription of this connection.
    ChangeRequest(ChangeRequest),
    /// It ends the connection.
    Leave,
    /// It has another connection's subscription changed.
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
    /// It begins.
    Subscribe,
    /// It ends.
    Unsubscribe,
}

/// A change of a subscription.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// The id of the command.
    pub id: String,
    /// The topic.
    pub topic: String,
    /// From where on; `None`: no more.
    pub wish: Option<Option<Cursor>>,
}

/// A change of a subscription that was applied; its answer is on its way.
#[derive(Debug, Clone)]
pub struct ChangeDone {
    /// The id of the command; `None`: it came by a request of its own, and is not answered here.
    pub id: Option<String>,
    /// The topic.
    pub topic: String,
    /// From where on; `None`: no more.
    pub since: Option<Since>,
    /// Where the core stood.
    pub position: Sequence,
    /// When it was.
    pub at: Duration,
}

/// How a client reads at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// All that comes.
    Full,
    /// Little, or nothing.
    Poor,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first answer is due.
    Opening,
    /// It speaks its transport.
    Open,
    /// A request is under way.
    Asking,
    /// The client has left, or does not care any more.
    Left,
    /// Nothing more comes.
    Over,
}

/// One connection.
pub struct HubConnection {
    /// The client's end.
    pub socket: Connection,
    /// Under which name the client comes.
    pub person: usize,
    /// Whose it is.
    pub device: usize,
    /// Whether the gateway was asked to close it after the answer.
    pub is_last: bool,
    /// How it is connected.
    pub transport: Transport,
    /// How far it has come.
    pub phase: Phase,
    /// How the client reads.
    pub attention: Attention,
    /// What is owed to it, once the gateway has let it in.
    pub oracle: Option<Oracle>,
    /// Changes of subscriptions whose answers are due.
    pub changes: VecDeque<ChangeDone>,
    /// The ids of commands that the gateway has served, and whose answers were not heard.
    pub answers_due: VecDeque<String>,
    /// What the gateway calls it.
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
    /// The last event of the client's own that its socket has taken.
    pub taken_to: Sequence,
    /// As it was when the client left, if nothing was on its way to it.
    pub claimed: Sequence,
    /// Events of the client's own up to here are known to the gateway to have been taken.
    pub settled: Sequence,
    /// Whether others of the client may have been there when it came without a cursor.
    pub began_beside: bool,
    /// Whether the answer to a poll has not come whole.
    pub is_owed: bool,
    /// When it was last used.
    pub used_at: Duration,
    /// What its socket has taken.
    pub taken: TakenEvents,
    marks: VecDeque<(usize, Mark)>,
    received: usize,
}

impl HubConnection {
    /// A connection that is being made.
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

    /// Whether the client still cares for it.
    pub fn is_used(&self) -> bool {
        !matches!(self.phase, Phase::Left | Phase::Over)
    }

    /// Asks for admission.
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

    /// Sends a command in a request of its own.
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

    /// The gateway has received this much more, and may put it off.
    pub fn receives(&mut self, bytes: usize, tally: &mut Tally) {
        let Received { plain, has_ended } = self.socket.delivers(bytes);
        self.received += plain;
        if has_ended {
            self.marks.push_back((self.received, Mark::Leave));
            tally.add(Count::EndedByRecord);
        }
    }

    /// Whether the gateway has received a request, or a message, that it has not served yet.
    pub fn awaits_service(&self) -> bool {
        self.marks.front().is_some_and(|(end, _)| *end <= self.received)
    }

    /// What the gateway has done by now, given how many of the bytes that it has received wait.
    pub fn is_served(&mut self, waiting_bytes: usize) -> Vec<Mark> {
        let served = self.received - waiting_bytes;
        let mut done = Vec::new();
        while self.marks.front().is_some_and(|(end, _)| *end <= served) {
            done.extend(self.marks.pop_front().map(|(_, mark)| mark));
        }
        done
    }

    /// The gateway gives the connection up: what waits is never served.
    pub fn is_given_up(&mut self) {
        self.marks.clear();
    }

    /// Takes a change of a subscription into account, unless answers to earlier ones are due.
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

    /// Whether it cannot be told what its socket has taken, or the gateway does not wait to know.
    pub fn is_opaque(&self) -> bool {
        match self.transport {
            Transport::WebSocket(Packing::Shared | Packing::Own) => self.has_entered,
            Transport::Poll => self.is_owed,
            _ => false,
        }
    }
}
