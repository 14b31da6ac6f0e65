//! Chooses the epoch of a log, which distinguishes the cursors of two processes.
//!
//! It never reads a clock: a clock may be set back, and two containers that were restored from the
//! same image start in the same millisecond.

use std::io;

use ringway_hub::Epoch;

/// 48 random bits from the kernel. Among a million starts of a gateway, two share an epoch with a
/// probability of 1 in 500; a given cursor is mistaken for another process's with 1 in 2^48.
///
/// # Errors
/// The kernel has no random numbers (getrandom(2)).
pub fn random() -> io::Result<Epoch> {
    let bits = getrandom::u64().map_err(|error| {
        let why = "so that no cursor of another process is taken for one of this process";
        io::Error::other(format!("getrandom(2) failed, which the gateway needs {why}: {error}"))
    })?;
    Ok(Epoch::new(bits))
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use proptest::prelude::*;
    use ringway_hub::Cursor;

    use super::*;
    use crate::broker::Broker;
    use crate::broker::Echo;
    use crate::broker::Notice;
    use crate::config::{Config, History};

    #[test]
    fn epochs_chosen_at_the_same_instant_differ() {
        let epochs: HashSet<Epoch> = (0..10_000).map(|_| random().expect("random")).collect();
        assert_eq!(epochs.len(), 10_000);
        // All 48 bits vary: none is always 0 and none always 1.
        let texts: Vec<String> = epochs.iter().map(Epoch::to_string).collect();
        let bits = texts.iter().map(|text| u64::from_str_radix(text, 16).expect("hexadecimal"));
        let (ones, zeros) = bits.fold((0, 0), |(ones, zeros), bits| (ones | bits, zeros | !bits));
        assert_eq!((ones & zeros) & ((1 << 48) - 1), (1 << 48) - 1);
    }

    fn broker_with(events: usize) -> Broker {
        let history =
            History { events_max: 1_000, bytes_max: 1 << 20, ..Config::default().history };
        let broker = Broker::new(random().expect("random"), &history, &[]);
        let mut tail = crate::broker::source::Submitter::default();
        let notice = Notice { from: None, event: None, data: "1", ttl: None };
        for _ in 0..events {
            broker.publish(&mut tail, notice, "news", Echo::Yes, Duration::ZERO).unwrap();
        }
        broker
    }

    proptest! {
        /// A cursor of one process always leads to a gap at another, whatever they have published.
        #[test]
        fn a_cursor_of_another_process_is_never_accepted(
            events in 0..40_usize,
            other_events in 0..40_usize,
            sequence in 0..50_u64,
        ) {
            let (one, other) = (broker_with(events), broker_with(other_events));
            let cursor = Cursor { epoch: one.log.epoch(), sequence };
            prop_assert_eq!(other.judge(cursor), Err(0), "the oldest event is 1");
            prop_assert_eq!(one.judge(cursor).is_ok(), sequence <= events as u64);
        }
    }
}
