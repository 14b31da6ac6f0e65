//! What does one pass that unmasks and validates UTF-8 save against two passes?
//!
//! `fused` is the reader's code, header included; `two-passes` unmasks everything, then validates
//! everything; `validate` alone is the part that every implementation needs.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "what criterion's macros make is public")]

mod short;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway_frame::{Compression, FrameReader, Opcode, ReadLimits, Role, emit_frame, mask::unmask};

/// Does not change the text, so that each pass finds the same one. No kernel branches on the
/// key's value.
const KEY: [u8; 4] = [0; 4];

const SIZES: [usize; 5] = [64, 1024, 16 << 10, 256 << 10, 1 << 20];

const ASCII: &str = "{\"type\":\"event\",\"topic\":\"news\"}";
const MIXED: &str = "Wide open ports: λιμάνια, 港口大開 und Häfen 🚢. ";

fn text(criterion: &mut Criterion) {
    for (name, pattern) in [("ascii", ASCII), ("mixed", MIXED)] {
        let mut group = criterion.benchmark_group(format!("text-{name}"));
        for size in SIZES {
            let text = text_of(pattern, size);
            let mut payload = text.clone().into_bytes();
            let mut frame = Vec::new();
            emit_frame(&mut frame, Some(KEY), Opcode::Text, text.as_bytes());
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new("fused", size), |bencher| {
                let mut reader = FrameReader::new(Role::Server, Compression::Off);
                let limits = ReadLimits::default();
                bencher.iter(|| {
                    let mut input = black_box(&mut frame[..]);
                    reader.read(&mut input, &limits).is_ok_and(|piece| piece.is_some())
                });
            });
            group.bench_function(BenchmarkId::new("two-passes", size), |bencher| {
                bencher.iter(|| {
                    unmask(black_box(&mut payload), black_box(KEY), 0);
                    simdutf8::basic::from_utf8(&payload).is_ok()
                });
            });
            group.bench_function(BenchmarkId::new("validate", size), |bencher| {
                bencher.iter(|| simdutf8::basic::from_utf8(black_box(&payload)).is_ok());
            });
        }
        group.finish();
    }
}

/// Whole characters, then spaces.
fn text_of(pattern: &str, bytes: usize) -> String {
    let mut text = String::new();
    for character in pattern.chars().cycle() {
        if text.len() + character.len_utf8() > bytes {
            break;
        }
        text.push(character);
    }
    text.extend(std::iter::repeat_n(' ', bytes - text.len()));
    text
}

criterion_group! {
    name = benches;
    config = short::criterion();
    targets = text
}
criterion_main!(benches);
