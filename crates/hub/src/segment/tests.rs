//! The protocol of one segment and of long chains, on one thread; loom tests the interleavings.

use std::thread;

use super::*;
use crate::interest::CoreSet;

fn filled(first: Sequence, capacity: usize, count: usize) -> Arc<Segment<usize>> {
    let segment = Arc::new(Segment::new(first, capacity, 0));
    for number in 0..count {
        let index = segment.claim().expect("room");
        segment.fill(index, number, CoreSet::ALL);
    }
    segment
}

#[test]
fn a_full_segment_gives_no_claim() {
    let segment = filled(1, 3, 3);
    assert_eq!((segment.claim(), segment.claim()), (None, None));
    assert!(matches!(segment.step(2), Step::Item(2)));
    assert!(matches!(segment.step(3), Step::Wait));
    assert_eq!(segment.close(0).first(), 4);
    assert!(matches!(segment.step(3), Step::Next(next) if next.first() == 4));
}

#[test]
fn a_segment_is_left_where_it_was_closed_and_nowhere_else() {
    for count in 0..=4 {
        let segment = filled(10, 4, count);
        let next = segment.close(0);
        assert_eq!(next.first(), 10 + count as Sequence);
        assert_eq!((segment.claim(), segment.is_untouched()), (None, false));
        for index in 0..4 {
            match segment.step(index) {
                Step::Item(item) => assert!(index < count && *item == index),
                Step::Next(_) => assert_eq!(index, count),
                Step::Wait => assert!(index > count),
            }
        }
    }
}

#[test]
fn a_claimed_slot_is_waited_for_though_the_segment_is_closed() {
    let segment = filled(1, 4, 1);
    let index = segment.claim().expect("room");
    let next = segment.close(0);
    assert_eq!(next.first(), 3);
    assert!(matches!(segment.step(1), Step::Wait));
    segment.fill(index, 7, CoreSet::ALL);
    assert!(matches!(segment.step(1), Step::Item(7)));
    assert!(matches!(segment.step(2), Step::Next(_)));
}

/// On a stack of 64 KiB, which a recursive drop overflows after some hundred segments.
#[test]
fn a_chain_of_100_000_segments_is_dropped_without_recursion() {
    let small = thread::Builder::new().stack_size(64 << 10);
    let dropping = small.spawn(|| {
        let oldest = filled(1, 1, 1);
        let mut newest = Arc::clone(&oldest);
        for _ in 0..100_000 {
            let next = newest.close(0);
            next.fill(next.claim().expect("room"), 0, CoreSet::ALL);
            newest = next;
        }
        let newest_alone = Arc::downgrade(&newest);
        drop(newest);
        assert!(newest_alone.upgrade().is_some(), "the oldest keeps all newer ones");
        drop(oldest);
        assert!(newest_alone.upgrade().is_none());
    });
    dropping.expect("a thread").join().expect("no overflow");
}

#[test]
fn a_chain_is_dropped_up_to_what_others_hold() {
    let oldest = filled(1, 1, 1);
    let held = oldest.close(0);
    let newest = held.close(0);
    drop(oldest);
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(Arc::strong_count(&newest), 2);
}
