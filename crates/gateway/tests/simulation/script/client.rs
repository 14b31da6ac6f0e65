//! One client that plays a script, and the answers that it got; `checker` compares them with the
//! script.
//!
//! It reaches the gateway only by its bytes, and keeps its own list of the answers that it must
//! get.

use std::{net::SocketAddr, time::Duration};

use fastrand::Rng;
use ringway::config::settings::Settings;
use ringway_acceptor::sim::Network;
use ringway_frame::emit_pong;

use super::{Script, checker::PROPERTY, mask};
use crate::{
    behaviour::{Behaviour, Courtesy, Leaving, Reading, Splitting},
    checkers::{Trace, check},
    connection::Connection,
    decoder::{Said, Transport},
    playback::{Cue, Playback},
    sealing::Sealing,
};

/// The state of the world that the client gets each turn.
#[derive(Clone, Copy)]
pub struct Moment<'s> {
    /// The virtual time.
    pub now: Duration,
    /// Whether the gateway is draining.
    pub draining: bool,
    /// The settings of the gateway.
    pub settings: &'s Settings,
}

/// A client in the world.
pub struct ScriptedClient {
    /// Its bytes, its behaviour and its connection.
    pub playback: Playback,
    /// The address that it connects from, if not one of its own.
    pub address: Option<SocketAddr>,
    /// Whether its connection has a layer of records.
    pub sealing: Sealing,
    pub(super) rng: Rng,
    /// How many of the answers that the script requires have arrived.
    pub(super) received: usize,
    /// What the gateway sent by itself: a 408, a 1001, or the reason of a rejection.
    pub(super) farewell: Option<Said>,
    /// The status with which the gateway must reject it, according to the model of the limiter.
    pub(super) rejected: Option<u16>,
    pub(super) pongs_due: u32,
    /// When the last answer came, after which a FIN is due.
    pub(super) last_received_at: Option<Duration>,
    saw_fin: bool,
    is_done: bool,
}

impl ScriptedClient {
    /// A client that has not connected yet.
    pub fn new(script: Script, behaviour: Behaviour, seed: u64) -> Self {
        Self {
            playback: Playback::new(script, behaviour),
            address: None,
            sealing: Sealing::Off,
            rng: Rng::with_seed(seed),
            received: 0,
            farewell: None,
            rejected: None,
            pongs_due: 0,
            last_received_at: None,
            saw_fin: false,
            is_done: false,
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether it has connected.
    pub fn has_come(&self) -> bool {
        self.playback.connection.is_some()
    }

    /// Whether it reads everything and answers as it should: such a client is never given up.
    pub fn is_attentive(&self) -> bool {
        let Behaviour { courtesy, reading, leaving, .. } = &self.playback.behaviour;
        *courtesy == Courtesy::Polite
            && matches!(reading, Reading::Freely | Reading::AtMost(_))
            && matches!(leaving, Leaving::Stays | Leaving::HalfCloses)
    }

    /// Whether it ended well, with all required answers.
    pub fn got_all(&self) -> bool {
        self.is_done && self.saw_fin && self.received == self.playback.script.owed.len()
    }

    /// What the gateway sent by itself.
    pub fn farewell(&self) -> Option<&Said> {
        self.farewell.as_ref()
    }

    /// Notes that the gateway has accepted it, and must reject it with this status.
    pub fn is_accepted(&mut self, rejected: Option<u16>) {
        self.rejected = rejected;
    }

    /// Connects when it is time; then returns its address.
    pub fn come(&mut self, network: &Network, now: Duration) -> Option<SocketAddr> {
        if self.has_come() || now < self.playback.behaviour.comes_at {
            return None;
        }
        let connection = Connection::connect(network, self.address, self.sealing, Transport::Echo);
        Some(self.playback.begin(connection, now))
    }

    /// One turn: reads, then sends. Returns when to call it again if nothing arrives until then.
    pub fn act(&mut self, moment: Moment<'_>, trace: &mut Trace) -> Option<Duration> {
        if self.is_done {
            return None;
        }
        if !self.has_come() {
            return Some(self.playback.behaviour.comes_at);
        }
        self.listen(moment, trace);
        if self.is_done {
            return None;
        }
        self.answer_pings(moment.now);
        let cue = match self.saw_fin || self.farewell.is_some() {
            true => Cue::Stop,
            false if self.waits() => Cue::Wait,
            false => Cue::Speak,
        };
        self.playback.act(moment.now, cue)
    }

    fn listen(&mut self, moment: Moment<'_>, trace: &mut Trace) {
        let connection = self.playback.connection();
        let (said, saw_fin, saw_reset) =
            (connection.said(), connection.saw_fin(), connection.saw_reset());
        check!(said.is_empty() || !self.saw_fin, "{said:?} after the FIN");
        for said in said {
            trace.said(&said, moment.now);
            self.check(said, moment);
        }
        if saw_reset {
            self.is_done = true;
        } else if saw_fin && !self.saw_fin {
            self.saw_fin = true;
            self.check_end(moment);
            self.part();
        }
        if self.saw_fin && (self.playback.has_left || self.playback.is_let_go) {
            self.is_done = true;
        }
    }

    fn answer_pings(&mut self, now: Duration) {
        let may_speak = self.playback.is_between_frames() && !self.playback.has_left;
        if self.pongs_due > 0 && may_speak && !self.is_silent() {
            let mut bytes = Vec::new();
            emit_pong(&mut bytes, mask(&mut self.rng), b"");
            self.playback.connection().send(&bytes);
            (self.pongs_due, self.playback.sent_at) = (self.pongs_due - 1, now);
        }
    }

    /// Whether the next segment waits for answers.
    fn waits(&self) -> bool {
        let Playback { script, behaviour, sent, .. } = &self.playback;
        let waits_for_opening = behaviour.stops(script)[1] == *sent;
        (waits_for_opening && !self.is_open())
            || (behaviour.splitting == Splitting::Lockstep && self.received < self.owed_now().0)
    }

    /// Answers the gateway's FIN.
    fn part(&mut self) {
        if self.playback.behaviour.courtesy == Courtesy::Polite && !self.playback.has_left {
            self.playback.connection().leave(Leaving::HalfCloses);
            self.playback.has_left = true;
        }
    }

    /// A description for a failure.
    pub fn summary(&self) -> String {
        let Playback { script, behaviour, sent, sent_at, .. } = &self.playback;
        format!(
            "{behaviour:?}, sent {sent} of {} bytes at {sent_at:?}, received {} of {}, owed {:?}, \
             farewell {:?}, left {}, FIN {}, closed by the gateway {}, done {}",
            script.bytes.len(),
            self.received,
            script.owed.len(),
            self.owed_now(),
            self.farewell,
            self.playback.has_left,
            self.saw_fin,
            self.playback.is_let_go,
            self.is_done
        )
    }
}
