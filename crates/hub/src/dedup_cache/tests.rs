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

#[test]
fn a_flood_makes_nobody_else_forget() {
    let cache = DedupCache::new(4_096, 60 * SECOND).within(1 << 20, String::len).sparing(16);
    let once = |owner, sender: &str, id: usize, bytes| {
        let make = || Ok::<_, ()>("x".repeat(bytes));
        cache.try_once(owner, sender, &id.to_string(), SECOND, make).map(|(_, first)| first)
    };
    let names: Vec<String> = (0..100).map(|one| format!("good-{one}")).collect();
    for (owner, name) in (10..).zip(&names) {
        (0..8).for_each(|id| assert_eq!(once(owner, name, id, 10), Ok(First::Yes)));
    }
    // One with many commands, one with large answers, and one with many names.
    for id in 0..20_000 {
        assert_eq!(once(1, "flooder", id, 10), Ok(First::Yes));
        assert_eq!(once(2, "large", id, id % 20_000), Ok(First::Yes));
        assert_eq!(once(3, &format!("name-{id}"), 0, 10), Ok(First::Yes));
    }
    for (owner, name) in (10..).zip(&names) {
        (0..8).for_each(|id| assert_eq!(once(owner, name, id, 10), Ok(First::No), "{name} {id}"));
    }
    assert_eq!(once(1, "flooder", 19_999, 10), Ok(First::No), "its latest is known");
}

/// What is not remembered is not executed: once nobody has more than the spared answers, a further
/// request is refused until some are old.
#[test]
fn a_cache_full_of_spared_answers_refuses() {
    let cache = DedupCache::new(usize::MAX >> 8, 60 * SECOND).within(1 << 20, |_| 0).sparing(16);
    let mut made = 0;
    let mut once = |name: u32, now| {
        let make = || {
            made += 1;
            Ok::<_, ()>(())
        };
        cache.try_once(name, &name.to_string(), "1", now, make).map(|(_, first)| first)
    };
    let refused = (0..10_000).filter(|name| once(*name, SECOND).is_err()).count();
    assert!((5_500..6_000).contains(&refused), "{refused}");
    let known = (0..10_000).filter(|name| once(*name, 2 * SECOND) == Ok(First::No)).count();
    assert_eq!(known + refused, 10_000, "no answer was forgotten");
    assert_eq!(once(9_999, 61 * SECOND), Ok(First::Yes));
    assert_eq!(made as usize, known + 1);
}

/// The entries of a naive cache, oldest first: owner, id, time and answer.
type Naive = Vec<(usize, usize, Duration, usize)>;

/// Removes what the cache has forgotten to make room: the oldest entry of `owner` if nobody has more
/// entries, or of somebody who has the most.
fn make_room(naive: &mut Naive, owner: usize, knows: impl Fn(usize, usize) -> bool) {
    let count = |owner: usize| naive.iter().filter(|entry| entry.0 == owner).count();
    let most = (0..3).map(count).max().unwrap_or_default();
    let mut oldest = (0..3)
        .filter(|one| count(*one) == most)
        .filter_map(|one| naive.iter().position(|entry| entry.0 == one));
    let forgotten = match count(owner) == most {
        true => naive.iter().position(|entry| entry.0 == owner),
        false => oldest.find(|place| !knows(naive[*place].0, naive[*place].1)),
    };
    naive.remove(forgotten.expect("it is somebody's who has the most"));
}

proptest! {
    #[test]
    fn the_cache_equals_a_naive_list(
        entries_max in 0..8_usize,
        age_max in 0..10_u32,
        steps in prop::collection::vec((0..3_usize, 0..4_usize, 0..3_u32), 0..200),
    ) {
        let dedup_cache = DedupCache::new(entries_max, age_max * SECOND);
        let (mut naive, mut now): (Naive, _) = (Vec::new(), Duration::ZERO);
        for (number, (owner, id, seconds)) in steps.into_iter().enumerate() {
            now += seconds * SECOND;
            naive.retain(|(_, _, at, _)| now - *at < age_max * SECOND);
            let known = naive.iter().find(|entry| (entry.0, entry.1) == (owner, id)).copied();
            let once = dedup_cache.once(&owner.to_string(), &id.to_string(), now, || number);
            match known {
                Some((.., value)) => prop_assert_eq!(once, (value, First::No)),
                None if entries_max == 0 || age_max == 0 => {
                    prop_assert_eq!(once, (number, First::Yes));
                }
                None => {
                    prop_assert_eq!(once, (number, First::Yes));
                    if naive.len() == entries_max {
                        make_room(&mut naive, owner, |owner, id| {
                            dedup_cache.earlier(&owner.to_string(), &id.to_string(), now).is_some()
                        });
                    }
                    naive.push((owner, id, now, number));
                }
            }
            for (owner, id, _, value) in &naive {
                let earlier = dedup_cache.earlier(&owner.to_string(), &id.to_string(), now);
                prop_assert_eq!(earlier, Some(*value));
            }
            if age_max > 0 {
                prop_assert_eq!(dedup_cache.len(), naive.len());
            }
        }
    }
}
