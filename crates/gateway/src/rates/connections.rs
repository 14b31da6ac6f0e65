//! What the connections of one core have sent, by slot: eight bytes for each.

use std::time::Duration;

use crate::{
    config::Limits,
    rates::{Bucket, Measure},
};

/// The buckets of the connections of one core.
#[derive(Debug, Default)]
pub struct ConnectionRates(Vec<Buckets>);

#[derive(Debug, Clone, Copy)]
struct Buckets {
    messages: Bucket,
    bytes: Bucket,
}

impl Buckets {
    fn new(now: Duration) -> Self {
        Self { messages: Bucket::new(now), bytes: Bucket::new(now) }
    }
}

/// More than a connection may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// What there is too much of.
    pub measure: Measure,
    /// How long the connection must send nothing. It may then send for an eighth of the burst time
    /// at once, as each pause costs two operations.
    pub pause: Duration,
}

impl ConnectionRates {
    /// Bytes for each connection.
    pub const SLOT_BYTES: usize = size_of::<Buckets>();

    /// A connection begins in this slot.
    pub fn begin(&mut self, slot: u32, now: Duration) {
        let slot = slot as usize;
        if slot >= self.0.len() {
            self.0.resize(slot + 1, Buckets::new(now));
        }
        self.0[slot] = Buckets::new(now);
    }

    /// Charges a connection for what it has sent.
    #[inline]
    pub fn charge(
        &mut self,
        slot: u32,
        (messages, bytes): (u32, usize),
        limits: &Limits,
        now: Duration,
    ) -> Option<Excess> {
        let buckets = self.0.get_mut(slot as usize)?;
        let rate = u64::from(limits.messages_per_second_max);
        let by_messages = buckets.messages.take(messages.into(), rate, now);
        let by_bytes = buckets.bytes.take(bytes as u64, limits.bytes_per_second_max, now);
        let debt = by_messages.max(by_bytes);
        if debt <= limits.burst_time {
            return None;
        }
        let measure = match by_messages > by_bytes {
            true => Measure::Messages,
            false => Measure::Bytes,
        };
        Some(Excess { measure, pause: debt - limits.burst_time + limits.burst_time / 8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn messages_and_bytes_have_rates_of_their_own_and_pauses_pay_for_both() {
        let mut limits = Config::default().limits;
        limits.messages_per_second_max = 100;
        limits.bytes_per_second_max = 100_000;
        let mut rates = ConnectionRates::default();
        let mut now = Duration::from_secs(1);
        rates.begin(3, now);
        // Either rate in full, and a burst of one second of each.
        assert_eq!(rates.charge(3, (100, 100_000), &limits, now), None);
        let over = |measure, ms| Some(Excess { measure, pause: Duration::from_millis(ms) });
        let found = rates.charge(3, (50, 0), &limits, now);
        assert_eq!(found, over(Measure::Messages, 500 + 125));
        now += Duration::from_millis(625);
        assert_eq!(rates.charge(3, (12, 0), &limits, now), None);
        assert!(rates.charge(3, (1, 0), &limits, now).is_some());
        let found = rates.charge(3, (0, 200_000), &limits, now);
        assert_eq!(found.map(|excess| excess.measure), Some(Measure::Bytes));
        // The next connection of the slot owes nothing.
        rates.begin(3, now);
        assert_eq!(rates.charge(3, (100, 100_000), &limits, now), None);
    }
}
