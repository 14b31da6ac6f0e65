//! Every kernel equals the naive twin at every length, alignment, phase and split.
//!
//! Unsafe code is called only through a `Kernel` here.

use super::*;

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Bytes without a period that could hide an error in the key's phase.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| random.u8(..)).collect()
}

fn twin(payload: &[u8], phase: usize) -> (Vec<u8>, usize) {
    let mut expected = payload.to_vec();
    let phase = unmask_naive(&mut expected, KEY, phase);
    (expected, phase)
}

#[repr(align(64))]
struct Aligned([u8; 512]);

// RFC 6455 §5.3.
#[test]
fn the_naive_twin_follows_the_formula_of_the_rfc() {
    let mut payload = [0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(unmask_naive(&mut payload, KEY, 0), 1);
    assert_eq!(&payload, b"Hello");
}

#[test]
fn every_kernel_equals_the_naive_twin_at_every_length_and_phase() {
    for (name, kernel) in kernels() {
        for length in 0..=320 {
            let payload = noise(length);
            for phase in 0..4 {
                let expected = twin(&payload, phase);
                let mut plain = payload.clone();
                let end = kernel.unmask(&mut plain, KEY, phase);
                assert_eq!((plain, end), expected, "{name}: {length} bytes, phase {phase}");
            }
        }
    }
}

#[test]
fn every_kernel_equals_the_naive_twin_at_every_alignment_and_touches_nothing_else() {
    let pattern = noise(512);
    for (name, kernel) in kernels() {
        for start in 0..64 {
            for length in (0..=300).step_by(7).chain([63, 64, 65, 127, 128, 129, 256]) {
                let mut buffer = Aligned([0; 512]);
                buffer.0.copy_from_slice(&pattern);
                let mut expected = pattern.clone();
                let range = start..start + length;
                unmask_naive(&mut expected[range.clone()], KEY, start);
                kernel.unmask(&mut buffer.0[range], KEY, start);
                assert_eq!(buffer.0[..], expected[..], "{name}: {length} bytes at {start}");
            }
        }
    }
}

#[test]
fn a_split_anywhere_changes_nothing() {
    let payload = noise(300);
    let (expected, _) = twin(&payload, 0);
    for (name, kernel) in kernels() {
        for split in 0..=payload.len() {
            let mut plain = payload.clone();
            let (front, back) = plain.split_at_mut(split);
            let phase = kernel.unmask(front, KEY, 0);
            kernel.unmask(back, KEY, phase);
            assert_eq!(plain, expected, "{name}: split at {split}");
        }
    }
}

#[test]
fn the_dispatch_equals_the_naive_twin_across_its_threshold() {
    for length in (0..=400).chain([4096, 65_537]) {
        let payload = noise(length);
        for phase in 0..4 {
            let expected = twin(&payload, phase);
            let mut plain = payload.clone();
            let end = unmask(&mut plain, KEY, phase);
            assert_eq!((plain, end), expected, "{length} bytes, phase {phase}");
        }
    }
}

#[test]
fn a_short_payload_is_reported_as_ascii_only_if_it_is() {
    for length in 0..=SHORT_BYTES_MAX {
        let mut ascii = vec![b'a'; length];
        unmask_naive(&mut ascii, KEY, 3);
        assert!(unmask_short(&mut ascii.clone(), KEY, 3).is_ascii());
        for at in 0..length {
            let mut other = ascii.clone();
            other[at] ^= 0x80;
            assert!(!unmask_short(&mut other, KEY, 3).is_ascii(), "{at} of {length}");
        }
    }
}

#[test]
fn this_processor_lists_its_kernels_fastest_first() {
    let names: Vec<&str> = kernels().map(|(name, _)| name).collect();
    assert_eq!(names.last(), Some(&"words"));
    #[cfg(target_arch = "x86_64")]
    assert!(names.contains(&"SSE2"), "{names:?}");
    #[cfg(target_arch = "aarch64")]
    assert!(names.contains(&"NEON"), "{names:?}");
}
