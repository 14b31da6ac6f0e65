//! One virtual client: plays its script in its manner; what it hears goes to `hearing`.
//!
//! It touches the gateway by its bytes alone, and keeps its own account of what it is owed.

mod hearing;

use std::time::Duration;

use fastrand::Rng;
use ringway_acceptor::sim::{Client, Network};
use ringway_frame::emit_pong;

use super::{
    answers::{Answer, AnswerReader},
    manner::{Courtesy, Cutting, Leaving, Manner, Reading},
    script::{PAYLOAD_BYTES_MAX, Script, mask},
};

/// How late, in virtual time, something may be that a deadline causes: a tick of the wheel, and
/// turns in which completions are held back.
pub const LATENESS: Duration = Duration::from_millis(100);

/// What the world knows and the visitor is told each turn.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The virtual time.
    pub now: Duration,
    /// Whether the gateway drains.
    pub draining: bool,
    /// How long a client may be silent until it is sent a ping.
    pub ping_interval: Duration,
    /// How long a client may be silent.
    pub silence_max: Duration,
    /// How long a head may take.
    pub handshake_timeout: Duration,
    /// How long a message may take.
    pub message_timeout: Duration,
}

/// A client in the world.
pub struct Visitor {
    /// What it says.
    pub script: Script,
    /// How.
    pub manner: Manner,
    client: Option<Client>,
    reader: AnswerReader,
    rng: Rng,
    /// Bytes of the script sent so far.
    sent: usize,
    sent_at: Duration,
    connected_at: Duration,
    /// Answers heard of those that the script is owed.
    heard: usize,
    /// What the gateway said on its own account: a 408, a 1001, or why there is no room.
    farewell: Option<Answer>,
    /// The status that the gateway has turned it away with, as the model has it.
    turned_away: Option<u16>,
    pongs_due: u32,
    rests_until: Option<Duration>,
    naps_until: Option<Duration>,
    /// When it heard what no answer follows, so that a FIN is due.
    last_heard_at: Option<Duration>,
    is_sipping: bool,
    has_left: bool,
    saw_fin: bool,
    is_done: bool,
    /// The gateway's side of the connection is no more.
    is_gone: bool,
}

