//! The protocol of the log's slots under every interleaving and every reordering that the memory
//! model allows. `RUSTFLAGS="--cfg loom" cargo test -p ringway-hub --release --test loom`
//!
//! At any time a reader sees a prefix of the one order, and in the end all of it.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use ringway_hub::{Chain, Segment, Step};

/// The writer, and the number of the item among that writer's.
type Item = (usize, usize);

/// Appends in the same way as the log; returns the sequence.
fn append(chain: &Chain<Item>, item: Item) -> u64 {
    let mut segment = chain.appender();
    loop {
        if let Some(index) = segment.claim() {
            segment.fill(index, item);
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
