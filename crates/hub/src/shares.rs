//! How much of the log's window each publisher, topic and recipient takes.
//!
//! Each is counted in two cells of a table, chosen by a hash with a secret key, and its part is the
//! smaller of the two. That is never too little, and it is too much only if others share both cells. So
//! the memory is fixed, however many names there are, and counting takes no lock. Never decides what
//! follows from a part.
//!
//! The application has few parts, so each has a cell of its own.
//!
//! Memory: 194 KiB.

use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::address::Address;
use crate::event::Event;
use crate::publisher::{APPLICATION_PARTS, Publisher};
use crate::retention::Retention;

/// Cells of each of the two rows of a table. Others then add a part of 1/4,096 to a cell on average.
const CELLS: usize = 1 << 12;

/// The parts of the window, in percent, above which a publisher, topic or recipient has no claim on
/// more; 100 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareLimits {
    /// Of one publisher other than the application.
    pub client: u32,
    /// Of all parts of the application together.
    pub application: u32,
    /// Of one topic.
    pub topic: u32,
    /// Of one recipient.
    pub recipient: u32,
}

/// A part of the window that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The publisher's.
    Client,
    /// The application's. A part of it that has less than an equal part of the share is not affected.
    Application,
    /// The topic's.
    Topic,
    /// A recipient's.
    Recipient,
}

/// The bytes that names of one kind take.
#[derive(Debug)]
struct Table {
    rows: [Box<[AtomicI64]>; 2],
    bytes_max: i64,
}

impl Table {
    fn new(bytes_max: i64) -> Self {
        Self { rows: [(); 2].map(|()| cells(CELLS)), bytes_max }
    }

    fn add(&self, hash: u32, bytes: i64) {
        for cell in self.cells_of(hash) {
            cell.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn is_exceeded(&self, hash: u32) -> bool {
        let bytes = self.cells_of(hash).map(|cell| cell.load(Ordering::Relaxed));
        bytes[0].min(bytes[1]) > self.bytes_max
    }

    fn cells_of(&self, hash: u32) -> [&AtomicI64; 2] {
        let [one, other] = &self.rows;
        [&one[hash as usize % one.len()], &other[(hash >> 16) as usize % other.len()]]
    }
}

/// The bytes that the parts of the application take.
#[derive(Debug)]
struct Application {
    parts: Box<[AtomicI64]>,
    bytes_max: i64,
}

impl Application {
    fn add(&self, part: usize, bytes: i64) {
        self.parts[part].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the share is used up, and this part has more than each would get if all parts that
    /// publish had as much. So one that publishes too much takes nothing from the others.
    fn is_exceeded(&self, part: usize) -> bool {
        if self.bytes_max == i64::MAX {
            return false;
        }
        let bytes = self.parts.iter().map(|part| part.load(Ordering::Relaxed).max(0));
        let (total, parts) = bytes
            .filter(|bytes| *bytes > 0)
            .fold((0_i64, 0), |(sum, parts), one| (sum.saturating_add(one), parts + 1));
        let own = self.parts[part].load(Ordering::Relaxed);
        total > self.bytes_max && own.saturating_mul(parts) > self.bytes_max
    }
}

fn cells(count: usize) -> Box<[AtomicI64]> {
    (0..count).map(|_| AtomicI64::new(0)).collect()
}

/// The parts of all.
#[derive(Debug)]
pub struct Shares {
    hasher: RandomState,
    publishers: Table,
    application: Application,
    topics: Table,
    recipients: Table,
    /// What an event takes at least: the window is also bounded by the number of events.
    event_bytes_min: u64,
}

impl Shares {
    pub(crate) fn new(limits: ShareLimits, retention: &Retention) -> Self {
        let bytes_max = retention.bytes_max.min(i64::MAX as u64);
        let part = |percent| match percent {
            100.. => i64::MAX,
            _ => (u128::from(bytes_max) * u128::from(percent) / 100) as i64,
        };
        let table = |percent| Table::new(part(percent));
        Self {
            hasher: RandomState::new(),
            publishers: table(limits.client),
            application: Application {
                parts: cells(APPLICATION_PARTS),
                bytes_max: part(limits.application),
            },
            topics: table(limits.topic),
            recipients: table(limits.recipient),
            event_bytes_min: bytes_max / retention.events_max.max(1),
        }
    }

    /// The publisher of this name or address.
    #[must_use]
    pub fn publisher(&self, name: impl Hash) -> Publisher {
        Publisher::of_hash(self.hasher.hash_one(name) as u32)
    }

    /// Counts an event that is in the log now. It may have left already.
    pub(crate) fn count(&self, event: &Event) {
        let keys = 0..event.keys() as usize;
        self.add(event, keys.clone(), 1);
        if event.note_counted() {
            self.add(event, keys, -1);
        }
    }

    /// An event leaves the log: this range of its recipients is no longer counted.
    pub(crate) fn discount(&self, event: &Event, part: Range<usize>) {
        if event.note_leaving(part.start == 0) {
            self.add(event, part, -1);
        }
    }

    fn add(&self, event: &Event, part: Range<usize>, sign: i64) {
        let bytes = sign * event.size().max(self.event_bytes_min).min(i64::MAX as u64) as i64;
        if part.start == 0 {
            match event.publisher().application_part() {
                Some(part) => self.application.add(part, bytes),
                None => self.publishers.add(event.publisher().number(), bytes),
            }
        }
        match event.address() {
            Address::Topic(topic) => self.topics.add(self.hash(topic), bytes),
            Address::Recipients(recipients) => {
                for name in recipients.iter().skip(part.start).take(part.len()) {
                    self.recipients.add(self.hash(name), bytes);
                }
            }
        }
    }

    /// The first share that is exceeded already and to which such an event would add. For the
    /// application, the shares of topics and recipients do not count.
    pub(crate) fn exceeded<'n>(
        &self,
        publisher: Publisher,
        topic: Option<&str>,
        mut recipients: impl Iterator<Item = &'n str>,
    ) -> Option<Share> {
        let is_exceeded = self.is_exceeded(publisher);
        if publisher.application_part().is_some() {
            return is_exceeded.then_some(Share::Application);
        }
        if is_exceeded {
            return Some(Share::Client);
        }
        if topic.is_some_and(|topic| self.topics.is_exceeded(self.hash(topic))) {
            return Some(Share::Topic);
        }
        recipients
            .any(|name| self.recipients.is_exceeded(self.hash(name)))
            .then_some(Share::Recipient)
    }

    /// Whether an event is within the shares of its publisher, and of its topic or any recipient.
    pub(crate) fn protect(&self, event: &Event) -> bool {
        let is_within = |table: &Table, name: &str| !table.is_exceeded(self.hash(name));
        !self.is_exceeded(event.publisher())
            && match event.address() {
                Address::Topic(topic) => is_within(&self.topics, topic),
                Address::Recipients(names) => {
                    names.iter().any(|name| is_within(&self.recipients, name))
                }
            }
    }

    fn is_exceeded(&self, publisher: Publisher) -> bool {
        match publisher.application_part() {
            Some(part) => self.application.is_exceeded(part),
            None => self.publishers.is_exceeded(publisher.number()),
        }
    }

    fn hash(&self, name: &str) -> u32 {
        self.hasher.hash_one(name) as u32
    }
}
