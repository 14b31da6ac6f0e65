//! The state that publishers and subscribers share: which events were published, and how many
//! deliveries are outstanding.
//!
//! A delivery costs no lock and no shared write; each thread settles its deliveries once per turn.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use ringway_acceptor::Waker;

use crate::wire::stamp::Stamp;

/// The phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Each publisher publishes one event, to see whether it reaches all subscribers.
    Probing,
    /// Events are published at the requested rate.
    Measuring,
}

/// One sequence number for each publisher.
pub type Sequences = Box<[u32]>;

/// What both sides share.
#[derive(Debug)]
pub struct Traffic {
    /// In the upper half of a stamp's connection; distinguishes our events from those of other
    /// runs.
    tag: u32,
    is_probing: AtomicBool,
    is_publishing: AtomicBool,
    /// By publisher, one past the number of its latest event.
    published: Box<[AtomicU32]>,
    /// By publisher, events before this number are no longer expected. Written under the lock,
    /// together with a count of the writes.
    given_up: Box<[AtomicU32]>,
    givings_up: AtomicU64,
    /// Deliveries that arrived or were given up.
    settled: AtomicU64,
    /// The publishers are woken when this many deliveries are settled.
    wake_at: AtomicU64,
    waker: OnceLock<Waker>,
    book: Mutex<Book>,
}

/// The values that must change together: the subscribers that are owed deliveries, and the events.
#[derive(Debug, Default)]
struct Book {
    present: u32,
    owed: u64,
}

/// Successive events of a publisher that may be published now, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The number of the first among its publisher's.
    pub sequence: u32,
    /// How many they are.
    pub events: u32,
    /// Deliveries that each of them owes.
    pub owed: u32,
}

/// No publisher waits.
const NEVER: u64 = u64::MAX;

/// Bits of a publisher's number.
const PUBLISHER_BITS: u32 = 16;

/// The most publishers whose numbers fit into a stamp.
pub const PUBLISHERS_MAX: u32 = 1 << PUBLISHER_BITS;

impl Traffic {
    /// The traffic of this many publishers, at most [`PUBLISHERS_MAX`].
    pub fn new(publishers: u32) -> Self {
        let zeros = || (0..publishers).map(|_| AtomicU32::new(0)).collect();
        Self {
            tag: u32::from(fastrand::u16(..)) << PUBLISHER_BITS,
            is_probing: AtomicBool::new(false),
            is_publishing: AtomicBool::new(false),
            published: zeros(),
            given_up: zeros(),
            givings_up: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            wake_at: AtomicU64::new(NEVER),
            waker: OnceLock::new(),
            book: Mutex::default(),
        }
    }

    /// The current phase, or the last one.
    pub fn phase(&self) -> Phase {
        match self.is_probing.load(Ordering::Acquire) {
            true => Phase::Probing,
            false => Phase::Measuring,
        }
    }

    /// Starts a phase. Deliveries of the previous phase are no longer owed.
    pub fn begin(&self, phase: Phase) {
        self.book().owed = 0;
        self.settled.store(0, Ordering::Release);
        self.is_probing.store(phase == Phase::Probing, Ordering::Release);
        self.is_publishing.store(true, Ordering::Release);
    }

    /// Ends publishing in this phase.
    pub fn end(&self) {
        self.is_publishing.store(false, Ordering::Release);
    }

    /// Whether publishing has ended and nothing is outstanding.
    pub fn is_over(&self) -> bool {
        self.is_ended() && self.outstanding() == 0
    }

    /// Whether publishing has ended.
    pub fn is_ended(&self) -> bool {
        !self.is_publishing.load(Ordering::Acquire)
    }

    /// Sets the waker of the publishers, which is called when deliveries are settled.
    pub fn set_waker(&self, waker: Waker) {
        // There is one publishing thread.
        let _ = self.waker.set(waker);
    }

    /// The number of publishers.
    pub fn publishers(&self) -> usize {
        self.published.len()
    }

    /// The connection in the stamps of this publisher.
    pub fn connection(&self, publisher: u32) -> u32 {
        self.tag | publisher
    }

    /// The index of the publisher of a stamp, if it is one of ours.
    #[inline]
    pub fn publisher(&self, stamp: Stamp) -> Option<usize> {
        let publisher = (stamp.connection ^ self.tag) as usize;
        (publisher < self.published.len()).then_some(publisher)
    }

    /// One past the number of a publisher's latest event.
    #[inline]
    pub fn published(&self, publisher: usize) -> u32 {
        self.published[publisher].load(Ordering::Acquire)
    }

    /// The same for all publishers.
    pub fn all_published(&self) -> Sequences {
        read(&self.published)
    }

    /// Assigns numbers to events that are about to be sent.
    pub fn publish(&self, publisher: usize, events: u32) -> Ticket {
        let mut book = self.book();
        let sequence = self.published[publisher].fetch_add(events, Ordering::Release);
        book.owed += u64::from(book.present) * u64::from(events);
        Ticket { sequence, events, owed: book.present }
    }

