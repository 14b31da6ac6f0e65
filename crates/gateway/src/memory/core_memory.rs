//! A core's side of the memory budget: plain numbers that are reported in batches, so that a
//! message that holds no memory afterwards costs no atomic operation.
//!
//! Invariant: `held` is the sum of the bytes counted for this core's connections.

use std::sync::Arc;

use crate::memory::MemoryBudget;

/// The largest difference between the bytes that a core holds and those that it has reported.
const BATCH_BYTES: u64 = 64 << 10;

/// The bytes that one core holds.
#[derive(Debug)]
pub struct CoreMemory {
    budget: Arc<MemoryBudget>,
    batch: u64,
    held: u64,
    reported: u64,
}

impl CoreMemory {
    /// A core that holds nothing.
    pub fn new(budget: Arc<MemoryBudget>) -> Self {
        // A small budget is kept as accurately as a large one.
        let batch = BATCH_BYTES.min(budget.limit() / 64);
        Self { budget, batch, held: 0, reported: 0 }
    }

    /// The budget that all cores share.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// The bytes that this core holds.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// A connection that was counted with `before` bytes holds `now` bytes.
    #[inline]
    pub fn change(&mut self, before: u32, now: u32) {
        self.held = self.held - u64::from(before) + u64::from(now);
        if self.held.abs_diff(self.reported) > self.batch {
            self.report();
        }
    }

    /// Reports to the budget the bytes that this core holds.
    #[cold]
    fn report(&mut self) {
        self.budget.report(self.held.wrapping_sub(self.reported) as i64);
        self.reported = self.held;
    }

    /// Bytes that this core must free: its share of the excess, in proportion to the bytes that it
    /// holds.
    pub fn share_of_excess(&mut self) -> u64 {
        if !self.budget.is_pressed() {
            return 0;
        }
        self.report();
        let (excess, all) = (self.budget.excess(), self.budget.held().max(1));
        let share = u128::from(excess) * u128::from(self.held) / u128::from(all);
        (share as u64).min(self.held).max(u64::from(excess > 0 && self.held > 0))
    }
}

impl Drop for CoreMemory {
    /// Memory that a core held is released with the core.
    fn drop(&mut self) {
        self.held = 0;
        self.report();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_are_reported_together() {
        let budget = Arc::new(MemoryBudget::new(1 << 30));
        let mut core = CoreMemory::new(Arc::clone(&budget));
        for _ in 0..64 {
            core.change(0, 1024);
        }
        assert_eq!((core.held(), budget.held()), (64 << 10, 0));
        core.change(1024, 1025);
        assert_eq!(budget.held(), (64 << 10) + 1);
        core.change(64 << 10, 0);
        assert_eq!((core.held(), budget.held()), (1, (64 << 10) + 1), "within the batch again");
        drop(core);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn each_core_frees_in_proportion_to_what_it_holds() {
        let budget = Arc::new(MemoryBudget::new(80_000));
        let [mut much, mut little, mut none] =
            [(); 3].map(|()| CoreMemory::new(Arc::clone(&budget)));
        much.change(0, 75_000);
        little.change(0, 10_000);
        assert!(budget.is_pressed());
        assert_eq!(budget.excess(), 15_000);
        assert_eq!(much.share_of_excess(), 13_235);
        assert_eq!(little.share_of_excess(), 1_764);
        assert_eq!(none.share_of_excess(), 0);
        much.change(75_000, 60_000);
        assert_eq!(much.share_of_excess(), 0, "the first report relieved the budget");
        assert!(!budget.is_pressed());
    }
}
