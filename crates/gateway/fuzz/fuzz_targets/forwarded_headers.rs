//! cargo-fuzz: `cargo +nightly fuzz run forwarded_headers` in `crates/gateway`.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::forwarded_headers(input));
