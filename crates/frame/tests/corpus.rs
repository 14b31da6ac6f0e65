//! Replays the fuzz corpus: every committed input, then seeded mutations of each.
//!
//! This is not a fuzzer: a seed always gives the same mutations.

#[path = "../fuzz/properties.rs"]
mod properties;

use std::path::Path;
use std::{fs, panic};

/// Mutations of each input: enough to reach every branch, few enough to run on each commit.
const MUTATIONS: u64 = 2000;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of the corpus").path())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a file")))
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 12, "{} inputs in {}", inputs.len(), folder.display());
    inputs
}

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

fn replay(target: &str, property: fn(&[u8])) {
    for (name, input) in corpus(target) {
        let holds = |bytes: &[u8]| panic::catch_unwind(|| property(bytes)).is_ok();
        assert!(holds(&input), "{name}");
        for seed in 0..MUTATIONS {
            let bytes = mutate(&input, &mut fastrand::Rng::with_seed(seed));
            assert!(holds(&bytes), "{name}, seed {seed}: {bytes:x?}");
        }
    }
}

#[test]
fn read_messages() {
    replay("read_messages", properties::read_messages);
}

#[test]
fn header() {
    replay("header", properties::header);
}
