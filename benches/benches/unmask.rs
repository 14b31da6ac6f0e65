//! How far is unmasking from the memory limit, at any length and at any phase of the key?
//!
//! The limit is a copy of the payload, and a pass over it that only XORs with a constant; the naive
//! twin shows how much the kernels gain.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "what criterion's macros make is public")]

mod short;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway_frame::mask::{kernels, unmask, unmask_naive};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

const SIZES: [usize; 8] = [16, 64, 125, 256, 1024, 4096, 64 << 10, 1 << 20];

fn sizes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask");
    for size in SIZES {
        let source = vec![0x5A; size];
        let mut payload = source.clone();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("memcpy", size), |bencher| {
            bencher.iter(|| black_box(&mut payload[..]).copy_from_slice(black_box(&source)));
        });
        group.bench_function(BenchmarkId::new("xor-constant", size), |bencher| {
            bencher.iter(|| xor_with_constant(black_box(&mut payload)));
        });
        group.bench_function(BenchmarkId::new("unmask", size), |bencher| {
            bencher.iter(|| unmask(black_box(&mut payload), black_box(KEY), 0));
        });
        group.bench_function(BenchmarkId::new("naive", size), |bencher| {
            bencher.iter(|| unmask_naive(black_box(&mut payload), black_box(KEY), 0));
        });
    }
    group.finish();
}

fn phases(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask-phase");
    let mut payload = vec![0x5A; 1024];
    group.throughput(Throughput::Bytes(payload.len() as u64));
    for phase in 0..4 {
        group.bench_function(BenchmarkId::from_parameter(phase), |bencher| {
            bencher.iter(|| unmask(black_box(&mut payload), black_box(KEY), black_box(phase)));
        });
    }
    group.finish();
}

fn instruction_sets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask-kernel");
    let mut payload = vec![0x5A; 4096];
    group.throughput(Throughput::Bytes(payload.len() as u64));
    for (name, kernel) in kernels() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| kernel.unmask(black_box(&mut payload), black_box(KEY), 0));
        });
    }
    group.finish();
}

fn xor_with_constant(payload: &mut [u8]) {
    for byte in payload {
        *byte ^= 0x37;
    }
}

criterion_group! {
    name = benches;
    config = short::criterion();
    targets = sizes, phases, instruction_sets
}
criterion_main!(benches);
