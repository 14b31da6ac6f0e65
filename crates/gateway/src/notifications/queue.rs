//! What one application still has to be told. Pure: the time is an argument, and the caller sends.
//!
//! The rules:
//! - *Order.* The entries of a client are sent in the order in which they were added. At most one
//!   request has entries of a client, and they are its oldest ones, so none overtakes another one.
//! - *Others.* After a failure only the clients of that request wait. A client that waits takes no
//!   place in flight, so one client's failures never hold back those of others.
//! - *The application.* If it cannot be reached, does not answer in time or says that it is busy, or
//!   after `ERRORS_IN_A_ROW` errors of any kind, the whole queue pauses, and then sends one request
//!   at a time until one succeeds: an application that restarts is not met by everything at once.
//! - *Refusals.* A request of several entries that is refused is sent again entry by entry, so that
//!   an entry that the application cannot take is alone in being dropped.
//! - *Bounds.* An entry that does not fit is not added; nothing that was added is displaced. An entry
//!   is dropped when it is refused, or after `age_max`. In all other cases it is sent until it is
//!   taken, so the application may get it twice, with the same id.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::notifications::backoff::Backoff;

/// After this many errors without a success between, the application counts as down.
const ERRORS_IN_A_ROW: u32 = 8;

/// Old entries are looked for this often, and only if something fails.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// The bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Entries, those in flight included.
    pub entries_max: usize,
    /// Their bytes. A larger entry fits into an empty queue.
    pub bytes_max: usize,
    /// Entries of one request.
    pub batch_max: usize,
    /// Bytes of the entries of one request, unless it has only one.
    pub batch_bytes_max: usize,
    /// Requests at a time.
    pub in_flight_max: usize,
    /// How long an entry is sent again.
    pub age_max: Duration,
    /// The delays after failures.
    pub backoff: Backoff,
}

/// What an application still has to be told.
#[derive(Debug)]
pub struct Queue<T> {
    bounds: Bounds,
    lanes: HashMap<Arc<str>, Lane<T>>,
    /// Clients whose entries may be sent, in the order in which they became ready.
    ready: VecDeque<Arc<str>>,
    /// Clients that wait after a failure.
    resting: BTreeSet<(Duration, Arc<str>)>,
    entries: usize,
    bytes: usize,
    in_flight: usize,
    application: Application,
    expired_at: Duration,
}

/// The entries of a client.
#[derive(Debug)]
struct Lane<T> {
    entries: VecDeque<Entry<T>>,
    /// In a row.
    failures: u32,
    is_in_flight: bool,
}

#[derive(Debug)]
struct Entry<T> {
    item: T,
    bytes: usize,
    added_at: Duration,
    /// A request with other entries was refused or failed, so it is sent without others.
    is_alone: bool,
}

/// What is known about the application.
#[derive(Debug, Default)]
struct Application {
    /// Errors of any kind in a row.
    errors: u32,
    /// Failures in a row for which the queue paused, and when the last one was.
    pauses: u32,
    paused_at: Duration,
    /// When the pause ends. From then on there is one request at a time.
    resumes_at: Option<Duration>,
}

/// There is no room for another entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The entries of one request. To be given back with [`Queue::complete`].
#[derive(Debug)]
pub struct Batch<T> {
    /// In order.
    pub items: Vec<T>,
    /// How many of them are of which client.
    lanes: Vec<(Arc<str>, usize)>,
    begun_at: Duration,
}

/// What has become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The application has it.
    Taken,
    /// The application will never take it.
    Refused,
    /// An error that may be of this request only.
    Failed,
    /// The application cannot take anything now, and perhaps says for how long.
    Unavailable(Option<Duration>),
}

/// Entries that have left a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// The application has them.
    pub taken: u64,
    /// The application does not want them.
    pub refused: u64,
    /// They were too old to be sent again.
    pub expired: u64,
}

