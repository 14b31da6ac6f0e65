//! How far each core has sent the log to its clients, so that those who publish can be held back when
//! a core is behind. It never holds anybody back itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ringway_hub::Sequence;

use crate::limits::CORE_NUMBER_MAX;

/// The progress of all cores. A core writes its own number at the end of a turn in which it has
/// changed.
#[derive(Debug)]
pub struct Progress {
    settled: Box<[AtomicU64]>,
    /// The cores that have begun are those before this one.
    cores: AtomicUsize,
}

impl Default for Progress {
    fn default() -> Self {
        let settled = (0..=CORE_NUMBER_MAX).map(|_| AtomicU64::new(Sequence::MAX)).collect();
        Self { settled, cores: AtomicUsize::new(0) }
    }
}

impl Progress {
    /// A core has sent its clients all events up to this one.
    #[inline]
    pub fn note(&self, core: usize, settled: Sequence) {
        let Some(place) = self.settled.get(core) else { return };
        if place.load(Ordering::Relaxed) != settled {
            place.store(settled, Ordering::Relaxed);
            self.cores.fetch_max(core + 1, Ordering::Relaxed);
        }
    }

    /// All cores have sent their clients all events up to this one.
    pub fn slowest(&self) -> Sequence {
        let cores = self.settled.iter().take(self.cores.load(Ordering::Relaxed));
        cores.map(|settled| settled.load(Ordering::Relaxed)).min().unwrap_or(Sequence::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_core_counts() {
        let progress = Progress::default();
        assert_eq!(progress.slowest(), Sequence::MAX);
        progress.note(2, 7);
        progress.note(0, 9);
        assert_eq!(progress.slowest(), 7);
        progress.note(2, 10);
        assert_eq!(progress.slowest(), 9);
    }
}
