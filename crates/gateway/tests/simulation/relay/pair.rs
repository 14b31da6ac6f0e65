//! Both sides of one relayed connection, each a client with a behaviour of its own.
//!
//! Property: each side receives a prefix of what the other one sent, in order; without a reset it
//! receives all. A reset of one side reaches the other one.

use std::time::Duration;

use fastrand::Rng;
use ringway_acceptor::sim::{Network, Server};

use super::{CONNECT_TIME_MAX, Losses, Relays};
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

/// A client and the server that it is relayed to.
pub struct Pair {
    client: Endpoint,
    server: Server,
    admits_at: Option<Duration>,
    upstream: Option<Endpoint>,
    losses: Losses,
}

/// One side.
struct Endpoint {
    playback: Playback,
    received: Vec<u8>,
    /// Whether it sent bytes after it had read the end of the other side.
    sent_after_end: bool,
}

impl Endpoint {
    fn new(connection: Connection, losses: Losses, now: Duration, rng: &mut Rng) -> Self {
        let length = if rng.bool() { rng.usize(..200) } else { rng.usize(..40_000) };
        let bytes = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
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
            // Usually until its upstream is connected.
            _ => Some((0, time)),
        };
        let mut playback = Playback::new(script, behaviour);
        playback.begin(connection, now);
        Self { playback, received: Vec::new(), sent_after_end: false }
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

    fn bytes(&self) -> &[u8] {
        &self.playback.script.bytes
    }

    /// Whether it has sent everything, and nothing was lost on its side.
    fn is_polite(&self) -> bool {
        self.playback.behaviour.leaving == Leaving::HalfCloses && !self.saw_reset()
    }
}

impl Pair {
    /// A client that connects now, and its upstream, which may refuse, hang, or answer late.
    pub fn new(network: &Network, losses: Losses, relays: &mut Relays, rng: &mut Rng) -> Self {
        let (server, now) = (network.listen(), network.now());
        let mut admits_at = None;
        match rng.u8(..8) {
            0 if losses == Losses::Any => server.refuse(),
            1 if losses == Losses::Any => server.ignore(),
            2 => {
                server.ignore();
                admits_at = Some(CONNECT_TIME_MAX.mul_f64(0.5 * rng.f64()));
            }
            _ => {}
        }
        let connection = Connection::connect(network, None, Sealing::Off, Transport::Echo);
        relays.route(connection.address(), server.address());
        let client = Endpoint::new(connection, losses, now, rng);
        Self { client, server, admits_at, upstream: None, losses }
    }

    /// Lets both sides act. Returns when to call it again.
    pub fn act(&mut self, now: Duration, rng: &mut Rng) -> Option<Duration> {
        if self.admits_at.take_if(|at| *at <= now).is_some() {
            self.server.admit();
        }
        if let Some(client) = self.server.accept() {
            check!(self.upstream.is_none(), "a relay connects twice");
            let connection = Connection::over(client, Transport::Echo);
            self.upstream = Some(Endpoint::new(connection, self.losses, now, rng));
        }
        let upstream = self.upstream.as_mut().and_then(|upstream| upstream.act(now));
        self.client.act(now).into_iter().chain(upstream).chain(self.admits_at).min()
    }

    /// Whether both sides know that the connection has ended.
    pub fn has_ended(&self) -> bool {
        self.client.has_ended() && self.upstream.as_ref().is_none_or(Endpoint::has_ended)
    }

    /// Checks the result.
    pub fn check(&mut self, relays: &Relays, tally: &mut Tally) {
        self.client.read();
        self.upstream.as_mut().map(Endpoint::read);
        let (client, losses) = (&self.client, self.losses);
        let has_failed = relays.failure(client.connection().address()).is_some();
        tally.add_all(Count::RelaysRefused, u64::from(has_failed));
        let Some(upstream) = &self.upstream else {
            check!(losses == Losses::Any, "an upstream was not connected");
            let is_reset = client.received.is_empty() && client.saw_reset();
            check!(is_reset, "a client whose upstream is missing is not reset");
            return tally.add_all(Count::RelaysCancelled, u64::from(!has_failed));
        };
        for (from, to) in [(client, upstream), (upstream, client)] {
            let is_prefix = from.bytes()[..from.playback.sent].starts_with(&to.received);
            check!(is_prefix, "bytes are not in order");
        }
        if client.is_polite() && upstream.is_polite() {
            for (from, to) in [(client, upstream), (upstream, client)] {
                check!(to.saw_fin(), "an end was not passed on");
                check_eq!(from.playback.sent, from.bytes().len(), "bytes sent");
                check!(from.bytes() == to.received, "bytes are missing");
            }
            tally.add(Count::RelaysCompleted);
            if client.sent_after_end || upstream.sent_after_end {
                tally.add(Count::RelaysSentAfterEnd);
            }
        } else {
            check!(losses == Losses::Any, "nobody reset anything");
            tally.add(Count::RelaysReset);
        }
        for (from, to) in [(client, upstream), (upstream, client)] {
            if from.saw_reset() && !to.saw_reset() {
                check!(to.saw_fin(), "a side did not get the end of the stream");
            }
        }
    }
}
