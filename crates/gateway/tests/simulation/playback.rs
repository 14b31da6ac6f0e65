//! Sends a client's bytes over a connection as its behaviour says.
//!
//! It never reads the gateway's answers: its owner tells it when to wait.

use std::{net::SocketAddr, time::Duration};

use crate::{
    behaviour::{Behaviour, Leaving, Reading, Splitting},
    connection::Connection,
    script::Script,
};

/// A script that is being played.
pub struct Playback {
    /// The client's bytes.
    pub script: Script,
    /// How it sends them.
    pub behaviour: Behaviour,
    /// Its connection, once it has connected.
    pub connection: Option<Connection>,
    /// Bytes of the script sent so far.
    pub sent: usize,
    /// When it last sent something.
    pub sent_at: Duration,
    /// When it connected.
    pub connected_at: Duration,
    /// Whether it has ended its side.
    pub has_left: bool,
    /// Whether the gateway has closed its side of the connection.
    pub is_let_go: bool,
    rests_until: Option<Duration>,
    naps_until: Option<Duration>,
    is_sipping: bool,
}

/// Whether a client may go on with its script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// It may continue.
    Speak,
    /// It waits for an answer first.
    Wait,
    /// It sends nothing more.
    Stop,
}

impl Playback {
    /// A client that has not connected yet.
    pub fn new(script: Script, behaviour: Behaviour) -> Self {
        Self {
            script,
            behaviour,
            connection: None,
            sent: 0,
            sent_at: Duration::ZERO,
            connected_at: Duration::ZERO,
            has_left: false,
            is_let_go: false,
            rests_until: None,
            naps_until: None,
            is_sipping: false,
        }
    }

    /// Starts on `connection`; returns the address that the gateway sees.
    pub fn begin(&mut self, mut connection: Connection, now: Duration) -> SocketAddr {
        connection.expect(self.script.expectation);
        if let Reading::AtMost(bytes) = self.behaviour.reading {
            connection.read_at_most(bytes);
        }
        let address = connection.address();
        self.connection = Some(connection);
        (self.connected_at, self.sent_at) = (now, now);
        address
    }

    /// The connection of a client that has connected.
    pub fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it has come")
    }

    /// The gateway has closed its side.
    pub fn let_go(&mut self) {
        (self.is_let_go, self.naps_until) = (true, None);
        if let Reading::Sips(..) = self.behaviour.reading {
            self.behaviour.reading = Reading::Freely;
        }
        if let Some(connection) = &mut self.connection {
            connection.read_freely();
        }
    }

    /// Sends the next segment if it is time for one. Returns when to call it again.
    pub fn act(&mut self, now: Duration, cue: Cue) -> Option<Duration> {
        self.wake(now);
        if cue == Cue::Stop || self.has_left || self.is_let_go {
            return self.naps_until;
        }
        if let Some(until) = self.rests_until.filter(|until| *until > now) {
            return Some(self.naps_until.map_or(until, |nap| nap.min(until)));
        }
        self.turn_to_reading(now);
        if let Some((_, rest)) = self.behaviour.rest.take_if(|(at, _)| *at <= self.sent) {
            self.rests_until = Some(now + rest);
            return self.rests_until;
        }
        if self.has_said_all() {
            self.leave();
            return self.naps_until;
        }
        if cue == Cue::Wait {
            return self.naps_until;
        }
        let end = self.segment_end();
        let segment = &self.script.bytes[self.sent..end];
        self.connection.as_mut().expect("it has come").send(segment);
        (self.sent, self.sent_at) = (end, now);
        if let Splitting::Drip(time) = self.behaviour.splitting {
            self.rests_until = Some(now + time);
            return self.rests_until;
        }
        Some(now)
    }

    /// Reads again after a nap, or between two sips.
    fn wake(&mut self, now: Duration) {
        let connection = self.connection.as_mut().expect("it has come");
        let is_awake = self.naps_until.is_none_or(|until| until <= now);
        match self.behaviour.reading {
            Reading::Sips(bytes, every) if is_awake && !self.is_let_go => {
                (self.naps_until, self.is_sipping) = (Some(now + every), true);
                connection.read_at_most(bytes);
            }
            Reading::Sips(..) if std::mem::take(&mut self.is_sipping) => connection.read_at_most(0),
            Reading::Sips(..) => {}
            _ if is_awake && self.naps_until.take().is_some() => connection.read_freely(),
            _ => {}
        }
    }

    fn turn_to_reading(&mut self, now: Duration) {
        match self.behaviour.reading {
            Reading::Naps(at, time) if at <= self.sent => {
                self.behaviour.reading = Reading::Freely;
                self.naps_until = Some(now + time);
                self.connection().read_at_most(0);
            }
            Reading::Never(at) if at <= self.sent => self.connection().read_at_most(0),
            _ => {}
        }
    }

    fn segment_end(&self) -> usize {
        let rest = self.script.bytes.len() - self.sent;
        let length = match self.behaviour.splitting {
            Splitting::Whole => rest,
            Splitting::Bytes | Splitting::Drip(_) => 1,
            Splitting::AtMost(bytes) => bytes.min(rest),
            Splitting::Lockstep => {
                let mut ends = self.script.frame_ends.iter();
                ends.find(|end| **end > self.sent).map_or(rest, |end| end - self.sent)
            }
        };
        let stops = self.behaviour.stops(&self.script).into_iter();
        stops.filter(|stop| *stop > self.sent).fold(self.sent + length, usize::min)
    }

    /// Leaves as its behaviour says.
    fn leave(&mut self) {
        let leaving = self.behaviour.leaving;
        if !matches!(leaving, Leaving::Stays | Leaving::FallsSilent) {
            self.connection().leave(leaving);
            self.has_left = true;
        }
    }

    /// Whether it has sent everything that its behaviour allows.
    pub fn has_said_all(&self) -> bool {
        self.sent >= self.behaviour.says.min(self.script.bytes.len())
    }

    /// Whether a frame may be inserted between two frames of the script.
    pub fn is_between_frames(&self) -> bool {
        self.script.frame_ends.binary_search(&self.sent).is_ok()
            && !(self.script.is_final && self.sent == self.script.bytes.len())
    }
}
