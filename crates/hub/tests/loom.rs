//! The protocol of the log's slots under every interleaving and every reordering that the memory
//! model allows. `RUSTFLAGS="--cfg loom" cargo test -p ringway-hub --release --test loom`
//!
//! At any time a reader sees a prefix of the one order, and in the end all of it. And an event that is
//! claimed after a core became interested in it is not passed by that core.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use ringway_hub::{Address, Chain, CoreInterest, CoreSet, Domain, InterestTable, Segment, Step};

/// The writer, and the number of the item among that writer's.
type Item = (usize, usize);

/// Appends in the same way as the log; returns the sequence.
fn append(chain: &Chain<Item>, item: Item) -> u64 {
    let mut segment = chain.appender();
    loop {
        if let Some(index) = segment.claim() {
            segment.fill(index, item, CoreSet::ALL);
            return segment.first() + index as u64;
        }
        segment = chain.roll(&segment, 0).unwrap_or_else(|| chain.appender());
    }
}

/// What a reader finds from the first segment on, until it would have to wait.
fn read(first: &Arc<Segment<Item>>) -> Vec<Item> {
    let (mut segment, mut items) = (Arc::clone(first), Vec::new());
    loop {
        let position = items.len() as u64;
        match segment.step((position + 1 - segment.first()) as usize) {
            Step::Item(item) => items.push(*item),
            Step::Next(next) => {
                assert_eq!(next.first(), position + 1);
                segment = Arc::clone(next);
            }
            Step::Wait => return items,
        }
    }
}

/// Appends `count` items of one writer; returns their sequences.
fn write(chain: &Chain<Item>, writer: usize, count: usize) -> Vec<(u64, Item)> {
    (0..count).map(|number| (append(chain, (writer, number)), (writer, number))).collect()
}

/// The appended items, in order.
fn in_order(mut appended: Vec<(u64, Item)>) -> Vec<Item> {
    appended.sort_unstable();
    let sequences = appended.iter().map(|(sequence, _)| *sequence);
    assert!(sequences.eq(1..=appended.len() as u64), "{appended:?}");
    appended.into_iter().map(|(_, item)| item).collect()
}

#[test]
fn two_writers_across_a_boundary_and_a_reader() {
    loom::model(|| {
        let chain = Arc::new(Chain::new(1, 1));
        let first = chain.appender();
        let writers = [0, 1].map(|writer| {
            let chain = Arc::clone(&chain);
            thread::spawn(move || write(&chain, writer, 1))
        });
        let early = read(&first);
        let appended: Vec<_> = writers.into_iter().flat_map(|one| one.join().unwrap()).collect();
        let all = in_order(appended);
        assert_eq!(read(&first), all);
        assert!(all.starts_with(&early), "{early:?} of {all:?}");
    });
}

#[test]
fn a_writer_of_two_events_and_a_writer_of_one_share_a_segment() {
    loom::model(|| {
        let chain = Arc::new(Chain::new(1, 2));
        let first = chain.appender();
        let other = {
            let chain = Arc::clone(&chain);
            thread::spawn(move || write(&chain, 1, 1))
        };
        let reader = {
            let first = Arc::clone(&first);
            thread::spawn(move || read(&first))
        };
        let mut appended = write(&chain, 0, 2);
        appended.extend(other.join().unwrap());
        let (early, all) = (reader.join().unwrap(), in_order(appended));
        assert_eq!(read(&first), all);
        assert!(all.starts_with(&early), "{early:?} of {all:?}");
    });
}

/// A segment closed by bytes or by age is closed while other threads claim.
#[test]
fn a_segment_is_closed_while_slots_are_claimed() {
    loom::model(|| {
        let chain = Arc::new(Chain::new(1, 2));
        let first = chain.appender();
        let writers = [0, 1].map(|writer| {
            let chain = Arc::clone(&chain);
            thread::spawn(move || write(&chain, writer, 1))
        });
        let _ = chain.roll(&first, 0);
        let early = read(&first);
        let appended: Vec<_> = writers.into_iter().flat_map(|one| one.join().unwrap()).collect();
        let all = in_order(appended);
        assert_eq!(read(&first), all);
        assert!(all.starts_with(&early), "{early:?} of {all:?}");
    });
}

