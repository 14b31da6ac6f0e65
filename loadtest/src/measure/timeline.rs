//! What all threads saw together: interval by interval for curves over time, and in all.
//!
//! It never judges; a run's validity is decided where its report is made.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use crate::{
    measure::{
        interval::Interval,
        quantiles::{LATENCY_DIGITS, Times, add, times},
        sparse::Sparse,
    },
    wire::failure::Reason,
};

/// Everything that was seen.
#[derive(Debug)]
pub struct Seen {
    /// Of the whole run.
    pub latencies: Times,
    /// Of the whole run.
    pub send_delays: Times,
    /// Of the whole run.
    pub look_delays: Times,
    /// Of the whole run.
    pub openings: Times,
    /// By reason, of the whole run.
    pub errors: BTreeMap<Reason, u64>,
    /// The beginning of a message that was not one of ours.
    pub foreign: Option<String>,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Connections opened, again included.
    pub opened: u64,
    /// Connections lost or closed.
    pub ended: u64,
    /// Interval by interval, by when each began since the start. Intervals are [`INTERVAL`] long;
    /// one that the end of the sending falls into is cut there, and those after it begin anew.
    ///
    /// [`INTERVAL`]: super::interval::INTERVAL
    pub moments: BTreeMap<Duration, Moment>,
}

/// What was seen in one interval.
#[derive(Debug)]
pub struct Moment {
    /// Of answers that came in it.
    pub latencies: Times<u32>,
    /// The same to all digits, for histogram logs.
    pub exact: Sparse,
    /// Messages sent in it.
    pub sent: u64,
    /// Messages received in it.
    pub received: u64,
    /// Connections opened in it.
    pub opened: u64,
    /// Connections that ended in it.
    pub ended: u64,
    /// Failures in it.
    pub errors: u64,
}

/// An hour, some 200 MB; what comes later is added to the last.
const MOMENTS_MAX: usize = 14_400;

impl Moment {
    fn new() -> Self {
        // One digit less, and no larger than what is in it: these are drawn, not quoted.
        let latencies = Histogram::new(2).expect("two digits");
        let exact = Sparse::default();
        Self { latencies, exact, sent: 0, received: 0, opened: 0, ended: 0, errors: 0 }
    }

    fn add(&mut self, other: &Self) {
        // It grows as it must.
        self.latencies.add(&other.latencies).expect("a histogram that grows");
        self.exact.add(&other.exact);
        self.sent += other.sent;
        self.received += other.received;
        self.opened += other.opened;
        self.ended += other.ended;
        self.errors += other.errors;
    }
}

impl Seen {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            latencies: times(LATENCY_DIGITS),
            send_delays: times(LATENCY_DIGITS),
            look_delays: times(LATENCY_DIGITS),
            openings: times(LATENCY_DIGITS),
            errors: BTreeMap::new(),
            foreign: None,
            sent: 0,
            received: 0,
            received_bytes: 0,
            opened: 0,
            ended: 0,
            moments: BTreeMap::new(),
        }
    }

    /// Adds what was seen in another measurement, as if it had come right after this one, which took
    /// `elapsed`.
    pub fn append(&mut self, other: Self, elapsed: Duration) {
        for (sum, part) in [
            (&mut self.latencies, &other.latencies),
            (&mut self.send_delays, &other.send_delays),
            (&mut self.look_delays, &other.look_delays),
            (&mut self.openings, &other.openings),
        ] {
            sum.add(part).expect("all histograms have the same bounds");
        }
        for (reason, count) in other.errors {
            *self.errors.entry(reason).or_default() += count;
        }
        self.sent += other.sent;
        self.received += other.received;
        self.received_bytes += other.received_bytes;
        self.opened += other.opened;
        self.ended += other.ended;
        for (at, moment) in other.moments {
            self.moment(elapsed + at).add(&moment);
        }
    }

    /// Adds what publishers did to what their subscribers saw: `owed` deliveries for all that they
    /// sent, and their failures.
    pub fn add_published(&mut self, published: &Self, owed: u64) {
        let events: u64 = published.moments.values().map(|moment| moment.sent).sum();
        let (mut events_before, mut owed_before) = (0, 0);
        for (at, moment) in &published.moments {
            events_before += moment.sent;
            // Cumulative, so that nothing is lost by rounding.
            let owed_by_then = u128::from(owed) * u128::from(events_before);
            let owed_by_then = owed_by_then.checked_div(u128::from(events)).unwrap_or(0) as u64;
            let sum = self.moment(*at);
            sum.sent += owed_by_then - std::mem::replace(&mut owed_before, owed_by_then);
            sum.errors += moment.errors;
        }
        for (reason, count) in &published.errors {
            *self.errors.entry(reason.clone()).or_default() += count;
        }
        self.sent = owed;
        self.send_delays = published.send_delays.clone();
    }

    /// The interval that began at this time after the start.
    fn moment(&mut self, at: Duration) -> &mut Moment {
        let last = self.moments.last_key_value().map(|(at, _)| *at);
        let is_full = self.moments.len() >= MOMENTS_MAX;
        let at = last.filter(|last| is_full && at > *last).unwrap_or(at);
        self.moments.entry(at).or_insert_with(Moment::new)
    }

    /// Adds what one thread saw, in a run that started at `start`.
    pub fn add(&mut self, interval: &Interval, start: Duration) {
        add(&mut self.latencies, &interval.latencies);
        add(&mut self.send_delays, &interval.send_delays);
        add(&mut self.look_delays, &interval.look_delays);
        add(&mut self.openings, &interval.openings);
        let mut errors = 0;
        for (reason, count) in &interval.errors {
            *self.errors.entry(reason.clone()).or_default() += count;
            errors += count;
        }
        if self.foreign.is_none() {
            self.foreign.clone_from(&interval.foreign);
        }
        self.sent += interval.sent;
        self.received += interval.received;
        self.received_bytes += interval.received_bytes;
        self.opened += interval.opened;
        self.ended += interval.ended;
        // What came before the start is in none of its intervals.
        let Some(at) = interval.at.checked_sub(start) else { return };
        let moment = self.moment(at);
        // It grows as it must.
        moment.latencies.add(&interval.latencies).expect("a histogram that grows");
        moment.exact.add_times(&interval.latencies);
        moment.sent += interval.sent;
        moment.received += interval.received;
        moment.opened += interval.opened;
        moment.ended += interval.ended;
        moment.errors += errors;
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}
