//! How many events each client has sent lately, over all its connections on all cores.
//!
//! A table of a fixed size without locks, so that a million clients cost no more memory than one. A
//! client needs an entry only until it has paid for what it sent; then any other client may take it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::bucket::{cost, time, units};

/// Lines of the table: 32 KiB, for 4,096 clients that send at the same moment.
const LINES: usize = 512;

/// Entries of a line; a client's entry is in one line.
const WAYS: usize = 8;

/// An entry has a part of the client's hash in its upper bits, and below it the moment at which all
/// that the client sent is paid for. 44 bits of units are two years.
const MOMENT_BITS: u32 = 44;

const MOMENT_MASK: u64 = (1 << MOMENT_BITS) - 1;

/// The clients that have sent events lately.
#[derive(Debug)]
pub struct ClientRates {
    hasher: RandomState,
    lines: Box<[Line]>,
}

/// A cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; WAYS]);

impl Default for ClientRates {
    fn default() -> Self {
        let lines = std::iter::repeat_with(Line::default).take(LINES).collect();
        Self { hasher: RandomState::new(), lines }
    }
}

impl ClientRates {
    /// Takes one of the events that this client may send.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ringway::rates::ClientRates;
    /// let (rates, second) = (ClientRates::default(), Duration::from_secs(1));
    /// assert_eq!(rates.take("ann", 2, second, second), Ok(()));
    /// assert_eq!(rates.take("ann", 2, second, second), Ok(()));
    /// assert_eq!(rates.take("ann", 2, second, second), Err(Duration::from_millis(500)));
    /// assert_eq!(rates.take("bob", 2, second, second), Ok(()));
    /// ```
    ///
    /// # Errors
    /// The client has sent too much; the value is the time that it must wait. Nothing was taken.
    pub fn take(
        &self,
        client: &str,
        per_second: u32,
        burst: Duration,
        now: Duration,
    ) -> Result<(), Duration> {
        let hash = self.hasher.hash_one(client);
        let Line(entries) = &self.lines[hash as usize % LINES];
        let tag = hash & !MOMENT_MASK;
        let now = units(now);
        let cost = cost(1, per_second.into());
        let ahead_max = units(burst).max(cost);
        loop {
            let (entry, found) = find(entries, tag, now);
            let since = if found & !MOMENT_MASK == tag { found & MOMENT_MASK } else { 0 };
            let paid = since.max(now) + cost;
            if paid > now + ahead_max {
                return Err(time(paid - now - ahead_max));
            }
            let next = tag | paid & MOMENT_MASK;
            let order = Ordering::Relaxed;
            if entry.compare_exchange_weak(found, next, order, order).is_ok() {
                return Ok(());
            }
        }
    }
}

/// The client's entry, or the one that is paid for first. If all entries of the line are in use, the
/// debt of the client that had it is forgotten.
fn find(entries: &[AtomicU64; WAYS], tag: u64, now: u64) -> (&AtomicU64, u64) {
    let mut first = (&entries[0], u64::MAX);
    for entry in entries {
        let value = entry.load(Ordering::Relaxed);
        if value & !MOMENT_MASK == tag && value & MOMENT_MASK > now {
            return (entry, value);
        }
        if value & MOMENT_MASK < first.1 & MOMENT_MASK || first.1 == u64::MAX {
            first = (entry, value);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_gets_its_rate_however_many_threads_it_uses() {
        let rates = ClientRates::default();
        let taken: usize = thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope.spawn(|| {
                    (0..2_000).filter(|_| rates.take("ann", 100, SECOND, SECOND).is_ok()).count()
                })
            });
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 100);
        // It has paid for ten of them a tenth of a second later.
        let later = SECOND + Duration::from_millis(100);
        let again = (0..50).filter(|_| rates.take("ann", 100, SECOND, later).is_ok()).count();
        assert!((9..=10).contains(&again), "{again}");
    }

    /// Each of a million clients sends one event, and none has to wait for another one.
    #[test]
    fn a_million_clients_cost_no_memory_and_do_not_limit_each_other() {
        let rates = ClientRates::default();
        let mut refused = 0;
        for number in 0..1_000_000_u32 {
            let now = SECOND + Duration::from_micros(number.into());
            refused += usize::from(rates.take(&number.to_string(), 5_000, SECOND, now).is_err());
        }
        assert_eq!(refused, 0);
        assert_eq!(size_of_val(&*rates.lines), 32 << 10);
    }

    #[test]
    fn the_client_that_floods_is_refused_while_others_come_and_go() {
        let rates = ClientRates::default();
        let mut accepted = 0;
        for millisecond in 0..2_000_u32 {
            let now = SECOND + Duration::from_millis(millisecond.into());
            for number in 0..20 {
                let other = format!("{millisecond}-{number}");
                assert_eq!(rates.take(&other, 1_000, SECOND, now), Ok(()));
                accepted += usize::from(rates.take("flood", 1_000, SECOND, now).is_ok());
            }
        }
        // The burst, and the rate for two seconds.
        assert!((2_990..=3_000).contains(&accepted), "{accepted}");
    }
}
