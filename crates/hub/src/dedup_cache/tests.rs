//! A request is executed once within the window, and the window is bounded.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_repeat_gets_the_first_answer_until_it_is_too_old() {
    let dedup_cache = DedupCache::new(10, 60 * SECOND);
    assert_eq!(dedup_cache.once("ann", "7", SECOND, || 1), (1, First::Yes));
    assert_eq!(dedup_cache.once("ann", "7", 60 * SECOND, || 2), (1, First::No));
    assert_eq!(dedup_cache.once("ann", "7", 61 * SECOND, || 3), (3, First::Yes));
    assert_eq!(dedup_cache.len(), 1);
}

#[test]
fn another_request_or_sender_is_not_a_repeat() {
    let dedup_cache = DedupCache::new(10, SECOND);
    for (number, (sender, id)) in
        [("ann", "7"), ("ann", "8"), ("bob", "7"), ("an", "n7"), ("ann7", ""), ("", "ann7")]
            .into_iter()
            .enumerate()
    {
        assert_eq!(dedup_cache.once(sender, id, SECOND, || number), (number, First::Yes));
    }
    assert_eq!(dedup_cache.once("an", "n7", SECOND, || 99), (3, First::No));
}

#[test]
fn the_oldest_answers_are_evicted() {
    let dedup_cache = DedupCache::new(3, 60 * SECOND);
    for id in ["1", "2", "3", "4"] {
        dedup_cache.once("ann", id, SECOND, || id);
    }
    assert_eq!(dedup_cache.len(), 3);
    assert_eq!(dedup_cache.once("ann", "2", SECOND, || "again"), ("2", First::No));
    assert_eq!(dedup_cache.once("ann", "1", SECOND, || "again"), ("again", First::Yes));
}

#[test]
fn a_cache_of_size_zero_treats_every_request_as_new() {
    for (entries_max, age_max) in [(0, SECOND), (10, Duration::ZERO)] {
        let dedup_cache = DedupCache::new(entries_max, age_max);
        assert_eq!(dedup_cache.once("ann", "7", SECOND, || 1), (1, First::Yes));
        assert_eq!(dedup_cache.once("ann", "7", SECOND, || 2), (2, First::Yes));
    }
    assert!(DedupCache::<()>::new(0, SECOND).is_empty());
}

#[test]
fn a_request_that_panicked_counts_as_unanswered() {
    let dedup_cache = DedupCache::new(10, SECOND);
    let fails = || dedup_cache.once("ann", "7", SECOND, || panic!("as it shall"));
    assert!(catch_unwind(AssertUnwindSafe(fails)).is_err());
    assert_eq!(dedup_cache.once("ann", "7", SECOND, || 1), (1, First::Yes));
}

#[test]
fn many_answers_stay_within_the_bound() {
    for entries_max in [1, 1_023, 1_024, 5_000] {
        let dedup_cache = DedupCache::new(entries_max, SECOND);
        for number in 0..20_000 {
            dedup_cache.once("ann", &number.to_string(), SECOND, || number);
        }
        assert!(
            (entries_max / 2..=entries_max).contains(&dedup_cache.len()),
            "{}",
            dedup_cache.len()
        );
    }
}

#[test]
fn large_answers_are_evicted_by_their_bytes() {
    for entries_max in [100, 5_000] {
        let dedup_cache = DedupCache::new(entries_max, SECOND).within(1_600_000, String::len);
        for number in 0..5_000 {
            dedup_cache.once("ann", &number.to_string(), SECOND, || "x".repeat(10_000));
            let bytes = dedup_cache.bytes(String::len);
            assert!(bytes < 1_600_000 + 1_000_000, "{bytes}");
        }
        assert!(dedup_cache.len() >= 100, "{}", dedup_cache.len());
        let alone = dedup_cache.once("ann", "large", SECOND, || "x".repeat(3_000_000)).1;
        assert_eq!(alone, First::Yes);
        assert_eq!(dedup_cache.once("ann", "large", SECOND, String::new).1, First::No);
        dedup_cache.expire(2 * SECOND);
        assert!(dedup_cache.is_empty());
    }
}

proptest! {
    #[test]
    fn the_cache_equals_a_naive_list(
        entries_max in 0..8_usize,
        age_max in 0..10_u32,
        steps in prop::collection::vec((0..3_usize, 0..4_usize, 0..3_u32), 0..200),
    ) {
        let dedup_cache = DedupCache::new(entries_max, age_max * SECOND);
        let (mut naive, mut now): (Vec<(String, Duration, usize)>, _) = (Vec::new(), Duration::ZERO);
        for (number, (sender, id, seconds)) in steps.into_iter().enumerate() {
            now += seconds * SECOND;
            let key = format!("{sender} {id}");
            naive.retain(|(_, at, _)| now - *at < age_max * SECOND);
            let expected = match naive.iter().find(|(known, ..)| *known == key) {
                Some((_, _, value)) => (*value, First::No),
                None => {
                    naive.push((key, now, number));
                    naive.drain(..naive.len().saturating_sub(entries_max));
                    (number, First::Yes)
                }
            };
            let sender = sender.to_string();
            prop_assert_eq!(dedup_cache.once(&sender, &id.to_string(), now, || number), expected);
            prop_assert_eq!(dedup_cache.len(), naive.len());
        }
    }
}
