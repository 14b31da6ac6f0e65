//! How much of the log's window each publisher, topic and recipient takes.
//!
//! Each is counted in two cells of a table, chosen by a hash with a secret key, and its part is the
//! smaller of the two: never less than the truth, and more only by what others have in both cells. So
//! the memory is fixed, however many names there are, and counting takes no lock. Never decides what
//! follows from a part.
//!
//! Memory: 192 KiB.

use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::address::Address;
use crate::event::Event;
use crate::publisher::Publisher;
use crate::retention::Retention;

/// Cells of each of the two rows of a table. Others then add a part of 1/4,096 to a cell on average.
const CELLS: usize = 1 << 12;

/// The parts of the window, in percent, above which a publisher, topic or recipient has no claim on
/// more; 100 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareLimits {
    /// Of one publisher other than the application.
    pub client: u32,
    /// Of the application.
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
    /// The application's.
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
    fn new(cells: usize, percent: u32, bytes_max: u64) -> Self {
        let rows = [(); 2].map(|()| (0..cells).map(|_| AtomicI64::new(0)).collect());
        let bytes_max = match percent {
            100.. => i64::MAX,
            _ => (u128::from(bytes_max) * u128::from(percent) / 100) as i64,
        };
        Self { rows, bytes_max }
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

/// The parts of all.
#[derive(Debug)]
pub struct Shares {
    hasher: RandomState,
    publishers: Table,
    application: Table,
    topics: Table,
    recipients: Table,
    /// What an event takes at least: the window is also bounded by the number of events.
    event_bytes_min: u64,
}

impl Shares {
    pub(crate) fn new(limits: ShareLimits, retention: &Retention) -> Self {
        let bytes_max = retention.bytes_max.min(i64::MAX as u64);
        let table = |percent| Table::new(CELLS, percent, bytes_max);
        Self {
            hasher: RandomState::new(),
            publishers: table(limits.client),
            application: Table::new(1, limits.application, bytes_max),
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
            self.table_of(event.publisher()).add(event.publisher().number(), bytes);
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

    /// The first share that an event like this would exceed further. The application is trusted with
    /// topics and recipients.
    pub(crate) fn exceeded<'n>(
        &self,
        publisher: Publisher,
        topic: Option<&str>,
        mut recipients: impl Iterator<Item = &'n str>,
    ) -> Option<Share> {
        if self.table_of(publisher).is_exceeded(publisher.number()) {
            return Some(match publisher {
                Publisher::APPLICATION => Share::Application,
                _ => Share::Client,
            });
        }
        if publisher == Publisher::APPLICATION {
            return None;
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
        let publisher = event.publisher();
        !self.table_of(publisher).is_exceeded(publisher.number())
            && match event.address() {
                Address::Topic(topic) => is_within(&self.topics, topic),
                Address::Recipients(names) => {
                    names.iter().any(|name| is_within(&self.recipients, name))
                }
            }
    }

    fn table_of(&self, publisher: Publisher) -> &Table {
        match publisher {
            Publisher::APPLICATION => &self.application,
            _ => &self.publishers,
        }
    }

    fn hash(&self, name: &str) -> u32 {
        self.hasher.hash_one(name) as u32
    }
}
