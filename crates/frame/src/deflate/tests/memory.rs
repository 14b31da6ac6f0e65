//! The memory of a context, as the kernel reports it. Prints and asserts nothing, because the
//! allocator influences the result; ignored in a normal run.

use super::*;
use crate::deflate::Deflater;

const CONTEXTS: usize = 64;

/// The resident memory of this process: proc(5), `/proc/pid/status`.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Prints how much memory each of many contexts adds. They are never freed: the next measurement
/// would find their memory already resident.
fn print<T>(what: &str, make: impl Fn() -> T) {
    std::mem::forget(make());
    let before = resident_kib();
    for _ in 0..CONTEXTS {
        std::mem::forget(make());
    }
    println!("{what}: {} KiB", (resident_kib() - before) / CONTEXTS);
}

// Run alone, with `--ignored --nocapture`: other tests would be counted too.
#[test]
#[ignore = "prints a measurement"]
fn memory_of_a_context() {
    // Noise fills the window and every buffer, so that all of them are resident.
    let mut random = fastrand::Rng::with_seed(1);
    let message: Vec<u8> = (0..200_000).map(|_| random.u8(..)).collect();
    let mut payload = Vec::new();
    Deflater::new(level(6), window(15), memory(8)).deflate(&message, &mut payload);
    print("inflater", || {
        let mut inflater = Inflater::new();
        inflate(&mut inflater, &payload).unwrap();
        inflater
    });
    for bits in [8, 12, 15] {
        for memory_level in [1, 5, 8, 9] {
            let what = format!("deflater, window bits {bits}, memory level {memory_level}");
            print(&what, || {
                let mut deflater = Deflater::new(level(6), window(bits), memory(memory_level));
                deflater.deflate(&message, &mut Vec::new());
                deflater
            });
        }
    }
}
