//! What is in the log: whom it is for, how long it is kept, and its encodings.
//!
//! The caller encodes once and leaves room for the cursor, which only the log knows. A second
//! encoding is made by the first who needs it, and shared. Never looks into either.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::address::Address;
use crate::cursor::{Cursor, Epoch, Sequence};

/// What an event takes in the log beside its text and its names.
const EVENT_BYTES: usize = size_of::<OnceLock<Event>>();

const _: () = assert!(EVENT_BYTES <= 176, "a log of 100,000 small events stays below 32 MiB");

/// A buffer may have this much to spare in the log; with more it is reallocated.
const SPARE_BYTES_MAX: usize = 64;

/// How long an event is there for those who are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// As long as the log keeps it.
    Window,
    /// Until this time at the latest (of the clock that [`crate::Log::append`] is told).
    Until(Duration),
    /// Not at all: it is for those who are here, who may read it on from the log when they could not
    /// be sent it at once.
    Never,
}

/// For so long a recipient that has just left may come back to an event that is not kept: it was
/// here when the event came, and its connection ended before it was sent.
pub const UNKEPT_GRACE: Duration = Duration::from_secs(5);

/// An event that is not in the log yet.
#[derive(Debug)]
pub struct Draft {
    /// Whom it is for.
    pub address: Address,
    /// Its name, for the one who sends it out.
    pub name: Option<Box<str>>,
    /// A client that shall not get it.
    pub except: Option<Box<str>>,
    /// How long it is kept.
    pub keep: Expiry,
    /// The first encoding.
    pub bytes: Vec<u8>,
    /// Where the [`Cursor::TEXT_BYTES`] of the cursor are in `bytes`; the log overwrites them.
    pub cursor_at: usize,
}

/// An event in the log.
#[derive(Debug)]
pub struct Event {
    sequence: Sequence,
    at: Duration,
    address: Address,
    name: Option<Box<str>>,
    except: Option<Box<str>>,
    keep: Expiry,
    bytes: Vec<u8>,
    cursor_at: usize,
    /// Empty: it could not be made.
    second: OnceLock<Box<[u8]>>,
    /// Whether the second encoding is counted in its segment's size.
    second_is_charged: AtomicBool,
}

impl Event {
    /// Does all that can fail, so that nothing can once a slot has been claimed.
    ///
    /// # Panics
    /// `cursor_at` leaves no room for a cursor.
    pub(crate) fn new(draft: Draft, at: Duration) -> Self {
        let Draft { address, name, except, keep, mut bytes, cursor_at } = draft;
        let room = bytes.get(cursor_at..).map_or(0, <[u8]>::len);
        assert!(room >= Cursor::TEXT_BYTES, "an encoding has room for its cursor");
        if bytes.capacity() - bytes.len() > SPARE_BYTES_MAX + bytes.len() / 4 {
            bytes.shrink_to_fit();
        }
        let (second, second_is_charged) = (OnceLock::new(), AtomicBool::new(false));
        Self {
            sequence: 0,
            at,
            address,
            name,
            except,
            keep,
            bytes,
            cursor_at,
            second,
            second_is_charged,
        }
    }

    /// Gives the event its place in the order. Cannot fail: `new` has made sure of the room.
    pub(crate) fn stamp(&mut self, epoch: Epoch, sequence: Sequence) {
        self.sequence = sequence;
        let room = self.cursor_at..self.cursor_at + Cursor::TEXT_BYTES;
        self.bytes[room].copy_from_slice(&Cursor { epoch, sequence }.text());
    }

    /// What the event is charged when it is appended.
    pub(crate) fn size(&self) -> u64 {
        let names = [&self.name, &self.except];
        let names: usize = names.into_iter().flatten().map(|name| name.len()).sum();
        (EVENT_BYTES + self.bytes.capacity() + self.address.bytes() + names) as u64
    }

    /// Under how many keys it will be in the index.
    pub(crate) fn keys(&self) -> u64 {
        match &self.address {
            Address::Topic(_) => 1,
            Address::Recipients(recipients) => recipients.len() as u64,
        }
    }

    /// The bytes of a second encoding that nobody has charged yet; the caller does.
    #[inline]
    pub(crate) fn uncharged(&self) -> Option<u64> {
        let second = self.second.get()?;
        if self.second_is_charged.load(Ordering::Relaxed)
            || self.second_is_charged.swap(true, Ordering::Relaxed)
        {
            return None;
        }
        Some(second.len() as u64)
    }

    pub(crate) fn has_expired(&self, now: Duration) -> bool {
        matches!(self.keep, Expiry::Until(end) if end <= now)
    }

    /// Whether a client that comes now would be sent it, were it in the log: one that is not kept
    /// is for those whose connection has just ended, too.
    pub(crate) fn is_wanted(&self, now: Duration) -> bool {
        match self.keep {
            Expiry::Window => true,
            Expiry::Until(end) => end > now,
            Expiry::Never => self.at + UNKEPT_GRACE > now,
        }
    }

    /// Its number in the log's order.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Whom it is for.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// A client that shall not get it.
    #[must_use]
    pub fn except(&self) -> Option<&str> {
        self.except.as_deref()
    }

    /// How long it is kept.
    #[must_use]
    pub fn keep(&self) -> Expiry {
        self.keep
    }

    /// When it was appended.
    #[must_use]
    pub fn at(&self) -> Duration {
        self.at
    }

    /// The first encoding, with its cursor.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The second encoding, if somebody has made it.
    pub fn second(&self) -> Option<&[u8]> {
        self.second.get().map(|bytes| &**bytes).filter(|bytes| !bytes.is_empty())
    }

    /// The second encoding, made from the first by whoever asks first; one who asks at the same
    /// time waits for it. It stays as long as the event and counts in the log's bytes.
    ///
    /// Where `make` cannot make it, there is none: nobody tries again.
    pub fn second_encoding(&self, make: impl FnOnce(&[u8]) -> Option<Box<[u8]>>) -> Option<&[u8]> {
        self.second.get_or_init(|| make(&self.bytes).unwrap_or_default());
        self.second()
    }
}
