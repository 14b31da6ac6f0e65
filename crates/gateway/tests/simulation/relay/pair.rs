//! Both sides of one relayed connection, each a client with a behaviour of its own.
//!
//! Property: each side receives a prefix of what the other one sent, in order; without a reset it
//! receives all. A reset of one side reaches the other one. A server that does not open the
//! WebSocket is a response to the client.

use std::time::Duration;

use fastrand::Rng;
use ringway_acceptor::sim::Network;

use super::{CONNECT_TIME_MAX, Losses, Servers, path};
use crate::{
    behaviour::{Behaviour, Leaving, Reading, Splitting},
    checkers::{check, check_eq},
    connection::Connection,
    decoder::Transport,
    playback::{Cue, Playback},
    script::Script,
    sealing::Sealing,
    tally::{Count, Tally},
};

const PROPERTY: &str = "a relay passes on all bytes in order, and the end of each stream";

/// The key of RFC 6455 §1.3, and a server's answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const OPENING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Accept: \
                       s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The end of a head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// How the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Opens,
    /// It refuses with this status.
    Refuses(u16),
    /// Its answer is not one.
    Babbles,
    /// It never answers.
    Hangs,
}

impl Plan {
    fn any(losses: Losses, rng: &mut Rng) -> Self {
        match rng.u8(..16) {
            _ if losses == Losses::None => Self::Opens,
            0 => Self::Refuses(403),
            1 => Self::Refuses(200),
            2 => Self::Babbles,
            3 => Self::Hangs,
            _ => Self::Opens,
        }
    }

    fn answer(self) -> String {
        match self {
            Self::Opens => OPENING.to_owned(),
            Self::Refuses(status) => {
                format!("HTTP/1.1 {status} No\r\nContent-Length: 4\r\n\r\nbody")
            }
            Self::Babbles => OPENING.replace("s3p", "S3P"),
            Self::Hangs => String::new(),
        }
    }
}

/// A client and the servers that it is relayed to.
pub struct Pair {
    client: Endpoint,
    servers: Servers,
    number: usize,
    admits_at: Option<Duration>,
    plan: Plan,
    upstream: Option<Endpoint>,
    losses: Losses,
}

/// One side.
struct Endpoint {
    playback: Playback,
    /// The length of its head; the rest is passed on.
    head: usize,
    received: Vec<u8>,
    /// Whether it sent bytes after it had read the end of the other side.
    sent_after_end: bool,
}

impl Endpoint {
    fn new(
        connection: Connection,
        head: &str,
        losses: Losses,
        now: Duration,
        rng: &mut Rng,
    ) -> Self {
        let length = if rng.bool() { rng.usize(..200) } else { rng.usize(..40_000) };
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend(std::iter::repeat_with(|| rng.u8(..)).take(length));
        let length = bytes.len();
        let script = Script { bytes, ..Script::default() };
        let mut behaviour = Behaviour::plain(&script);
        behaviour.splitting = Splitting::AtMost(rng.usize(1 + length / 1_000..3_000));
        behaviour.leaving = match rng.u8(..8) {
            0 if losses == Losses::Any => Leaving::Vanishes,
            1 if losses == Losses::Any => {
                behaviour.says = rng.usize(..=length);
                Leaving::Resets
            }
            _ => Leaving::HalfCloses,
        };
        behaviour.reading = match rng.u8(..6) {
            0 => Reading::Naps(0, Duration::from_millis(rng.u64(..400))),
            1 => Reading::AtMost(50),
            _ => Reading::Freely,
        };
        let time = Duration::from_millis(rng.u64(..100));
        behaviour.rest = match rng.u8(..4) {
            0 => None,
            1 => Some((rng.usize(..=length), time)),
            // Usually until its server is connected.
            _ => Some((0, time)),
        };
        let mut playback = Playback::new(script, behaviour);
        playback.begin(connection, now);
        Self { playback, head: head.len(), received: Vec::new(), sent_after_end: false }
    }

    fn act(&mut self, now: Duration) -> Option<Duration> {
        self.read();
        let sent = self.playback.sent;
        let next = self.playback.act(now, Cue::Speak);
        self.sent_after_end |= self.saw_fin() && self.playback.sent > sent;
        next
    }

    fn read(&mut self) {
        let bytes = self.playback.connection().receive();
        self.received.extend(bytes);
    }

    fn connection(&self) -> &Connection {
        self.playback.connection.as_ref().expect("it has come")
    }

    fn saw_fin(&self) -> bool {
        self.connection().saw_fin()
    }

    fn saw_reset(&self) -> bool {
        self.connection().saw_reset()
    }

    fn has_ended(&self) -> bool {
        self.saw_fin() || self.saw_reset()
    }

    /// What it has sent after its head.
    fn passed(&self) -> &[u8] {
        let sent = &self.playback.script.bytes[..self.playback.sent];
        sent.get(self.head..).unwrap_or_default()
    }

    /// What it has received after the head of the other side, and the first line of that.
    fn got(&self) -> (&[u8], &str) {
        let ends = |at: &usize| self.received[*at..].starts_with(HEAD_END);
        match (0..self.received.len()).find(ends) {
            None => (&[], ""),
            Some(end) => {
                let head = str::from_utf8(&self.received[..end]).unwrap_or_default();
                (&self.received[end + HEAD_END.len()..], head.lines().next().unwrap_or_default())
            }
        }
    }

