//! One publisher and many subscribers of its topic, saturated: what was published has arrived
//! everywhere before the next is.
//!
//! It spins while something is to be timed, and naps while bytes pile up anyway, so that the
//! server wakes it seldom. It never parses an event.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use crate::{
    audience::Audience,
    crowd::{DRAINING_TIME_MAX, Slot, latencies},
    opening::{Link, Target},
    probe::Probe,
    publisher::{Dialect, Publisher, TOPIC},
    tester::Times,
    visit::{Route, Visit},
};

/// While more than so many wait for their events, their arrivals need not be seen at once.
const UNTIMED_MIN: usize = 32;

/// When nothing has arrived for so long, the server has lost its core, and spinning is in vain.
const SPIN_TIME_MAX: Duration = Duration::from_micros(500);

/// With the kernel's timer slack a nap is some 50 us longer.
const NAP: Duration = Duration::from_micros(20);

/// A topic with its publisher and its subscribers.
pub struct Fanout {
    audience: Audience,
    publisher: Publisher,
    probe: Option<Probe>,
    frame_bytes: usize,
    clock: Instant,
    firsts: Histogram<u64>,
    lasts: Histogram<u64>,
}

impl Fanout {
    /// Has `subscribers` and a publisher come, and publishes a first event of so many `bytes`.
    ///
    /// # Errors
    /// One of them is refused, or the event does not arrive everywhere.
    pub fn open(
        target: &Target,
        dialect: Dialect,
        subscribers: usize,
        bytes: usize,
    ) -> Result<Self> {
        let visits = (0..subscribers).map(|number| match dialect {
            Dialect::Gateway => Visit::new(Route::Ws, &format!("subscriber-{number:07}"), TOPIC),
            Dialect::Relay => Visit::silent("/subscribe"),
        });
        let mut fanout = Self {
            audience: Audience::open(target, Link::Loopback, visits)?,
            publisher: Publisher::open(target, dialect, bytes)?,
            // A relay has no echo.
            probe: (dialect == Dialect::Gateway).then(|| Probe::open(target)).transpose()?,
            frame_bytes: 0,
            clock: Instant::now(),
            firsts: latencies()?,
            lasts: latencies()?,
        };
        fanout.publisher.publish(1)?;
        fanout.frame_bytes = fanout.audience.first_frame_bytes()?;
        fanout.audience.expect(fanout.frame_bytes, 1);
        fanout.audience.read_all()?;
        Ok(fanout)
    }

    /// Bytes of an event as it arrives, with the frame's header.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Publishes bursts of `depth` events for `time`, each when the one before has arrived
    /// everywhere, and beside that has `rate` echoes a second.
    ///
    /// # Errors
    /// A connection ends, or events stay away.
    pub fn run(&mut self, depth: u32, time: Duration, rate: u32) -> Result<Slot> {
        let start = self.clock.elapsed();
        let faults = self.audience.faults();
        if let (Some(probe), true) = (&mut self.probe, rate > 0) {
            probe.begin(rate, start);
        }
        let mut slot = Slot::default();
        while slot.elapsed < time {
            self.burst(depth, rate)?;
            slot.count += self.audience.len() as u64 * u64::from(depth);
            slot.elapsed = self.clock.elapsed() - start;
        }
        slot.faults = self.audience.faults() - faults;
        self.drain()?;
        Ok(slot)
    }

    /// Publishes `depth` events and reads them everywhere.
    fn burst(&mut self, depth: u32, rate: u32) -> Result<()> {
        self.audience.expect(self.frame_bytes, depth);
        let sent_at = self.clock.elapsed();
        self.publisher.publish(depth)?;
        let mut begun_at = None;
        let mut progress_at = sent_at;
        loop {
            let standing = self.audience.read()?;
            let now = self.clock.elapsed();
            if standing.read > 0 {
                progress_at = now;
            }
            if standing.begun && begun_at.is_none() {
                begun_at = Some(now);
                self.firsts.saturating_record((now - sent_at).as_nanos() as u64);
            }
            if standing.awaited == 0 {
                self.lasts.saturating_record((now - sent_at).as_nanos() as u64);
                break;
            }
            ensure!(
                now < sent_at + DRAINING_TIME_MAX,
                "{} subscribers have not received all",
                standing.awaited
            );
            if let Some(probe) = self.probe.as_mut().filter(|_| rate > 0) {
                probe.send(now)?;
                probe.receive(|| self.clock.elapsed())?;
            }
            let is_echo_awaited = self.probe.as_ref().is_some_and(Probe::is_waiting);
            let is_timed = begun_at.is_none() || standing.awaited < UNTIMED_MIN || is_echo_awaited;
            let is_stuck = now > progress_at + SPIN_TIME_MAX;
            if standing.read < UNTIMED_MIN && (is_stuck || !is_timed) {
                thread::sleep(NAP);
            }
        }
        self.publisher.read_answers()
    }

    /// Waits for the last echo.
    fn drain(&mut self) -> Result<()> {
        let start = self.clock.elapsed();
        while let Some(probe) = self.probe.as_mut().filter(|probe| probe.is_waiting()) {
            probe.receive(|| self.clock.elapsed())?;
            ensure!(self.clock.elapsed() < start + DRAINING_TIME_MAX, "an echo does not come back");
        }
        Ok(())
    }

    /// Since the last call: from a publish to the first subscriber that has an event, to the last
    /// one that has all; then of echoes, from the intended send time to the echo, and to the real
    /// send time.
    pub fn take_latencies(&mut self) -> Vec<Times> {
        let mut taken = vec![Times::take(&mut self.firsts), Times::take(&mut self.lasts)];
        if let Some(probe) = &mut self.probe {
            taken.push(Times::take(probe.latencies_mut()));
            taken.push(Times::take(probe.delays_mut()));
        }
        taken
    }
}
