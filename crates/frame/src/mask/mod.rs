//! Unmasking in place: RFC 6455 §5.3, payload byte i XOR key byte (i mod 4).
//!
//! One contract, one naive oracle, one kernel for each instruction set, and a short path that calls
//! none of them. The kernel is chosen once per process. This is the only module of this crate with
//! unsafe code; it never takes an address, only slices.

mod words;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little")))]
mod vectors;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

/// Up to this length the loop over words is faster than an indirect call. At least as long as the
/// longest vector, so that every kernel may assume one whole vector.
pub(crate) const SHORT_BYTES_MAX: usize = 128;

/// Masks or unmasks `payload` in place. `phase` is the position in the key for the first byte;
/// returns the position for the byte after the last one.
///
/// ```
/// use ringway_frame::mask::unmask;
/// let mut payload = *b"ringway";
/// let phase = unmask(&mut payload[..3], *b"mask", 0);
/// unmask(&mut payload[3..], *b"mask", phase);
/// unmask(&mut payload, *b"mask", 0);
/// assert_eq!(&payload, b"ringway");
/// ```
#[inline]
pub fn unmask(payload: &mut [u8], key: [u8; 4], phase: usize) -> usize {
    if payload.len() <= SHORT_BYTES_MAX {
        words::unmask(payload, rotated(key, phase));
        (phase + payload.len()) % 4
    } else {
        best().unmask(payload, key, phase)
    }
}

/// As [`unmask`], one byte at a time: the oracle that every kernel is tested against.
pub fn unmask_naive(payload: &mut [u8], key: [u8; 4], phase: usize) -> usize {
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[(phase + index) % 4];
    }
    (phase + payload.len()) % 4
}

/// Unmasks a short payload and returns its bytes ORed together.
#[inline]
pub(crate) fn unmask_short(payload: &mut [u8], key: [u8; 4], phase: usize) -> words::Seen {
    words::unmask(payload, rotated(key, phase))
}

/// Unmasks a payload of at least [`VECTOR_BYTES_MAX`] bytes with an already rotated key.
type Run = unsafe fn(&mut [u8], u32);

/// The longest vector of any kernel. Shorter payloads never reach one.
const VECTOR_BYTES_MAX: usize = 64;
const _: () = assert!(VECTOR_BYTES_MAX <= SHORT_BYTES_MAX);

/// An unmasking loop for one instruction set.
///
/// Invariant: `run` was compiled for instructions that this processor has. Each constructor
/// establishes this by detection, or returns `None`.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    run: Run,
}

impl Kernel {
    /// The name of the instruction set.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// As [`unmask`], always with this kernel.
    #[inline]
    pub fn unmask(&self, payload: &mut [u8], key: [u8; 4], phase: usize) -> usize {
        if payload.len() < VECTOR_BYTES_MAX {
            words::unmask(payload, rotated(key, phase));
        } else {
            // SAFETY: `run` needs VECTOR_BYTES_MAX bytes, tested on the line above, and
            // its instruction set, which this kernel's constructor detected.
            unsafe { (self.run)(payload, rotated(key, phase)) };
        }
        (phase + payload.len()) % 4
    }

    /// Eight bytes at a time, on any processor.
    #[must_use]
    pub fn words() -> Self {
        fn run(payload: &mut [u8], key: u32) {
            words::unmask(payload, key);
        }
        Self { name: "words", run }
    }
}

/// Every kernel that this processor can run, fastest first.
pub fn kernels() -> impl Iterator<Item = (&'static str, Kernel)> {
    #[cfg(target_arch = "x86_64")]
    let vectors = [Kernel::avx512(), Kernel::avx2(), Kernel::sse2()];
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    let vectors = [Kernel::neon()];
    #[cfg(not(any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_endian = "little")
    )))]
    let vectors: [Option<Kernel>; 0] = [];

    vectors.into_iter().flatten().chain([Kernel::words()]).map(|kernel| (kernel.name(), kernel))
}

/// The fastest kernel on this processor.
#[inline]
fn best() -> &'static Kernel {
    static BEST: OnceLock<Kernel> = OnceLock::new();
    BEST.get_or_init(|| {
        let (_, kernel) = kernels().next().expect("the kernel of words is everywhere");
        kernel
    })
}

/// The key as a little-endian word that starts at `phase`.
#[inline]
fn rotated(key: [u8; 4], phase: usize) -> u32 {
    u32::from_le_bytes(key).rotate_right(8 * (phase % 4) as u32)
}
