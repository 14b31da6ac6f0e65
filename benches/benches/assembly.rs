//! What does a message that arrives in fragments, or over several reads, cost?
//!
//! `fragments` arrive in one input; `reads` are one frame cut into inputs of 4 KiB or 64 KiB,
//! as a driver lends them. The baseline is a message that is complete in its input.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "what criterion's macros make is public")]

mod short;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway_frame::{Fragment, MessageReader, Opcode, ReadLimits, Role, emit_fragment, emit_frame};

/// Does not change the payload, so that each pass finds the same one.
const KEY: [u8; 4] = [0; 4];

const FRAGMENTED_BYTES: usize = 64 << 10;

fn fragments(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fragments");
    group.throughput(Throughput::Bytes(FRAGMENTED_BYTES as u64));
    for count in [1, 2, 16, 1000] {
        let mut bytes = fragmented(count);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let mut reader = MessageReader::new(Role::Server);
            bencher.iter(|| read(&mut reader, black_box(&mut bytes)));
        });
    }
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reads");
    for size in [16 << 10, 1 << 20] {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, Some(KEY), Opcode::Binary, &vec![b'x'; size]);
        group.throughput(Throughput::Bytes(size as u64));
        for (name, read_bytes) in [("whole", bytes.len()), ("64KiB", 64 << 10), ("4KiB", 4 << 10)] {
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                let mut reader = MessageReader::new(Role::Server);
                bencher.iter(|| {
                    let reads = black_box(&mut bytes).chunks_mut(read_bytes);
                    reads.map(|input| read(&mut reader, input)).sum::<usize>()
                });
            });
        }
    }
    group.finish();
}

fn fragmented(count: usize) -> Vec<u8> {
    let payload = vec![b'x'; FRAGMENTED_BYTES];
    let mut bytes = Vec::new();
    if count == 1 {
        emit_frame(&mut bytes, Some(KEY), Opcode::Binary, &payload);
        return bytes;
    }
    let pieces = payload.chunks(FRAGMENTED_BYTES.div_ceil(count));
    let last = pieces.len() - 1;
    for (index, piece) in pieces.enumerate() {
        let fragment = match index {
            0 => Fragment::First(Opcode::Binary),
            _ if index == last => Fragment::Last,
            _ => Fragment::Middle,
        };
        emit_fragment(&mut bytes, Some(KEY), fragment, piece);
    }
    bytes
}

/// How many messages ended in this input.
fn read(reader: &mut MessageReader, mut input: &mut [u8]) -> usize {
    let mut messages = 0;
    while let Ok(Some(message)) = reader.read(&mut input, &ReadLimits::default()) {
        black_box(message);
        messages += 1;
    }
    messages
}

criterion_group! {
    name = benches;
    config = short::criterion();
    targets = fragments, reads
}
criterion_main!(benches);
