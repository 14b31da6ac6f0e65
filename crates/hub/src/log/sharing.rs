//! Whether the log takes an event that is beyond a share of the window: its publisher's, its topic's
//! or a recipient's.
//!
//! It does as long as there is room, or if the events that would leave are beyond a share themselves
//! or can no longer be wanted. Otherwise the event is refused, so that the events within all shares
//! stay for their time.

use std::sync::{Mutex, PoisonError, atomic::Ordering};
use std::time::Duration;

use super::Log;
use crate::cursor::Sequence;
use crate::publisher::Publisher;
use crate::segment_size::{Nanos, nanos};
use crate::shares::{Share, ShareLimits, Shares};

/// Events that one call looks at.
const EVENTS_AT_ONCE: usize = 512;

/// A protected event is checked again after this time: its publisher may have taken too much since.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// An event was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded {
    /// The share that is used up.
    pub share: Share,
    /// After this time the event that is in the way has left, at the latest.
    pub retry_after: Duration,
}

/// The shares of a log, and the oldest event that must not be displaced.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) shares: Shares,
    scan: Mutex<Scan>,
}

/// Events before `at` are not protected.
#[derive(Debug, Default)]
struct Scan {
    at: Sequence,
    /// The event at `at` is protected until the first time. The second is when it was last checked.
    protected: Option<(Nanos, Nanos)>,
}

impl Log {
    /// This log with shares: no publisher, topic or recipient can take more than its share at the
    /// expense of others.
    #[must_use]
    pub fn sharing(self, limits: ShareLimits) -> Self {
        let shares = Shares::new(limits, &self.retention);
        Self { sharing: Some(Sharing { shares, scan: Mutex::default() }), ..self }
    }

    /// The publisher of this name or address.
    #[must_use]
    pub fn publisher(&self, name: impl std::hash::Hash) -> Publisher {
        let sharing = self.sharing.as_ref();
        sharing.map_or(Publisher::UNKNOWN, |sharing| sharing.shares.publisher(name))
    }

    /// Whether an event of this publisher, for this topic or these recipients, may be appended now.
    ///
    /// # Errors
    /// [`Crowded`]
    pub fn admit<'n>(
        &self,
        publisher: Publisher,
        topic: Option<&str>,
        recipients: impl IntoIterator<Item = &'n str>,
        now: Duration,
    ) -> Result<(), Crowded> {
        let Some(sharing) = &self.sharing else { return Ok(()) };
        if !self.is_half_full() {
            return Ok(());
        }
        let recipients = recipients.into_iter();
        let Some(share) = sharing.shares.exceeded(publisher, topic, recipients) else {
            return Ok(());
        };
        match self.displaces_protected(sharing, nanos(now)) {
            None => Ok(()),
            Some(until) => {
                let retry_after = Duration::from_nanos(until).saturating_sub(now);
                Err(Crowded { share, retry_after })
            }
        }
    }

    /// Whether no more than half of the window is free, which is kept for publishers within their
    /// shares: they do not displace each other because somebody has taken all the rest.
    fn is_half_full(&self) -> bool {
        let (retention, first) = (&self.retention, self.first());
        let events = (self.head() + 1).saturating_sub(first);
        let bytes = self.closed_bytes.sum() + self.index_bytes.load(Ordering::Relaxed);
        events * 2 >= retention.events_max || bytes * 2 >= retention.bytes_max
    }

    /// The time until which the older half of the window has a protected event, if it has one.
    #[cold]
    fn displaces_protected(&self, sharing: &Sharing, now: Nanos) -> Option<Nanos> {
        let mut scan = sharing.scan.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.first();
        if scan.at >= first
            && let Some((until, looked)) = scan.protected
            && now < until.min(looked.saturating_add(nanos(LOOK_AGAIN)))
        {
            return Some(until);
        }
        scan.at = scan.at.max(first);
        scan.protected = None;
        let history = self.read();
        // Few large events may displace many small ones.
        let half = (first + self.head().saturating_sub(first) / 2).max(history.half_of_bytes());
        for _ in 0..EVENTS_AT_ONCE {
            if scan.at > half {
                break;
            }
            let Some((_, event)) = history.indexed(scan.at) else { break };
            let until = nanos(event.at()).saturating_add(nanos(self.retention.age_max));
            if until > now
                && event.is_wanted(Duration::from_nanos(now))
                && sharing.shares.protect(event)
            {
                scan.protected = Some((until, now));
                return Some(until);
            }
            scan.at += 1;
        }
        None
    }
}