impl Visitor {
    /// A client that has not come yet.
    pub fn new(script: Script, manner: Manner, seed: u64) -> Self {
        let reader = AnswerReader::new(script.expectation, PAYLOAD_BYTES_MAX as u64);
        Self {
            script,
            manner,
            client: None,
            reader,
            rng: Rng::with_seed(seed),
            sent: 0,
            sent_at: Duration::ZERO,
            connected_at: Duration::ZERO,
            heard: 0,
            farewell: None,
            turned_away: None,
            pongs_due: 0,
            rests_until: None,
            naps_until: None,
            last_heard_at: None,
            is_sipping: false,
            has_left: false,
            saw_fin: false,
            is_done: false,
            is_gone: false,
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether it has connected.
    pub fn has_come(&self) -> bool {
        self.client.is_some()
    }

    /// Whether it reads what comes and answers what it should: such a one is never left behind.
    pub fn is_attentive(&self) -> bool {
        self.manner.courtesy == Courtesy::Polite
            && matches!(self.manner.reading, Reading::Freely | Reading::AtMost(_))
            && matches!(self.manner.leaving, Leaving::Stays | Leaving::HalfCloses)
    }

    /// Whether it ended well, with all that it was owed.
    pub fn got_all(&self) -> bool {
        self.is_done && self.saw_fin && self.heard == self.script.owed.len()
    }

    /// What the gateway said on its own account.
    pub fn farewell(&self) -> Option<&Answer> {
        self.farewell.as_ref()
    }

    /// The gateway has accepted it, or turned it away with this status.
    pub fn is_judged(&mut self, turned_away: Option<u16>) {
        self.turned_away = turned_away;
    }

    /// The gateway's driver has let its connection go.
    pub fn is_let_go(&mut self) {
        self.is_gone = true;
        self.naps_until = None;
        if let Reading::Sips(..) = self.manner.reading {
            self.manner.reading = Reading::Freely;
        }
        if let Some(client) = &self.client {
            client.resume_reading();
        }
    }

    /// Connects when it is time; returns its client's address then.
    pub fn come(
        &mut self,
        network: &Network,
        address: Option<std::net::SocketAddr>,
        now: Duration,
    ) -> Option<std::net::SocketAddr> {
        if self.client.is_some() || now < self.manner.comes_at {
            return None;
        }
        let client = match address {
            Some(address) => network.connect_from(address),
            None => network.connect(),
        };
        if let Reading::AtMost(bytes) = self.manner.reading {
            client.reads_at_most(bytes);
        }
        let address = client.address();
        self.client = Some(client);
        (self.connected_at, self.sent_at) = (now, now);
        Some(address)
    }

    /// One turn: hears, then speaks. Returns when to call it again if nothing comes until then.
    pub fn act(&mut self, moment: Moment) -> Option<Duration> {
        if self.is_done {
            return None;
        }
        if self.client.is_none() {
            return Some(self.manner.comes_at);
        }
        self.listen(moment);
        if self.is_done {
            return None;
        }
        self.answer_pings(moment.now);
        self.speak(moment)
    }

    fn listen(&mut self, moment: Moment) {
        let client = self.client.as_ref().expect("it has come");
        let (bytes, saw_fin, saw_reset) = (client.received(), client.saw_fin(), client.saw_reset());
        assert!(bytes.is_empty() || !self.saw_fin, "{} bytes after the FIN", bytes.len());
        for answer in self.reader.read(bytes) {
            self.hear(answer, moment);
        }
        if saw_reset {
            self.is_done = true;
        } else if saw_fin && !self.saw_fin {
            self.saw_fin = true;
            self.judge_end(moment);
            self.part();
        }
        if self.saw_fin && (self.has_left || self.is_gone) {
            self.is_done = true;
        }
    }

    fn answer_pings(&mut self, now: Duration) {
        let is_silent = self.manner.leaving == Leaving::FallsSilent && self.has_said_all();
        if self.pongs_due > 0 && self.is_between_frames() && !is_silent && !self.has_left {
            let mut bytes = Vec::new();
            emit_pong(&mut bytes, mask(&mut self.rng), b"");
            self.client.as_ref().expect("it has come").send(&bytes);
            (self.pongs_due, self.sent_at) = (self.pongs_due - 1, now);
        }
    }

    /// Sends the next segment, if it is time for one.
    fn speak(&mut self, moment: Moment) -> Option<Duration> {
        let now = moment.now;
        self.wake(now);
        if self.saw_fin || self.has_left || self.farewell.is_some() || self.is_gone {
            return self.naps_until;
        }
        if let Some(until) = self.rests_until.filter(|until| *until > now) {
            return Some(self.naps_until.map_or(until, |nap| nap.min(until)));
        }
        self.turn_to_reading(now);
        if let Some((_, rest)) = self.manner.rest.take_if(|(at, _)| *at <= self.sent) {
            self.rests_until = Some(now + rest);
            return self.rests_until;
        }
        if self.has_said_all() {
            return self.leave().or(self.naps_until);
        }
        if self.waits() {
            return self.naps_until;
        }
        let end = self.segment_end();
        self.client.as_ref().expect("it has come").send(&self.script.bytes[self.sent..end]);
        (self.sent, self.sent_at) = (end, now);
        if let Cutting::Drip(time) = self.manner.cutting {
            self.rests_until = Some(now + time);
            return self.rests_until;
        }
        Some(now)
    }

    /// Reads on after a nap, or between two sips.
    fn wake(&mut self, now: Duration) {
        let client = self.client.as_ref().expect("it has come");
        let is_awake = self.naps_until.is_none_or(|until| until <= now);
        match self.manner.reading {
            Reading::Sips(bytes, every) if is_awake && !self.is_gone => {
                (self.naps_until, self.is_sipping) = (Some(now + every), true);
                client.reads_at_most(bytes);
            }
            Reading::Sips(..) if std::mem::take(&mut self.is_sipping) => client.pause_reading(),
            Reading::Sips(..) => {}
            _ if is_awake && self.naps_until.take().is_some() => client.resume_reading(),
            _ => {}
        }
    }

    fn turn_to_reading(&mut self, now: Duration) {
        let client = self.client.as_ref().expect("it has come");
        match self.manner.reading {
            Reading::Naps(at, time) if at <= self.sent => {
                self.manner.reading = Reading::Freely;
                self.naps_until = Some(now + time);
                client.pause_reading();
            }
            Reading::Never(at) if at <= self.sent => client.pause_reading(),
            _ => {}
        }
    }

    fn segment_end(&self) -> usize {
        let rest = self.script.bytes.len() - self.sent;
        let length = match self.manner.cutting {
            Cutting::Whole => rest,
            Cutting::Bytes | Cutting::Drip(_) => 1,
            Cutting::AtMost(bytes) => bytes.min(rest),
            Cutting::Lockstep => {
                let mut ends = self.script.frame_ends.iter();
                ends.find(|end| **end > self.sent).map_or(rest, |end| end - self.sent)
            }
        };
        let stops = self.manner.stops(&self.script).into_iter().filter(|stop| *stop > self.sent);
        stops.fold(self.sent + length, usize::min)
    }

    /// Whether the next segment waits for answers.
    fn waits(&self) -> bool {
        let waits_for_opening = self.manner.stops(&self.script)[1] == self.sent;
        let is_open = self.is_open();
        (waits_for_opening && !is_open)
            || (self.manner.cutting == Cutting::Lockstep && self.heard < self.owed_now().0)
    }

    /// Leaves in its manner.
    fn leave(&mut self) -> Option<Duration> {
        let client = self.client.as_ref().expect("it has come");
        match self.manner.leaving {
            Leaving::Stays | Leaving::FallsSilent => return None,
            Leaving::HalfCloses => client.half_close(),
            Leaving::Resets => client.reset(),
            Leaving::Vanishes => client.close(),
        }
        self.has_left = true;
        None
    }

    /// Answers the gateway's FIN.
    fn part(&mut self) {
        if self.manner.courtesy == Courtesy::Polite && !self.has_left {
            self.client.as_ref().expect("it has come").half_close();
            self.has_left = true;
        }
    }

    fn is_between_frames(&self) -> bool {
        self.script.frame_ends.binary_search(&self.sent).is_ok()
            && !(self.script.is_final && self.sent == self.script.bytes.len())
    }

    fn has_said_all(&self) -> bool {
        self.sent >= self.manner.says.min(self.script.bytes.len())
    }

    /// What a failure should say about it.
    pub fn summary(&self) -> String {
        let Self { manner, script, sent, heard, .. } = self;
        format!(
            "{:?}, {:?}, {:?}, {:?} after {} of {} bytes, sent {sent} at {:?}, heard {heard} of {}, owed {:?}, \
             opening {:?}, {:?}, farewell {:?}, left {}, fin {}, gone {}, done {}",
            manner.cutting,
            manner.rest,
            manner.reading,
            manner.leaving,
            manner.says,
            script.bytes.len(),
            self.sent_at,
            script.owed.len(),
            self.owed_now(),
            manner.opening,
            manner.courtesy,
            self.farewell,
            self.has_left,
            self.saw_fin,
            self.is_gone,
            self.is_done
        )
    }
}