/// Two writers that find a segment full agree on the next one.
#[test]
fn a_segment_is_closed_once() {
    loom::model(|| {
        let chain = Arc::new(Chain::<Item>::new(1, 1));
        let first = chain.appender();
        append(&chain, (0, 0));
        let closers = [0, 1].map(|_| {
            let (chain, first) = (Arc::clone(&chain), Arc::clone(&first));
            thread::spawn(move || chain.roll(&first, 0).is_some())
        });
        let closed = closers.map(|one| one.join().unwrap());
        assert_ne!(closed[0], closed[1]);
        assert_eq!(append(&chain, (0, 1)), 2);
        assert_eq!(read(&first), [(0, 0), (0, 1)]);
    });
}

/// All topics are in its one bucket: the hash of a name differs from run to run.
fn table() -> Arc<InterestTable> {
    Arc::new(InterestTable::new(1))
}

const TOPIC: Address<'_> = Address::Topic("any");

/// Appends `count` items as the log does: looks up the cores, claims, moves the head, fills.
fn publisher(
    segment: &Arc<Segment<u64>>,
    table: &Arc<InterestTable>,
    count: usize,
) -> thread::JoinHandle<()> {
    let (segment, table) = (Arc::clone(segment), Arc::clone(table));
    thread::spawn(move || {
        for _ in 0..count {
            let estimate = table.estimate(TOPIC);
            let index = segment.claim().expect("room");
            let sequence = segment.first() + index as u64;
            let cores = table.claimed(sequence, estimate);
            segment.fill(index, sequence, cores);
        }
    })
}

/// The filled items after `position` that the core passes without a visit.
fn passed(segment: &Segment<u64>, core: &CoreInterest, position: u64) -> usize {
    let (filter, first) = (core.filter(), segment.first());
    let after = (position..4).find(|position| filter.applies_after(*position)).expect("soon");
    segment.excluded((after + 1 - first) as usize, 4, filter)
}

fn segment(capacity: usize) -> Arc<Segment<u64>> {
    Chain::new(1, capacity).appender()
}

/// The core has read nothing when it subscribes, so it wants everything.
#[test]
fn nothing_is_passed_that_is_claimed_around_a_subscription() {
    loom::model(|| {
        let (segment, table) = (segment(2), table());
        let publisher = publisher(&segment, &table, 2);
        let mut core = CoreInterest::new(&table, 0);
        core.begin(Domain::Topic, 0);
        assert_eq!(passed(&segment, &core, 0), 0);
        publisher.join().unwrap();
        assert_eq!(passed(&segment, &core, 0), 0);
    });
}

/// A bit that is cleared and set again.
#[test]
fn nothing_is_passed_after_the_second_subscription() {
    loom::model(|| {
        let (segment, table) = (segment(1), table());
        let publisher = publisher(&segment, &table, 1);
        let mut core = CoreInterest::new(&table, 0);
        core.begin(Domain::Topic, 0);
        core.end(Domain::Topic, 0);
        core.begin(Domain::Topic, 0);
        publisher.join().unwrap();
        assert_eq!(passed(&segment, &core, 0), 0);
    });
}

/// Cores 0 and 63 share a bit: what one of them does loses nothing of the other's.
#[test]
fn a_core_that_shares_the_bit_loses_nothing() {
    loom::model(|| {
        let (segment, table) = (segment(1), table());
        let publisher = publisher(&segment, &table, 1);
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let mut core = CoreInterest::new(&table, 63);
                core.begin(Domain::Topic, 0);
                core.end(Domain::Topic, 0);
            })
        };
        let mut core = CoreInterest::new(&table, 0);
        core.begin(Domain::Topic, 0);
        publisher.join().unwrap();
        other.join().unwrap();
        assert_eq!(passed(&segment, &core, 0), 0);
    });
}

/// An event that is passed is filled: other readers would wait for it.
#[test]
fn what_does_not_concern_a_core_is_passed_once_it_is_filled() {
    loom::model(|| {
        let (segment, table) = (segment(2), table());
        let core = CoreInterest::new(&table, 0);
        let publisher = publisher(&segment, &table, 2);
        for index in 0..passed(&segment, &core, 0) {
            assert!(matches!(segment.step(index), Step::Item(_)));
        }
        publisher.join().unwrap();
        assert_eq!(passed(&segment, &core, 0), 2);
    });
}