    /// The server did not accept the publisher's latest events; their numbers are used again.
    pub fn withdraw(&self, publisher: usize, ticket: Ticket) {
        let mut book = self.book();
        self.published[publisher].store(ticket.sequence, Ordering::Release);
        let owed = u64::from(ticket.owed) * u64::from(ticket.events);
        book.owed = book.owed.saturating_sub(owed);
    }

    /// A subscriber has connected; events from these numbers on are owed to it.
    pub fn join(&self) -> Sequences {
        let mut book = self.book();
        book.present += 1;
        read(&self.published)
    }

    /// A subscriber has disconnected; events from these numbers on are not owed to it.
    pub fn leave(&self) -> Sequences {
        let mut book = self.book();
        book.present -= 1;
        read(&self.published)
    }

    /// The number of connected subscribers.
    pub fn present(&self) -> u32 {
        self.book().present
    }

    /// Outstanding deliveries.
    pub fn outstanding(&self) -> u64 {
        let settled = self.settled.load(Ordering::Acquire);
        self.book().owed.saturating_sub(settled)
    }

    /// Deliveries that arrived or were given up.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Settles deliveries that arrived or were given up.
    pub fn settle(&self, deliveries: u64) {
        let settled = self.settled.fetch_add(deliveries, Ordering::SeqCst) + deliveries;
        let wake_at = self.wake_at.load(Ordering::SeqCst);
        if settled >= wake_at && self.wake_at.swap(NEVER, Ordering::SeqCst) != NEVER {
            self.wake_publishers();
        }
    }

    /// Whether at most `deliveries` are outstanding; if not, the publishers are woken later, when
    /// that is the case.
    pub fn awaits_at_most(&self, deliveries: u64) -> bool {
        let wake_at = self.book().owed.saturating_sub(deliveries);
        self.wake_at.store(wake_at, Ordering::SeqCst);
        // Deliveries may have been settled in between by a thread that did not see `wake_at`.
        let is_so = self.settled.load(Ordering::SeqCst) >= wake_at;
        if is_so {
            self.wake_at.store(NEVER, Ordering::SeqCst);
        }
        is_so
    }

    /// Gives up all outstanding deliveries: subscribers settle them.
    pub fn give_up(&self) {
        let _book = self.book();
        for (given_up, published) in self.given_up.iter().zip(&self.published) {
            given_up.store(published.load(Ordering::Acquire), Ordering::Release);
        }
        self.givings_up.fetch_add(1, Ordering::Release);
    }

    /// How often deliveries were given up.
    #[inline]
    pub fn givings_up(&self) -> u64 {
        self.givings_up.load(Ordering::Acquire)
    }

    /// The numbers below which events were given up.
    pub fn given_up(&self) -> Sequences {
        let _book = self.book();
        read(&self.given_up)
    }

    /// Wakes the publishers, so that they check again.
    pub fn wake_publishers(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No code panics while it holds the lock.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(sequences: &[AtomicU32]) -> Sequences {
    sequences.iter().map(|sequence| sequence.load(Ordering::Acquire)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn events_are_owed_to_connected_subscribers() {
        let traffic = Traffic::new(2);
        traffic.begin(Phase::Measuring);
        traffic.join();
        assert_eq!(traffic.publish(0, 1), Ticket { sequence: 0, events: 1, owed: 1 });
        assert_eq!(&*traffic.join(), &[1, 0]);
        let several = traffic.publish(1, 3);
        assert_eq!((traffic.outstanding(), traffic.published(1)), (7, 3));
        traffic.withdraw(1, several);
        let ticket = traffic.publish(1, 1);
        assert_eq!(ticket.owed, 2);
        assert_eq!(traffic.outstanding(), 3);
        traffic.withdraw(1, ticket);
        assert_eq!((traffic.outstanding(), traffic.published(1)), (1, 0));
        assert!(!traffic.awaits_at_most(0));
        traffic.settle(1);
        assert!(traffic.awaits_at_most(0));
        assert_eq!(&*traffic.leave(), &[1, 0]);
        assert_eq!(traffic.present(), 1);
        traffic.publish(0, 1);
        traffic.give_up();
        assert_eq!((&*traffic.given_up(), traffic.givings_up()), (&[2, 0][..], 1));
        traffic.begin(Phase::Measuring);
        assert_eq!(traffic.outstanding(), 0);
    }

    #[test]
    fn events_of_other_runs_are_ignored() {
        let traffic = Traffic::new(3);
        let stamp = |connection| Stamp { connection, sequence: 0, at: Duration::ZERO };
        assert_eq!(traffic.publisher(stamp(traffic.connection(2))), Some(2));
        assert_eq!(traffic.publisher(stamp(traffic.connection(3))), None);
        assert_eq!(traffic.publisher(stamp(traffic.connection(0) ^ 1 << 31)), None);
    }
}
