//! cargo-fuzz: `cargo +nightly fuzz run responses` in `crates/http`.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::responses(input));
