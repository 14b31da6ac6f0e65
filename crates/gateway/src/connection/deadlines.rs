//! The deadlines of one connection, by name.
//!
//! Most are phases of a connection that follow each other: these share a place in the table. Any
//! other deadline has a place of its own, which costs four bytes per client; the expiry of a token
//! has the three bytes that alignment leaves. A due time is kept in milliseconds, cut to 32 bits,
//! that of the expiry in seconds, cut to 24. The core's wheel holds the earliest. Nothing here reads a clock.

use std::time::Duration;

/// A bounded wait of a connection. If two are due at once, the one that is declared first fires
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// The message that has begun must be complete.
    Message,
    /// The client's token expires.
    Expiry,
    /// The handshake of its channel must be complete.
    Handshake,
    /// The request must be complete.
    Request,
    /// The client of a request must be identified.
    Identity,
    /// The server of a route must connect, or answer.
    Upstream,
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
    /// A relay must not be silent for longer.
    RelayIdle,
    /// A client that sent too fast is read from again.
    Rest,
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

/// A due time in seconds, cut to 24 bits; 0 if it is not set. Seconds are compared modulo 2^24.
type Second = [u8; 3];

const NO_SECOND: Second = [0; 3];

const SECONDS_MASK: u32 = (1 << 24) - 1;

const _: () = assert!(AHEAD_MAX.as_secs() < 1 << 23, "seconds are compared modulo 2^24");

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
    /// When the token expires. No client sees a difference of a second.
    expiry: Second,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { due: [UNSET; PLACES], phase: Deadline::Request, expiry: NO_SECOND }
    }
}

impl Deadlines {
    /// Sets a deadline, replacing the one of this name; a phase ends the one before it.
    #[inline]
    pub(super) fn set(&mut self, deadline: Deadline, due: Duration, now: Duration) {
        if deadline == Deadline::Expiry {
            let due = due.clamp(now, now + AHEAD_MAX);
            let seconds = due.as_secs() + u64::from(due.subsec_nanos() > 0);
            // One second in 194 days is no due time.
            let second = (seconds as u32 & SECONDS_MASK).max(1);
            let [first, next, last, _] = second.to_le_bytes();
            self.expiry = [first, next, last];
            return;
        }
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
        if deadline == Deadline::Expiry {
            return self.expiry != NO_SECOND;
        }
        let place = deadline.place();
        self.due[place] != UNSET && (place != PHASE || self.phase == deadline)
    }

    /// Forgets a deadline.
    #[inline]
    pub(super) fn cancel(&mut self, deadline: Deadline) {
        if deadline == Deadline::Expiry {
            self.expiry = NO_SECOND;
            return;
        }
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
        let moment = now.as_millis() as Moment;
        let set = self.set_ones().filter(|(_, due)| *due != SUSPENDED);
        let next = set.map(|(deadline, due)| (due.wrapping_sub(moment) as i32, deadline)).min();
        if self.expiry == NO_SECOND {
            return next;
        }
        let expiry = (self.milliseconds_to_expiry(now), Deadline::Expiry);
        Some(next.map_or(expiry, |next| next.min(expiry)))
    }

    /// How far the expiry is ahead of `now`; negative once it has passed.
    fn milliseconds_to_expiry(&self, now: Duration) -> i32 {
        let [first, next, last] = self.expiry;
        let second = u32::from_le_bytes([first, next, last, 0]);
        let ahead = second.wrapping_sub(now.as_secs() as u32) & SECONDS_MASK;
        // Sign extension from 24 bits.
        let ahead = ((ahead << 8) as i32) >> 8;
        ahead.saturating_mul(1000).saturating_sub(now.subsec_millis() as i32)
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
