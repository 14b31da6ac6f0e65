//! The fate of each message: counts of lost, doubled, reordered and corrupted ones.
//!
//! An order takes a few bytes as long as no message is missing. It never measures a time.

use std::{collections::BTreeSet, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// The fate of the messages of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Messages sent; with fan-out, deliveries owed.
    pub sent: u64,
    /// Messages that came back or were delivered, each counted once.
    pub received: u64,
    /// Messages that did not arrive.
    pub lost: u64,
    /// Messages that arrived again.
    pub doubled: u64,
    /// Messages that arrived after a message that was sent later.
    pub reordered: u64,
    /// Messages that arrived with changed content.
    pub corrupted: u64,
}

impl Ledger {
    /// Whether each message arrived once, in order and unchanged.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.reordered == 0 && self.corrupted == 0
    }

    /// The sum of several ledgers.
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

/// Missing numbers that are remembered for one connection; further missing messages count as lost
/// even if they arrive late.
const MISSING_MAX: usize = 65_536;

/// The order in which the messages of one sender arrive. Messages carry numbers modulo 2^32, which
/// are read as the nearest number to the expected one.
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
    /// One past the highest number seen, without the modulus.
    next: u64,
    /// Numbers below `next` that have not been seen.
    missing: Option<Box<Missing>>,
}

#[derive(Debug, Default)]
struct Missing {
    numbers: BTreeSet<u64>,
    forgotten: u64,
}

/// How a message fits into the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// No message that was sent later has arrived before it.
    InOrder,
    /// It arrived for the first time, after a message that was sent later.
    Late,
    /// It had arrived before.
    Again,
}

impl ArrivalOrder {
    /// An order that starts with this number.
    pub fn from(next: u32) -> Self {
        Self { next: u64::from(next), missing: None }
    }

    /// The full number for a number modulo 2^32.
    #[inline]
    pub fn meant(&self, number: u32) -> u64 {
        let ahead = number.wrapping_sub(self.next as u32);
        if ahead < 1 << 31 {
            return self.next + u64::from(ahead);
        }
        let behind = self.next.checked_sub(u64::from(ahead.wrapping_neg()));
        // No number is below 0.
        behind.unwrap_or(self.next + u64::from(ahead))
    }

    /// Called when the message with this number arrives.
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

    /// Gives up messages before `end` as lost; later numbers are still expected.
    pub fn give_up_before(&mut self, end: u32) {
        let end = self.meant(end);
        if self.next < end {
            self.miss(self.next..end);
            self.next = end;
        }
    }

    /// How many numbers below the highest one, seen or given up, have not arrived.
    pub fn missing(&self) -> u64 {
        self.missing.as_ref().map_or(0, |missing| missing.numbers.len() as u64 + missing.forgotten)
    }

    /// Forgets missing messages and returns their number. Those that arrive late are then counted
    /// as [`Again`](Arrival::Again).
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
    fn a_message_that_does_not_arrive_is_missing() {
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
    fn an_implausible_number_does_not_use_all_memory() {
        let mut order = ArrivalOrder::default();
        assert_eq!(order.arrive(2_000_000_000), Arrival::InOrder);
        assert_eq!(order.missing(), 2_000_000_000);
        assert_eq!(order.arrive(MISSING_MAX as u32), Arrival::Again, "it was forgotten");
        assert_eq!(order.arrive(5), Arrival::Late);
        assert_eq!(order.missing(), 1_999_999_999);
    }

    #[test]
    fn wrapped_numbers_are_not_taken_for_old_ones() {
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
    fn a_ledger_without_faults_is_small() {
        assert!(size_of::<ArrivalOrder>() <= 16);
    }
}
