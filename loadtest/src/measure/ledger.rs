//! What became of each message: a count of those lost, doubled, reordered and corrupted.
//!
//! An order costs a few bytes as long as nothing is missing. It never measures a time.

use std::{collections::BTreeSet, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// What became of the messages of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Messages sent; of a fan-out, deliveries that were owed.
    pub sent: u64,
    /// Messages that came back or were delivered, each once.
    pub received: u64,
    /// Messages that did not come.
    pub lost: u64,
    /// Messages that came again.
    pub doubled: u64,
    /// Messages that came after one that was sent later.
    pub reordered: u64,
    /// Messages that came and are not what was sent.
    pub corrupted: u64,
}

impl Ledger {
    /// Whether each message came once, in order and unchanged.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.reordered == 0 && self.corrupted == 0
    }

    /// All of them together.
    pub fn sum<'l>(parts: impl IntoIterator<Item = &'l Self>) -> Self {
        let mut sum = Self::default();
        parts.into_iter().for_each(|part| sum += *part);
        sum
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
    }
}

/// Missing numbers remembered for one connection; what is missing beyond them stays lost even if
/// it comes late.
const MISSING_MAX: usize = 65_536;

/// The order in which the messages of one sender arrive. Numbers come modulo 2^32, as messages
/// carry them; the nearest number to the expected one is meant.
///
/// ```
/// use ringway_loadtest::measure::ledger::{Arrival, ArrivalOrder};
/// let mut order = ArrivalOrder::default();
/// assert_eq!(order.arrive(0), Arrival::InOrder);
/// assert_eq!(order.arrive(2), Arrival::InOrder);
/// assert_eq!(order.arrive(1), Arrival::Late);
/// assert_eq!(order.arrive(1), Arrival::Again);
/// ```
#[derive(Debug, Default)]
pub struct ArrivalOrder {
    /// One past the highest number seen, not modulo anything.
    next: u64,
    /// Numbers below `next` that have not been seen.
    missing: Option<Box<Missing>>,
}

#[derive(Debug, Default)]
struct Missing {
    numbers: BTreeSet<u64>,
    forgotten: u64,
}

/// How a message fits the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing that was sent after it had come before it.
    InOrder,
    /// It is the first time, and a later message came before.
    Late,
    /// It had come before.
    Again,
}

impl ArrivalOrder {
    /// An order that begins with this number.
    pub fn from(next: u32) -> Self {
        Self { next: u64::from(next), missing: None }
    }

    /// What is meant by a number modulo 2^32.
    #[inline]
    pub fn meant(&self, number: u32) -> u64 {
        let ahead = number.wrapping_sub(self.next as u32);
        if ahead < 1 << 31 {
            return self.next + u64::from(ahead);
        }
        let behind = self.next.checked_sub(u64::from(ahead.wrapping_neg()));
        // Nothing comes before 0.
        behind.unwrap_or(self.next + u64::from(ahead))
    }

    /// The message with this number has come.
    #[inline]
    pub fn arrive(&mut self, number: u32) -> Arrival {
        if number == self.next as u32 {
            self.next += 1;
            return Arrival::InOrder;
        }
        self.arrive_out_of_turn(self.meant(number))
    }

    #[cold]
    fn arrive_out_of_turn(&mut self, number: u64) -> Arrival {
        if number < self.next {
            let missing = self.missing.as_mut();
            let is_late = missing.is_some_and(|missing| missing.numbers.remove(&number));
            return if is_late { Arrival::Late } else { Arrival::Again };
        }
        self.miss(self.next..number);
        self.next = number + 1;
        Arrival::InOrder
    }

    /// Messages sent up to `end` are given up as lost; later numbers are awaited.
    pub fn give_up_before(&mut self, end: u32) {
        let end = self.meant(end);
        if self.next < end {
            self.miss(self.next..end);
            self.next = end;
        }
    }

    /// How many numbers below the highest one seen, or given up, have not come.
    pub fn missing(&self) -> u64 {
        self.missing.as_ref().map_or(0, |missing| missing.numbers.len() as u64 + missing.forgotten)
    }

    /// Forgets what is missing; how much that was. What of it comes late is then there again.
    pub fn settle(&mut self) -> u64 {
        let missing = self.missing();
        self.missing = None;
        missing
    }

    /// One past the highest number seen or given up, modulo 2^32.
    pub fn next(&self) -> u32 {
        self.next as u32
    }

    fn miss(&mut self, numbers: std::ops::Range<u64>) {
        let missing = self.missing.get_or_insert_default();
        let room = MISSING_MAX.saturating_sub(missing.numbers.len()) as u64;
        let kept = numbers.start..numbers.end.min(numbers.start + room);
        missing.forgotten += numbers.end - kept.end;
        missing.numbers.extend(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_is_missing() {
        let mut order = ArrivalOrder::default();
        for number in [0, 1, 4] {
            assert_eq!(order.arrive(number), Arrival::InOrder);
        }
        assert_eq!(order.missing(), 2);
        order.give_up_before(10);
        assert_eq!((order.missing(), order.next()), (7, 10));
        assert_eq!(order.arrive(7), Arrival::Late);
        assert_eq!(order.arrive(4), Arrival::Again);
        assert_eq!(order.missing(), 6);
        order.give_up_before(3);
        assert_eq!(order.next(), 10);
    }

    #[test]
    fn a_wild_number_does_not_take_all_memory() {
        let mut order = ArrivalOrder::default();
        assert_eq!(order.arrive(2_000_000_000), Arrival::InOrder);
        assert_eq!(order.missing(), 2_000_000_000);
        assert_eq!(order.arrive(MISSING_MAX as u32), Arrival::Again, "it was forgotten");
        assert_eq!(order.arrive(5), Arrival::Late);
        assert_eq!(order.missing(), 1_999_999_999);
    }

    #[test]
    fn numbers_wrap_without_being_taken_for_old_ones() {
        let mut order = ArrivalOrder::from(u32::MAX - 1);
        for number in [u32::MAX - 1, u32::MAX, 0, 2] {
            assert_eq!(order.arrive(number), Arrival::InOrder, "{number}");
        }
        assert_eq!(order.arrive(u32::MAX), Arrival::Again);
        assert_eq!(order.arrive(1), Arrival::Late);
        order.give_up_before(5);
        assert_eq!((order.meant(4), order.next(), order.settle()), ((1 << 32) + 4, 5, 2));
        assert_eq!(order.missing(), 0);
    }

    #[test]
    fn an_order_without_faults_is_small() {
        assert!(size_of::<ArrivalOrder>() <= 16);
    }
}
