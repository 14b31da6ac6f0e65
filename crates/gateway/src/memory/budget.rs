//! The memory that all cores and the control thread hold together, against one limit.
//!
//! Cores add to it in batches (`CoreMemory`); the control thread reserves memory for each body. It
//! never frees anything itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::limits::{PLENTY_BYTES, SPARSE_ANSWER_BYTES};

/// Once the limit was exceeded, memory is freed until less than this part of it is held: closing
/// one client for each excess byte would continue for as long as an attack does.
const RELIEVED_EIGHTHS: u64 = 7;

/// Bodies on the private API may together hold the limit divided by this. The rest is for clients,
/// and many clients cannot keep the application from publishing.
const API_SHARE: u64 = 4;

/// How much the process may buffer, and how much it does.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: u64,
    held: AtomicU64,
    /// The part of `held` that bodies on the private API use.
    api: AtomicU64,
    pressed: AtomicBool,
}

/// There is no memory for this: the limit is reached, or the allocator has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory;

impl MemoryBudget {
    /// An empty account of at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            held: AtomicU64::new(0),
            api: AtomicU64::new(0),
            pressed: AtomicBool::new(false),
        }
    }

    /// The most that may be held.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The bytes that are held, except those that the cores have not reported yet.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// The part of them that bodies on the private API use, which is never reported late.
    pub fn held_by_api(&self) -> u64 {
        self.api.load(Ordering::Relaxed)
    }

    /// Whether the limit was exceeded and too little was freed since. No new clients are admitted
    /// then.
    pub fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }

    /// Bytes that all cores together must free.
    pub fn excess(&self) -> u64 {
        if !self.is_pressed() {
            return 0;
        }
        self.held().saturating_sub(self.relieved())
    }

    /// The length limit of an answer that can be cut anywhere: `most`, unless much memory is held.
    pub fn answer_bytes(&self, most: usize) -> usize {
        if self.is_plentiful() { most } else { most.min(SPARSE_ANSWER_BYTES) }
    }

    /// Whether little memory is held.
    pub fn is_plentiful(&self) -> bool {
        self.held() <= PLENTY_BYTES.min(self.limit / 8)
    }

    /// Adds the change of a core's held bytes since its last report; it may be negative.
    pub(super) fn report(&self, change: i64) {
        // Two's complement: a wrapping addition of a negative number subtracts.
        let before = self.held.fetch_add(change as u64, Ordering::Relaxed);
        self.judge(before.wrapping_add(change as u64));
    }

    /// Holds `bytes` for a body on the private API until the result is dropped.
    ///
    /// # Errors
    /// [`OutOfMemory`]: the share of such bodies, or the whole budget, is used up.
    pub fn hold(self: &Arc<Self>, bytes: u64) -> Result<Held, OutOfMemory> {
        let mut held = Held { budget: Arc::clone(self), bytes: 0 };
        held.grow(bytes)?;
        Ok(held)
    }

    /// The number of bytes below which an exceeded budget counts as relieved.
    fn relieved(&self) -> u64 {
        self.limit / 8 * RELIEVED_EIGHTHS
    }

    fn judge(&self, held: u64) {
        if held > self.limit {
            self.pressed.store(true, Ordering::Relaxed);
        } else if held <= self.relieved() && self.is_pressed() {
            self.pressed.store(false, Ordering::Relaxed);
        }
    }
}

/// Accounted memory of the control thread; released when dropped.
#[derive(Debug)]
pub struct Held {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl Held {
    /// Holds `bytes` more.
    ///
    /// # Errors
    /// [`OutOfMemory`]; what was held stays held.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        let budget = &self.budget;
        let api = budget.api.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if api > budget.limit / API_SHARE || budget.held() + bytes > budget.limit {
            budget.api.fetch_sub(bytes, Ordering::Relaxed);
            return Err(OutOfMemory);
        }
        budget.report(bytes as i64);
        self.bytes += bytes;
        Ok(())
    }
}

impl Held {
    /// Changes the bytes held to `bytes`.
    ///
    /// # Errors
    /// [`OutOfMemory`]; what was held stays held.
    pub fn resize(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        let given_back = self.bytes - bytes;
        self.budget.api.fetch_sub(given_back, Ordering::Relaxed);
        self.budget.report(-(given_back as i64));
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.api.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.report(-(self.bytes as i64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_begins_past_the_limit_and_ends_an_eighth_below_it() {
        let budget = MemoryBudget::new(800);
        budget.report(800);
        assert_eq!(
            (budget.is_pressed(), budget.excess()),
            (false, 0),
            "the limit itself is allowed"
        );
        budget.report(1);
        assert_eq!((budget.is_pressed(), budget.excess()), (true, 101));
        budget.report(-100);
        assert_eq!((budget.is_pressed(), budget.excess()), (true, 1));
        budget.report(-1);
        assert_eq!((budget.is_pressed(), budget.excess(), budget.held()), (false, 0, 700));
        budget.report(50);
        assert!(!budget.is_pressed(), "it takes more than the limit to begin again");
    }

    #[test]
    fn bodies_of_the_application_have_a_share() {
        let budget = Arc::new(MemoryBudget::new(800));
        let mut first = budget.hold(150).unwrap();
        assert_eq!(budget.hold(51).unwrap_err(), OutOfMemory);
        assert_eq!(first.grow(51), Err(OutOfMemory));
        assert_eq!(first.grow(50), Ok(()));
        assert_eq!(budget.held(), 200);
        assert_eq!(first.resize(20), Ok(()));
        assert_eq!(budget.held(), 20);
        assert_eq!(first.resize(201), Err(OutOfMemory));
        drop(first);
        assert_eq!(budget.held(), 0);
        let _whole_share = budget.hold(200).unwrap();
    }

    #[test]
    fn answers_are_short_while_much_is_buffered() {
        let budget = MemoryBudget::new(800 << 20);
        budget.report(PLENTY_BYTES as i64);
        assert_eq!(budget.answer_bytes(1 << 20), 1 << 20);
        budget.report(1);
        assert_eq!(budget.answer_bytes(1 << 20), SPARSE_ANSWER_BYTES);
        assert_eq!(budget.answer_bytes(1000), 1000);
        let small = MemoryBudget::new(800);
        small.report(101);
        assert_eq!(small.answer_bytes(1 << 20), SPARSE_ANSWER_BYTES);
    }

    #[test]
    fn a_full_budget_has_no_room_for_bodies() {
        let budget = Arc::new(MemoryBudget::new(800));
        budget.report(790);
        assert!(budget.hold(10).is_ok());
        assert!(budget.hold(11).is_err());
        assert_eq!(budget.held(), 790);
        assert!(!budget.is_pressed());
    }
}
