//! One connection of a client: the requests that it makes, and how far the gateway has served them.
//!
//! It makes bytes and keeps marks; what is heard is judged elsewhere.

use std::{collections::VecDeque, time::Duration};

use fastrand::Rng;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ringway_acceptor::{
    ConnectionId,
    sim::{Client, Network},
};
use ringway_frame::{
    Opcode,
    deflate::Offer,
    emit_frame,
    handshake::client::{Expectation, Request},
};
use ringway_hub::{Cursor, Sequence};

use super::{
    command::Token,
    ear::{Ear, Names},
    view::{Since, View},
};

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/ws`
    WebSocket(Packing),
    /// `/sse`
    Sse(Names),
    /// `/stream`
    Lines,
    /// `/stream?format=iframe`
    Iframe,
    /// `/poll`
    Poll,
    /// `/send`
    Post,
}

/// What a WebSocket asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// No compression.
    Plain,
    /// Compression that many may share.
    Shared,
    /// Compression of its own.
    Own,
}

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
    Listen(Listen),
    /// It ends the connection.
    Leave,
    /// It has another connection's subscription changed.
    Order {
        /// The id of the command.
        id: String,
        /// The connection.
        line: usize,
        /// The topic.
        topic: String,
        /// How it changes.
        change: Listening,
    },
}

/// How a subscription is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    /// It begins.
    Begun,
    /// It ends.
    Ended,
}

/// A change of a subscription.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The id of the command.
    pub id: String,
    /// The topic.
    pub topic: String,
    /// From where on; `None`: no more.
    pub wish: Option<Option<Cursor>>,
}

/// A change of a subscription that was carried out, and whose answer is on its way.
#[derive(Debug, Clone)]
pub struct Listened {
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
pub struct Line {
    /// The client's end.
    pub client: Client,
    /// Under which name the client comes.
    pub person: usize,
    /// Whose it is.
    pub device: usize,
    /// Whether the gateway was asked to close it after the answer.
    pub is_last: bool,
    /// How it is connected.
    pub route: Route,
    /// What listens.
    pub ear: Ear,
    /// How far it has come.
    pub phase: Phase,
    /// How the client reads.
    pub attention: Attention,
    /// What is owed to it, once the gateway has let it in.
    pub view: Option<View>,
    /// Changes of subscriptions whose answers are due.
    pub listened: VecDeque<Listened>,
    /// The ids of commands that the gateway has served, and whose answers were not heard.
    pub answers_due: VecDeque<String>,
    /// What the gateway calls it.
    pub name: Option<String>,
    /// The core that it is on, and its place there.
    pub place: Option<(usize, ConnectionId)>,
    /// Whether the gateway has closed its end.
    pub is_closed: bool,
    /// Whether the client has ended it, or it broke.
    pub has_ended: bool,
    /// Whether it was let in, at least once.
    pub has_entered: bool,
    /// Whether the driver has ever kept bytes for it.
    pub was_backlogged: bool,
    /// Whether it keeps some now.
    pub is_backlogged: bool,
    /// The last event of the client's own that its socket has taken.
    pub taken_to: Sequence,
    /// As it was when the client left, if nothing was on its way to it.
    pub claimed: Sequence,
    /// Events of the client's own up to here are known to the gateway to have been taken.
    pub settled: Sequence,
    /// Whether the answer to a poll has not come whole.
    pub is_owed: bool,
    /// When it was last used.
    pub used_at: Duration,
    marks: VecDeque<(usize, Mark)>,
    sent: usize,
    received: usize,
    /// Bytes that the socket has taken, the last few of them, and events among them with their
    /// ends.
    taken_bytes: usize,
    tail: Vec<u8>,
    begun: VecDeque<(usize, Sequence)>,
    /// The end of a gap that the socket has taken the word of, and the last few bytes before.
    told_to: Sequence,
    gap_tail: Vec<u8>,
}

impl Line {
    /// A connection that is being made.
    pub fn connect(network: &Network, person: usize, device: usize, route: Route) -> Self {
        let client = network.connect();
        client.taken();
        Self {
            client,
            person,
            device,
            is_last: false,
            route,
            ear: Ear::new(route, None),
            phase: Phase::Opening,
            attention: Attention::Full,
            view: None,
            listened: VecDeque::new(),
            answers_due: VecDeque::new(),
            name: None,
            place: None,
            is_closed: false,
            has_ended: false,
            has_entered: false,
            was_backlogged: false,
            is_backlogged: false,
            taken_to: 0,
            claimed: 0,
            settled: 0,
            is_owed: false,
            used_at: network.now(),
            marks: VecDeque::new(),
            sent: 0,
            received: 0,
            taken_bytes: 0,
            tail: Vec::new(),
            begun: VecDeque::new(),
            told_to: 0,
            gap_tail: Vec::new(),
        }
    }

    /// Whether the client still cares for it.
    pub fn is_used(&self) -> bool {
        !matches!(self.phase, Phase::Left | Phase::Over)
    }

    /// Asks to be let in.
    pub fn enter(&mut self, visit: &Visit<'_>, rng: &mut Rng) {
        let mut bytes = Vec::new();
        match self.route {
            Route::WebSocket(packing) => {
                let expectation = upgrade(visit, packing, &mut bytes, rng);
                self.ear = Ear::new(self.route, Some(expectation));
            }
            _ => {
                let request = visit.request(self.route, rng);
                self.is_last = request.contains("Connection: close");
                bytes.extend_from_slice(request.as_bytes());
            }
        }
        self.phase = match self.route {
            Route::Poll => Phase::Asking,
            _ => Phase::Opening,
        };
        let topics = visit.topics.to_vec();
        self.send(&bytes, Some(Mark::Enter { start: visit.cursor, topics }));
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
        self.client.send(bytes);
        self.sent += bytes.len();
        self.marks.extend(mark.map(|mark| (self.sent, mark)));
    }

    /// The gateway has received this much more, and may put it off.
    pub fn receives(&mut self, bytes: usize) {
        self.received += bytes;
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

    /// The places of events that the socket has taken whole since this was last asked; `bytes_of`
    /// says how long each is. Of what is compressed there is no telling.
    pub fn taken(&mut self, bytes_of: impl Fn(Sequence) -> usize) -> Vec<Sequence> {
        const PLAIN: &[u8] = b"{\"type\":\"event\",\"cursor\":\"";
        const IN_SCRIPT: &[u8] = b"{\\\"type\\\":\\\"event\\\",\\\"cursor\\\":\\\"";
        let begin = if self.route == Route::Iframe { IN_SCRIPT } else { PLAIN };
        let taken = self.client.taken();
        if taken.is_empty() {
            return Vec::new();
        }
        self.note_gaps(&taken);
        let start = self.taken_bytes - self.tail.len();
        self.taken_bytes += taken.len();
        self.tail.extend(taken);
        let whole = begin.len() + Cursor::TEXT_BYTES;
        for place in objects(&self.tail) {
            let Some(window) = self.tail.get(place..place + whole) else { break };
            if window.starts_with(begin) {
                let cursor = str::from_utf8(&window[begin.len()..]).expect("a cursor is ASCII");
                let sequence = cursor.parse::<Cursor>().expect("a cursor").sequence;
                self.begun.push_back((start + place + bytes_of(sequence), sequence));
            }
        }
        let keep = self.tail.len().saturating_sub(whole - 1);
        self.tail.drain(..keep);
        let is_whole = |end: usize| end <= self.taken_bytes;
        let count = self.begun.iter().take_while(|(end, _)| is_whole(*end)).count();
        self.begun.drain(..count).map(|(_, sequence)| sequence).collect()
    }

    fn note_gaps(&mut self, taken: &[u8]) {
        const PLAIN: [&[u8]; 2] = [b"{\"type\":\"gap\",\"from\":\"", b"\",\"to\":\""];
        const IN_SCRIPT: [&[u8]; 2] =
            [b"{\\\"type\\\":\\\"gap\\\",\\\"from\\\":\\\"", b"\\\",\\\"to\\\":\\\""];
        let [begin, between] = if self.route == Route::Iframe { IN_SCRIPT } else { PLAIN };
        let to_at = begin.len() + Cursor::TEXT_BYTES + between.len();
        let whole = to_at + Cursor::TEXT_BYTES;
        self.gap_tail.extend_from_slice(taken);
        for place in objects(&self.gap_tail) {
            let Some(window) = self.gap_tail.get(place..place + whole) else { break };
            if !window.starts_with(begin) {
                continue;
            }
            let to = str::from_utf8(&window[to_at..]).expect("a cursor is ASCII");
            let to = to.parse::<Cursor>().expect("a cursor");
            self.told_to = self.told_to.max(to.sequence);
        }
        self.gap_tail.drain(..self.gap_tail.len().saturating_sub(whole - 1));
    }

    /// The end of the last gap that its socket has taken the word of.
    pub fn told_to(&self) -> Sequence {
        self.told_to
    }

    /// Takes a change of a subscription into account, unless answers to earlier ones are due.
    pub fn settle(&mut self) {
        let Some(view) = &mut self.view else { return };
        while let Some(change) = self.listened.pop_front_if(|next| next.id.is_none()) {
            let since = match change.since {
                Some(Since::After(sequence)) => Some(sequence),
                _ => None,
            };
            view.changed(&change.topic, since, change.position, change.at);
        }
    }

    /// Whether it cannot be told what its socket has taken, or the gateway does not wait to know.
    pub fn is_opaque(&self) -> bool {
        match self.route {
            Route::WebSocket(Packing::Shared | Packing::Own) => self.has_entered,
            Route::Poll => self.is_owed,
            _ => false,
        }
    }
}

/// Where a JSON object may begin.
fn objects(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'{').map(|(place, _)| place)
}

/// What a client asks for when it comes.
pub struct Visit<'v> {
    /// Its name.
    pub person: &'v str,
    /// Its topics.
    pub topics: &'v [String],
    /// From where on.
    pub cursor: Option<Cursor>,
    /// How long a poll waits, in seconds.
    pub wait: f64,
}

impl Visit<'_> {
    fn query(&self) -> String {
        let mut query = format!("client={}", encoded(self.person));
        for topic in self.topics {
            query += &format!("&topic={}", encoded(topic));
        }
        query
    }

    fn request(&self, route: Route, rng: &mut Rng) -> String {
        let (mut query, mut fields) = (self.query(), String::new());
        match (self.cursor, route) {
            (Some(cursor), Route::Sse(_)) if rng.bool() => {
                fields = format!("Last-Event-ID: {cursor}\r\n");
            }
            (Some(cursor), _) => query += &format!("&cursor={cursor}"),
            (None, _) => {}
        }
        let path = match route {
            Route::Sse(Names::On) => "sse",
            Route::Sse(Names::Off) => {
                query += "&names=off";
                "sse"
            }
            Route::Iframe => {
                query += "&format=iframe";
                "stream"
            }
            Route::Poll => {
                query += &format!("&wait={}", self.wait);
                if rng.u8(0..3) == 0 {
                    fields += "Connection: close\r\n";
                }
                "poll"
            }
            _ => "stream",
        };
        format!("GET /{path}?{query} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    }
}

fn upgrade(
    visit: &Visit<'_>,
    packing: Packing,
    out: &mut Vec<u8>,
    rng: &mut Rng,
) -> Expectation<'static> {
    const SHARED: Offer = Offer {
        server_no_context_takeover: true,
        client_no_context_takeover: false,
        server_max_window_bits: None,
        client_max_window_bits: ringway_frame::deflate::ClientWindow::Fixed,
    };
    const OWN: Offer = Offer { server_no_context_takeover: false, ..SHARED };
    let offers: &'static [Offer] = match packing {
        Packing::Plain => &[],
        Packing::Shared => &[SHARED],
        Packing::Own => &[OWN],
    };
    let mut target = format!("/ws?{}", visit.query());
    if let Some(cursor) = visit.cursor {
        target += &format!("&cursor={cursor}");
    }
    let nonce = rng.u128(..).to_ne_bytes();
    let subprotocols = &["ringway.v1.json"];
    let request = Request { host: "a", target: "/ws", subprotocols, offers, headers: &[] };
    // What is expected does not depend on the target.
    let expectation = request.emit(nonce, &mut Vec::new()).expect("a sound request");
    let request = Request { target: &target, ..request };
    request.emit(nonce, out).expect("a sound request");
    expectation
}

fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
