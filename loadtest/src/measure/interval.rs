//! What one thread counted in a quarter of a second, for the thread that adds up.
//!
//! The histograms are sent back and reused, so that a thread under load allocates nothing.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    measure::quantiles::{LATENCY_DIGITS, Times, clear, record_n, times},
    wire::failure::Reason,
};

/// The length of an interval.
pub const INTERVAL: Duration = Duration::from_millis(250);

/// When the intervals of a thread begin: at whole multiples of [`INTERVAL`] after an origin that
/// all threads share, however late a thread reads its clock.
///
/// Call [`pass`](Self::pass) before counting: what is seen at `now` is then counted in the interval
/// that contains `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    origin: Duration,
    begun_at: Duration,
}

impl Grid {
    /// Intervals that begin at `origin`.
    pub fn new(origin: Duration) -> Self {
        Self { origin, begun_at: origin }
    }

    /// When the current interval began.
    pub fn begun_at(&self) -> Duration {
        self.begun_at
    }

    /// When the current interval ends.
    pub fn ends_at(&self) -> Duration {
        self.begun_at + INTERVAL
    }

    /// Moves on to the interval that contains `now`. Returns when the previous interval began, if
    /// it has ended.
    pub fn pass(&mut self, now: Duration) -> Option<Duration> {
        if now < self.ends_at() {
            return None;
        }
        let whole = (now - self.origin).as_nanos() / INTERVAL.as_nanos();
        let begun_at = self.origin + INTERVAL * u32::try_from(whole).unwrap_or(u32::MAX);
        Some(std::mem::replace(&mut self.begun_at, begun_at))
    }
}

/// Digits of the tester's own delays.
const OWN_DIGITS: u8 = 2;

/// What one thread counted in one interval.
#[derive(Debug)]
pub struct Interval {
    /// When the interval began, in the clock of the run.
    pub at: Duration,
    /// From the intended send time to the answer.
    pub latencies: Times<u32>,
    /// From the intended send time to the send: the tester's own part.
    pub send_delays: Times<u32>,
    /// How long the thread was busy between two reads of its sockets, weighted by the messages that
    /// the second read found: a latency may be too long by this much.
    pub look_delays: Times<u32>,
    /// From connect(2) to the end of a handshake.
    pub openings: Times<u32>,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections lost or closed.
    pub ended: u64,
    /// Failures by reason.
    pub errors: BTreeMap<Reason, u64>,
    /// The start of a message that is not one of ours.
    pub foreign: Option<String>,
    /// A latency that is not in the histogram yet, and how often it was seen in succession: messages
    /// that were sent together and read together have the same one.
    repeated: (Duration, u32),
}

/// The most bytes of a message that are quoted.
const QUOTED_BYTES_MAX: usize = 120;

impl Interval {
    /// An empty interval.
    pub fn new() -> Self {
        Self {
            at: Duration::ZERO,
            latencies: times(LATENCY_DIGITS),
            send_delays: times(OWN_DIGITS),
            look_delays: times(OWN_DIGITS),
            openings: times(OWN_DIGITS),
            sent: 0,
            received: 0,
            received_bytes: 0,
            opened: 0,
            ended: 0,
            errors: BTreeMap::new(),
            foreign: None,
            repeated: (Duration::ZERO, 0),
        }
    }

    /// Clears the interval.
    pub fn clear(&mut self) {
        clear(&mut self.latencies);
        clear(&mut self.send_delays);
        clear(&mut self.look_delays);
        clear(&mut self.openings);
        (self.sent, self.received, self.received_bytes) = (0, 0, 0);
        (self.opened, self.ended) = (0, 0);
        self.errors.clear();
        self.foreign = None;
        self.repeated.1 = 0;
    }

    /// Records the start of a message that is not one of ours.
    #[cold]
    pub fn note_foreign(&mut self, payload: &[u8]) {
        let start = &payload[..payload.len().min(QUOTED_BYTES_MAX)];
        self.foreign.get_or_insert_with(|| String::from_utf8_lossy(start).into_owned());
    }

    /// Clears the interval except for failures and handshakes: when a measurement begins, those
    /// counted before must not be lost.
    pub fn forget_times(&mut self) {
        self.repeated.1 = 0;
        clear(&mut self.latencies);
        clear(&mut self.send_delays);
        clear(&mut self.look_delays);
        (self.sent, self.received, self.received_bytes) = (0, 0, 0);
    }

    /// Counts a failure.
    #[cold]
    pub fn fail(&mut self, reason: Reason) {
        *self.errors.entry(reason).or_default() += 1;
    }

    /// Counts answers without times, with this many bytes in total.
    #[inline]
    pub fn count(&mut self, answers: u32, bytes: usize) {
        self.received += u64::from(answers);
        self.received_bytes += bytes as u64;
    }

    /// Records the answer to a message that was due at `at`.
    #[inline]
    pub fn answered(&mut self, at: Duration, now: Duration, bytes: usize) {
        let latency = now.saturating_sub(at);
        if latency != self.repeated.0 {
            self.settle();
            self.repeated.0 = latency;
        }
        self.repeated.1 += 1;
        self.count(1, bytes);
    }

    /// Records the latency that is not in the histogram yet. Call it before reading the histogram.
    pub fn settle(&mut self) {
        let (latency, times) = self.repeated;
        record_n(&mut self.latencies, latency, times);
        self.repeated.1 = 0;
    }
}

impl Default for Interval {
    fn default() -> Self {
        Self::new()
    }
}