impl<T: Clone> Queue<T> {
    /// An empty queue.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            resting: BTreeSet::new(),
            entries: 0,
            bytes: 0,
            in_flight: 0,
            application: Application::default(),
            expired_at: Duration::ZERO,
        }
    }

    /// Entries, those in flight included.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether everything has left.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether less than half of the room is taken.
    pub fn is_half_empty(&self) -> bool {
        self.entries < self.bounds.entries_max.div_ceil(2) && self.bytes < self.bounds.bytes_max / 2
    }

    /// Adds an entry behind all others of this client.
    ///
    /// # Errors
    /// [`Full`]; nothing is added.
    pub fn push(&mut self, client: &str, item: T, bytes: usize, now: Duration) -> Result<(), Full> {
        let is_over = self.bytes.saturating_add(bytes) > self.bounds.bytes_max;
        if self.entries >= self.bounds.entries_max || (is_over && self.entries > 0) {
            return Err(Full);
        }
        self.entries += 1;
        self.bytes += bytes;
        let entry = Entry { item, bytes, added_at: now, is_alone: false };
        if let Some(lane) = self.lanes.get_mut(client) {
            lane.entries.push_back(entry);
        } else {
            let client = Arc::<str>::from(client);
            let lane = Lane { entries: [entry].into(), failures: 0, is_in_flight: false };
            self.lanes.insert(Arc::clone(&client), lane);
            self.ready.push_back(client);
        }
        Ok(())
    }

    /// The next request, if one may be sent now.
    pub fn next(&mut self, now: Duration) -> Option<Batch<T>> {
        if self.next_time(now)? > now {
            return None;
        }
        while self.resting.first().is_some_and(|(until, _)| *until <= now) {
            let (_, client) = self.resting.pop_first().expect("there is a first one");
            self.ready.push_back(client);
        }
        let mut batch = Batch { items: Vec::new(), lanes: Vec::new(), begun_at: now };
        let mut bytes = 0;
        while batch.items.len() < self.bounds.batch_max {
            let Some(client) = self.ready.front() else { break };
            let lane = self.lanes.get_mut(client).expect("a ready client has entries");
            let before = batch.items.len();
            for entry in &lane.entries {
                let is_first = batch.items.is_empty();
                let fits = batch.items.len() < self.bounds.batch_max
                    && bytes + entry.bytes <= self.bounds.batch_bytes_max;
                if !is_first && (entry.is_alone || !fits) {
                    break;
                }
                bytes += entry.bytes;
                batch.items.push(entry.item.clone());
                if entry.is_alone {
                    bytes = usize::MAX / 2;
                }
            }
            let count = batch.items.len() - before;
            if count == 0 {
                break;
            }
            lane.is_in_flight = true;
            let client = self.ready.pop_front().expect("it is the one that was served");
            batch.lanes.push((client, count));
        }
        self.in_flight += 1;
        Some(batch)
    }

    /// When a request may be sent, if nothing is completed before; `None`: not before that.
    pub fn next_time(&self, now: Duration) -> Option<Duration> {
        let (earliest, in_flight_max) = match self.application.resumes_at {
            Some(at) => (at.max(now), 1),
            None => (now, self.bounds.in_flight_max),
        };
        if self.in_flight >= in_flight_max {
            return None;
        }
        if !self.ready.is_empty() {
            return Some(earliest);
        }
        self.resting.first().map(|(until, _)| (*until).max(earliest))
    }

    /// Takes back a request with its outcome. Returns the entries that have left with it.
    pub fn complete(
        &mut self,
        batch: Batch<T>,
        outcome: Outcome,
        now: Duration,
        mut random: impl FnMut() -> u32,
    ) -> Left {
        self.in_flight -= 1;
        let count = batch.items.len();
        let mut left = Left::default();
        let is_over = match outcome {
            Outcome::Taken => {
                left.taken = count as u64;
                true
            }
            Outcome::Refused => {
                left.refused = u64::from(count == 1);
                count == 1
            }
            Outcome::Failed | Outcome::Unavailable(_) => false,
        };
        let is_failure = matches!(outcome, Outcome::Failed | Outcome::Unavailable(_));
        for (client, count) in batch.lanes.iter().cloned() {
            let lane = self.lanes.get_mut(&client).expect("entries in flight keep their lane");
            lane.is_in_flight = false;
            lane.failures = if is_failure { lane.failures.saturating_add(1) } else { 0 };
            let failures = lane.failures;
            if is_over {
                for entry in lane.entries.drain(..count) {
                    self.entries -= 1;
                    self.bytes -= entry.bytes;
                }
            } else if batch.items.len() > 1 && !matches!(outcome, Outcome::Unavailable(_)) {
                lane.entries.iter_mut().take(count).for_each(|entry| entry.is_alone = true);
            }
            if lane.entries.is_empty() {
                self.lanes.remove(&client);
            } else if is_failure {
                let until = now + self.bounds.backoff.delay(failures, random());
                self.resting.insert((until, client));
            } else {
                self.ready.push_back(client);
            }
        }
        let backoff = self.bounds.backoff;
        self.application.judge(outcome, batch.begun_at, now, backoff, random());
        if is_failure {
            left.expired = self.expire(now);
        }
        left
    }

    /// Drops what is too old to be sent again.
    fn expire(&mut self, now: Duration) -> u64 {
        if now < self.expired_at + EXPIRY_INTERVAL {
            return 0;
        }
        self.expired_at = now;
        let before = self.entries;
        let age_max = self.bounds.age_max;
        for lane in self.lanes.values_mut().filter(|lane| !lane.is_in_flight) {
            while lane.entries.front().is_some_and(|entry| entry.added_at + age_max <= now) {
                let entry = lane.entries.pop_front().expect("there is a first one");
                self.entries -= 1;
                self.bytes -= entry.bytes;
            }
        }
        self.lanes.retain(|_, lane| !lane.entries.is_empty());
        self.ready.retain(|client| self.lanes.contains_key(client));
        self.resting.retain(|(_, client)| self.lanes.contains_key(client));
        (before - self.entries) as u64
    }
}

impl Application {
    /// Learns from the outcome of a request that was sent at `begun_at`.
    fn judge(
        &mut self,
        outcome: Outcome,
        begun_at: Duration,
        now: Duration,
        backoff: Backoff,
        random: u32,
    ) {
        let wanted = match outcome {
            Outcome::Taken | Outcome::Refused => return *self = Self::default(),
            Outcome::Unavailable(wanted) => wanted,
            Outcome::Failed => {
                self.errors += 1;
                if self.errors < ERRORS_IN_A_ROW && self.resumes_at.is_none() {
                    return;
                }
                None
            }
        };
        // Requests that were in flight together fail together, and that is one failure.
        if self.pauses == 0 || begun_at > self.paused_at {
            self.pauses = self.pauses.saturating_add(1);
            self.paused_at = now;
            self.resumes_at = Some(now + backoff.delay(self.pauses, random));
        }
        let wanted = wanted.map(|time| now + time.min(backoff.longest));
        self.resumes_at = self.resumes_at.max(wanted);
    }
}
