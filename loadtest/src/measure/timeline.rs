//! What all threads counted together: per interval, for curves over time, and in total.
//!
//! It never judges; `verdict` decides whether a run is valid.

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

/// Everything that was counted.
#[derive(Debug)]
pub struct Seen {
    /// Over the whole run.
    pub latencies: Times,
    /// Over the whole run.
    pub send_delays: Times,
    /// Over the whole run.
    pub look_delays: Times,
    /// Over the whole run.
    pub openings: Times,
    /// By reason, over the whole run.
    pub errors: BTreeMap<Reason, u64>,
    /// The start of a message that was not one of ours.
    pub foreign: Option<String>,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Connections opened, including those opened again.
    pub opened: u64,
    /// Connections lost or closed.
    pub ended: u64,
    /// Figures of each interval, by its start since the start of the run. Intervals are
    /// [`INTERVAL`] long; the interval in which sending ends is cut there, and later ones are
    /// counted from that time.
    ///
    /// [`INTERVAL`]: super::interval::INTERVAL
    pub moments: BTreeMap<Duration, Moment>,
}

/// What was counted in one interval.
#[derive(Debug)]
pub struct Moment {
    /// Latencies of the answers that arrived in it.
    pub latencies: Times<u32>,
    /// The same with all digits, for histogram logs.
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

/// One hour, some 200 MB; later figures are added to the last interval.
const MOMENTS_MAX: usize = 14_400;

impl Moment {
    fn new() -> Self {
        // One digit less, and no larger than its values need: these are drawn, not reported.
        let latencies = Histogram::new(2).expect("two digits");
        let exact = Sparse::default();
        Self { latencies, exact, sent: 0, received: 0, opened: 0, ended: 0, errors: 0 }
    }

    fn add(&mut self, other: &Self) {
        // A histogram with automatic resizing accepts any value.
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
    /// An empty one.
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

    /// Adds the figures of another measurement, as if it had followed directly after this one,
    /// which took `elapsed`.
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

    /// Adds the publishers' figures to those of their subscribers: `owed` deliveries for all events
    /// that they sent, and their failures.
    pub fn add_published(&mut self, published: &Self, owed: u64) {
        let events: u64 = published.moments.values().map(|moment| moment.sent).sum();
        let (mut events_before, mut owed_before) = (0, 0);
        for (at, moment) in &published.moments {
            events_before += moment.sent;
            // Cumulative, so that rounding loses nothing.
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

    /// Adds the interval of one thread, in a run that started at `start`.
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
        // Figures from before the start belong to no interval.
        let Some(at) = interval.at.checked_sub(start) else { return };
        let moment = self.moment(at);
        // A histogram with automatic resizing accepts any value.
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
