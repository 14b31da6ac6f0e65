//! Is a small frame (header, 64 bytes, masked) parsed and unmasked in under 10 ns?
//!
//! Measured through both readers, alone in its input and as one of 16; also parsing and emitting
//! of a bare header in its three lengths.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "what criterion's macros make is public")]

mod short;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway_frame::{
    Compression, FrameReader, HEADER_BYTES_MAX, Header, MessageReader, Opcode, ReadLimits, Role,
    emit_frame,
};

/// Does not change the payload, so that each pass finds the same one.
const KEY: [u8; 4] = [0; 4];

const LENGTHS: [u64; 3] = [64, 1024, 1 << 20];

fn bare(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    for length in LENGTHS {
        let header = Header { mask: Some([1, 2, 3, 4]), ..Header::new(Opcode::Binary, length) };
        let mut bytes = [0; HEADER_BYTES_MAX];
        header.emit(&mut bytes);
        group.bench_function(BenchmarkId::new("parse", length), |bencher| {
            bencher.iter(|| Header::parse(black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::new("emit", length), |bencher| {
            bencher.iter(|| black_box(&header).emit(black_box(&mut bytes)));
        });
    }
    group.finish();
}

fn small_frame(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("small-frame");
    let limits = ReadLimits::default();
    for (opcode, name) in [(Opcode::Binary, "binary"), (Opcode::Text, "text")] {
        for count in [1, 16] {
            let mut bytes = Vec::new();
            for _ in 0..count {
                emit_frame(&mut bytes, Some(KEY), opcode, &[b'x'; 64]);
            }
            group.throughput(Throughput::Elements(count));
            let id = |reader| BenchmarkId::new(format!("{reader}-{name}"), count);
            group.bench_function(id("frame-reader"), |bencher| {
                let mut reader = FrameReader::new(Role::Server, Compression::Off);
                bencher.iter(|| {
                    let mut input = black_box(&mut bytes[..]);
                    while let Ok(Some(piece)) = reader.read(&mut input, &limits) {
                        black_box(piece);
                    }
                });
            });
            group.bench_function(id("message-reader"), |bencher| {
                let mut reader = MessageReader::new(Role::Server);
                bencher.iter(|| {
                    let mut input = black_box(&mut bytes[..]);
                    while let Ok(Some(message)) = reader.read(&mut input, &limits) {
                        black_box(message);
                    }
                });
            });
        }
    }
    group.bench_function("emit-frame", |bencher| {
        let mut out = Vec::with_capacity(128);
        bencher.iter(|| {
            out.clear();
            emit_frame(&mut out, None, Opcode::Binary, black_box(&[b'x'; 64]));
            black_box(out.len())
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = short::criterion();
    targets = bare, small_frame
}
criterion_main!(benches);
