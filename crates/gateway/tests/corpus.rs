//! The fuzz corpus replayed: every committed input, then seeded mutations of each.
//!
//! It is not a fuzzer: the mutations of a seed are always the same.

#[path = "../fuzz/properties.rs"]
mod properties;

use std::{fs, panic, path::Path};

/// Mutations of each input: enough to reach every branch, few enough for each commit.
const MUTATIONS: u64 = 500;

/// Flips, replaces, inserts, removes or repeats a few bytes.
fn mutate(input: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=bytes.len());
        match random.u8(0..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => bytes.insert(at, random.u8(..)),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

/// Fails if there are fewer inputs than `least`: then a part of the corpus is missing.
fn replay(target: &str, least: usize, property: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry of the corpus").path();
        let input = fs::read(&path).expect("a file");
        let holds = |bytes: &[u8]| panic::catch_unwind(|| property(bytes)).is_ok();
        assert!(holds(&input), "{}", path.display());
        for seed in 0..MUTATIONS {
            let bytes = mutate(&input, &mut fastrand::Rng::with_seed(seed));
            assert!(holds(&bytes), "{}, seed {seed}: {bytes:x?}", path.display());
        }
        replayed += 1;
    }
    assert!(replayed >= least, "{replayed} inputs in {}", folder.display());
}

#[test]
fn requests() {
    replay("requests", 30, properties::requests);
}

#[test]
fn commands() {
    replay("commands", 20, properties::commands);
}

#[test]
fn proxy_headers() {
    replay("proxy_headers", 10, properties::proxy_headers);
}

#[test]
fn forwarded_headers() {
    replay("forwarded_headers", 7, properties::forwarded_headers);
}
