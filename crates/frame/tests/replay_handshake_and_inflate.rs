//! Runs the fuzz targets `handshake` and `inflate` over their corpora, and over changed and cut
//! copies of each file, so that each case that a fuzzer has found stays tested.

#![allow(unexpected_cfgs, reason = "cargo-fuzz sets `fuzzing`")]

#[path = "../fuzz/fuzz_targets/handshake.rs"]
mod handshake;
#[path = "../fuzz/fuzz_targets/inflate.rs"]
mod inflate;

/// Every file of a corpus, then a thousand variations of each from a fixed seed.
fn replay(corpus: &str, run: fn(&[u8])) {
    let folder = format!("{}/fuzz/corpus/{corpus}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(&folder).unwrap();
    let mut cases: Vec<Vec<u8>> =
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(!cases.is_empty(), "{folder} is empty");
    cases.sort();
    for case in &cases {
        run(case);
    }
    let mut random = fastrand::Rng::with_seed(7692);
    for case in &cases {
        for _ in 0..1000 {
            run(&varied(case, &mut random));
        }
    }
}

/// `case` with a few bytes replaced, and sometimes cut short or doubled.
fn varied(case: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut varied = case.to_vec();
    if random.u8(..4) == 0 {
        varied.truncate(random.usize(..=case.len()));
    }
    if random.u8(..8) == 0 {
        varied.extend_from_slice(case);
    }
    if varied.is_empty() {
        return varied;
    }
    for _ in 0..random.usize(..4) {
        let place = random.usize(..varied.len());
        varied[place] = match random.bool() {
            true => random.u8(..),
            false => *random.choice(b" ,;=\"\\\r\n\t\0").unwrap(),
        };
    }
    varied
}

#[test]
fn handshakes() {
    replay("handshake", handshake::run);
}

#[test]
fn payloads() {
    replay("inflate", inflate::run);
}
