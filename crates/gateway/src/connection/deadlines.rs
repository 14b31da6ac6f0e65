//! The deadlines of one connection, by name.
//!
//! Most are phases of a connection that follow each other: these share a place in the table. Any
//! other deadline has a place of its own, which costs four bytes per client. A due time is kept in
//! milliseconds, cut to 32 bits. The core's wheel holds the earliest. Nothing here reads a clock.

use std::time::Duration;

/// A bounded wait of a connection. If two are due at once, the one that is declared first fires
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// The message that has begun must be complete.
    Message,
    /// The request must be complete.
    Request,
    /// The client of a request must be identified.
    Identity,
    /// The next request must begin.
    KeepAlive,
    /// A silent client must be pinged.
    Ping,
    /// The client must answer, or read its input.
    Pong,
    /// The poll must be answered.
    PollAnswer,
    /// The outcome of a command must be known.
    Outcome,
    /// The peer must end the connection.
    Close,
}

impl Deadline {
    /// Its place in the table.
    fn place(self) -> usize {
        match self {
            Self::Message => 1,
            _ => PHASE,
        }
    }
}

/// A due time in milliseconds, cut to 32 bits. Times are compared modulo 2^32.
type Moment = u32;

/// The deadline is not set.
const UNSET: Moment = 0;

/// The deadline is due and not handled yet.
const SUSPENDED: Moment = 1;

/// The first moment that is a due time.
const FIRST: Moment = 2;

/// Deadlines further away are shortened to this.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 86_400);

const _: () = assert!(AHEAD_MAX.as_millis() < 1 << 31, "moments are compared modulo 2^32");

/// The place of all phases.
const PHASE: usize = 0;

const PLACES: usize = 2;

/// The deadlines that are set.
#[derive(Debug)]
pub(super) struct Deadlines {
    due: [Moment; PLACES],
    /// The phase that was set last.
    phase: Deadline,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { due: [UNSET; PLACES], phase: Deadline::Request }
    }
}

impl Deadlines {
    /// Sets a deadline, replacing the one of this name; a phase ends the one before it.
    #[inline]
    pub(super) fn set(&mut self, deadline: Deadline, due: Duration, now: Duration) {
        let moment = match due > now {
            true => ceil(due.min(now + AHEAD_MAX)),
            false => now.as_millis() as Moment,
        };
        self.put(deadline, moment.max(FIRST));
    }

    /// Keeps a due deadline until it is handled: then it is set again or forgotten.
    pub(super) fn suspend(&mut self, deadline: Deadline) {
        self.put(deadline, SUSPENDED);
    }

    /// The deadline that is due and not handled yet.
    pub(super) fn suspended(&self) -> Option<Deadline> {
        self.set_ones().find(|(_, due)| *due == SUSPENDED).map(|(deadline, _)| deadline)
    }

    /// Whether it is set, or suspended.
    #[inline]
    pub(super) fn is_set(&self, deadline: Deadline) -> bool {
        let place = deadline.place();
        self.due[place] != UNSET && (place != PHASE || self.phase == deadline)
    }

    /// Forgets a deadline.
    #[inline]
    pub(super) fn cancel(&mut self, deadline: Deadline) {
        if self.is_set(deadline) {
            self.due[deadline.place()] = UNSET;
        }
    }

    /// Takes out a deadline that is due: the earliest one.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Deadline> {
        let (ahead, deadline) = self.next(now)?;
        if ahead > 0 {
            return None;
        }
        self.cancel(deadline);
        Some(deadline)
    }

    /// The time until the earliest deadline; zero if it has passed.
    #[inline]
    pub(super) fn earliest(&self, now: Duration) -> Option<Duration> {
        let (ahead, _) = self.next(now)?;
        Some(match u64::try_from(ahead) {
            Ok(ahead @ 1..) => Duration::from_millis(now.as_millis() as u64 + ahead),
            _ => Duration::ZERO,
        })
    }

    /// The earliest deadline, and how many milliseconds it is ahead of `now`.
    #[inline]
    fn next(&self, now: Duration) -> Option<(i32, Deadline)> {
        let now = now.as_millis() as Moment;
        let set = self.set_ones().filter(|(_, due)| *due != SUSPENDED);
        set.map(|(deadline, due)| (due.wrapping_sub(now) as i32, deadline)).min()
    }

    #[inline]
    fn set_ones(&self) -> impl Iterator<Item = (Deadline, Moment)> {
        let names = [self.phase, Deadline::Message];
        names.into_iter().zip(self.due).filter(|(_, due)| *due != UNSET)
    }

    #[inline]
    fn put(&mut self, deadline: Deadline, moment: Moment) {
        let place = deadline.place();
        self.due[place] = moment;
        if place == PHASE {
            self.phase = deadline;
        }
    }
}

/// Rounded up, so that a deadline never comes early.
#[inline]
fn ceil(due: Duration) -> Moment {
    (due.as_secs() * 1000 + u64::from(due.subsec_nanos().div_ceil(1_000_000))) as Moment
}

#[cfg(test)]
mod tests;
