//! What does permessage-deflate cost per message, and what does context takeover change?
//!
//! With takeover a context continues from message to message, which makes payloads smaller;
//! without, it is reset before each. The compression ratio of each is printed first.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "what criterion's macros make is public")]

mod short;

use std::{fmt::Write, hint::black_box};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway_frame::deflate::{Deflater, Inflater, Level, MemoryLevel, WindowBits};

const SIZES: [usize; 3] = [128, 1024, 64 << 10];

/// Different messages, sent in turn.
const MESSAGES: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takeover {
    Kept,
    Off,
}

const TAKEOVERS: [(&str, Takeover); 2] = [("takeover", Takeover::Kept), ("reset", Takeover::Off)];

fn deflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deflate");
    for size in SIZES {
        let messages = messages(size);
        group.throughput(Throughput::Bytes(size as u64));
        for (name, takeover) in TAKEOVERS {
            let (mut deflater, mut payload) = (deflater(), Vec::new());
            let mut turn = messages.iter().cycle();
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    if takeover == Takeover::Off {
                        deflater.reset();
                    }
                    payload.clear();
                    let message = turn.next().expect("a cycle does not end");
                    deflater.deflate(black_box(message), &mut payload);
                    black_box(payload.len())
                });
            });
        }
    }
    group.finish();
}

fn inflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inflate");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for (name, takeover) in TAKEOVERS {
            let payloads = compressed(&messages(size), takeover);
            let wire: usize = payloads.iter().map(Vec::len).sum();
            println!("{size} B, {name}: {:.3} of the size", wire as f64 / (size * MESSAGES) as f64);
            let (mut inflater, mut message) = (Inflater::new(), Vec::new());
            let mut turn = payloads.iter().enumerate().cycle();
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    let (index, payload) = turn.next().expect("a cycle does not end");
                    // The first payload of the list was made by a context without history.
                    if takeover == Takeover::Off || index == 0 {
                        inflater.reset();
                    }
                    message.clear();
                    let result = inflater.inflate(payload, true, &mut message, 1 << 20);
                    assert!(result.is_ok() && message.len() == size);
                });
            });
        }
    }
    group.finish();
}

fn deflater() -> Deflater {
    Deflater::new(Level::FASTEST, WindowBits::MAX, MemoryLevel::USUAL)
}

fn compressed(messages: &[Vec<u8>], takeover: Takeover) -> Vec<Vec<u8>> {
    let mut deflater = deflater();
    let payload = |message: &Vec<u8>| {
        if takeover == Takeover::Off {
            deflater.reset();
        }
        let mut payload = Vec::new();
        deflater.deflate(message, &mut payload);
        payload
    };
    messages.iter().map(payload).collect()
}

/// Events as a gateway sends them: the same keys with other values.
fn messages(size: usize) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(7);
    let message = |_| {
        let mut text = String::new();
        while text.len() < size {
            let (number, price) = (random.u32(..1_000_000), random.u32(..100_000));
            let side = random.choice(["buy", "sell"]).unwrap_or_default();
            let _ = writeln!(
                text,
                "{{\"type\":\"event\",\"topic\":\"orders\",\"cursor\":\"5-{number}\",\
                 \"data\":{{\"side\":\"{side}\",\"price\":{price}}}}}"
            );
        }
        text.truncate(size);
        text.into_bytes()
    };
    (0..MESSAGES).map(message).collect()
}

criterion_group! {
    name = benches;
    config = short::criterion();
    targets = deflate, inflate
}
criterion_main!(benches);
