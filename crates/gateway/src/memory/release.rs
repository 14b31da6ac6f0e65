//! Returns freed memory to the kernel, even if nothing is allocated any more.
//!
//! The allocator keeps the memory that a thread has freed, and returns it during that thread's
//! later allocations. A thread that goes to sleep after a burst would keep all of the burst
//! resident. So each thread calls the allocator once more, some time after it was last busy.

use std::{hint::black_box, time::Duration};

/// How long after its last work a thread returns memory. Returning memory and taking it again costs
/// page faults, so a thread that is always busy does it no more often than this.
pub const RELEASE_INTERVAL: Duration = Duration::from_secs(10);

/// Makes the allocator collect the memory that this thread has freed, and memory of this thread
/// that others have freed, and return whole pages to the kernel.
///
/// mimalloc does this (`mi_collect` with force, in `_mi_malloc_generic`) before it reports that an
/// allocation is impossible. So this requests an impossible one: no address space has `isize::MAX`
/// bytes. It is the only way without unsafe code; `memory_is_returned_without_traffic` shows that it
/// works.
pub fn release_freed() {
    let mut impossible: Vec<u8> = Vec::new();
    let refused = black_box(&mut impossible).try_reserve_exact(black_box(isize::MAX as usize));
    debug_assert!(refused.is_err());
}

/// When a thread must next return memory.
#[derive(Debug, Default)]
pub struct Release {
    due: Option<Duration>,
}

impl Release {
    /// The thread was busy, and may have freed memory.
    #[inline]
    pub fn was_busy(&mut self, now: Duration) {
        self.due.get_or_insert(now + RELEASE_INTERVAL);
    }

    /// The time until [`Self::expire`] has work; `None`: none until the thread is busy again.
    pub fn time_left(&self, now: Duration) -> Option<Duration> {
        self.due.map(|due| due.saturating_sub(now))
    }

    /// Returns memory, if it is time.
    pub fn expire(&mut self, now: Duration) {
        if self.due.is_some_and(|due| now >= due) {
            self.due = None;
            release_freed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_due_once_after_the_thread_was_busy() {
        let mut release = Release::default();
        assert_eq!(release.time_left(Duration::ZERO), None);
        let [start, later] = [1, 5].map(Duration::from_secs);
        release.was_busy(start);
        release.was_busy(later);
        assert_eq!(release.time_left(start), Some(RELEASE_INTERVAL));
        release.expire(start + RELEASE_INTERVAL - Duration::from_millis(1));
        assert!(release.time_left(start).is_some());
        release.expire(start + RELEASE_INTERVAL);
        assert_eq!(release.time_left(later), None, "an idle thread sleeps on");
    }
}
