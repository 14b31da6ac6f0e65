//! How much of an upgrade is the accept key, one SHA-1 and one base64?
//!
//! It also measures writing a client's whole request, which computes the key as well.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "what criterion's macros make is public")]

mod short;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringway_frame::handshake::{accept_key, client::Request};

fn keys(criterion: &mut Criterion) {
    criterion.bench_function("accept-key", |bencher| {
        bencher.iter(|| accept_key(black_box(b"dGhlIHNhbXBsZSBub25jZQ==")));
    });
    criterion.bench_function("client-request", |bencher| {
        let request = Request { host: "127.0.0.1:8080", target: "/echo", ..Request::default() };
        let mut out = Vec::with_capacity(512);
        bencher.iter(|| {
            out.clear();
            request.emit(black_box([7; 16]), &mut out).is_ok()
        });
    });
}

criterion_group! {
    name = benches;
    config = short::criterion();
    targets = keys
}
criterion_main!(benches);