    /// Whether it has sent everything, and nothing was lost on its side.
    fn is_polite(&self) -> bool {
        self.playback.behaviour.leaving == Leaving::HalfCloses && !self.saw_reset()
    }
}

impl Pair {
    /// A client that connects now, and its server, which may refuse, hang, or answer late.
    pub fn new(
        network: &Network,
        losses: Losses,
        number: usize,
        servers: Servers,
        rng: &mut Rng,
    ) -> Self {
        let now = network.now();
        let mut admits_at = None;
        match rng.u8(..8) {
            0 if losses == Losses::Any => servers.serving.refuse(),
            1 if losses == Losses::Any => servers.serving.ignore(),
            2 => {
                servers.serving.ignore();
                admits_at = Some(CONNECT_TIME_MAX.mul_f64(0.5 * rng.f64()));
            }
            _ => {}
        }
        let connection = Connection::connect(network, None, Sealing::Off, Transport::Echo);
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
            path(number)
        );
        let client = Endpoint::new(connection, &head, losses, now, rng);
        let plan = Plan::any(losses, rng);
        Self { client, servers, number, admits_at, plan, upstream: None, losses }
    }

    /// Lets both sides act. Returns when to call it again.
    pub fn act(&mut self, now: Duration, rng: &mut Rng) -> Option<Duration> {
        if self.admits_at.take_if(|at| *at <= now).is_some() {
            self.servers.serving.admit();
        }
        if let Some(client) = self.servers.serving.accept() {
            check!(self.upstream.is_none(), "a server is connected twice");
            let connection = Connection::over(client, Transport::Echo);
            let answer = self.plan.answer();
            let mut upstream = Endpoint::new(connection, &answer, self.losses, now, rng);
            if self.plan == Plan::Hangs {
                upstream.playback.behaviour.says = 0;
                upstream.playback.behaviour.leaving = Leaving::FallsSilent;
            }
            self.upstream = Some(upstream);
        }
        let upstream = self.upstream.as_mut().and_then(|upstream| upstream.act(now));
        self.client.act(now).into_iter().chain(upstream).chain(self.admits_at).min()
    }

    /// Whether both sides know that the connection has ended.
    pub fn has_ended(&self) -> bool {
        self.client.has_ended() && self.upstream.as_ref().is_none_or(Endpoint::has_ended)
    }

    /// Checks the result.
    pub fn check(&mut self, tally: &mut Tally) {
        self.client.read();
        self.upstream.as_mut().map(Endpoint::read);
        let client = &self.client;
        let (_, line) = client.got();
        let is_open = line == "HTTP/1.1 101 Switching Protocols";
        if !is_open {
            return self.check_refusal(line, tally);
        }
        let Some(upstream) = &self.upstream else { panic!("nobody has opened it") };
        check_eq!(self.plan, Plan::Opens, "the server's answer");
        let request = format!("GET {} HTTP/1.1", path(self.number));
        let got = upstream.got().1;
        check!(got.is_empty() || got == request, "a server was asked {got:?}");
        for (from, to) in [(client, upstream), (upstream, client)] {
            check!(from.passed().starts_with(to.got().0), "bytes are not in order");
        }
        if client.is_polite() && upstream.is_polite() {
            for (from, to) in [(client, upstream), (upstream, client)] {
                check!(to.saw_fin(), "an end was not passed on");
                check_eq!(from.playback.sent, from.playback.script.bytes.len(), "bytes sent");
                check!(from.passed() == to.got().0, "bytes are missing");
            }
            check_eq!(got, request, "the request");
            tally.add(Count::RelaysCompleted);
            if client.sent_after_end || upstream.sent_after_end {
                tally.add(Count::RelaysSentAfterEnd);
            }
        } else {
            check!(self.losses == Losses::Any, "nobody reset anything");
            tally.add(Count::RelaysReset);
        }
        for (from, to) in [(client, upstream), (upstream, client)] {
            if from.saw_reset() && !to.saw_reset() {
                check!(to.saw_fin(), "a side did not get the end of the stream");
            }
        }
    }

    /// The client was not connected: it was told why, unless its own connection broke.
    fn check_refusal(&self, line: &str, tally: &mut Tally) {
        let client = &self.client;
        check!(self.losses == Losses::Any, "a WebSocket was not opened: {line:?}");
        if let (Some(upstream), false) = (&self.upstream, self.plan == Plan::Opens) {
            check!(
                upstream.got().0.is_empty(),
                "a server that refused was sent the client's bytes"
            );
        }
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        match status {
            Some("403" | "200") => {
                check!(matches!(self.plan, Plan::Refuses(_)), "a refusal that nobody made");
                tally.add(Count::RelaysPassedRefusal);
            }
            Some("502" | "503") => tally.add(Count::RelaysRefused),
            Some("504") => tally.add(Count::RelaysTimedOut),
            Some(other) => check!(other.is_empty(), "an answer with status {other}"),
            None => {
                let is_gone =
                    client.saw_reset() || client.playback.behaviour.leaving != Leaving::HalfCloses;
                check!(is_gone || client.playback.sent < client.head, "a client was not answered");
                tally.add(Count::RelaysCancelled);
            }
        }
    }
}
