//! The kernel for 64-bit Arm: NEON.
//!
//! The loop in `vectors` compiled for NEON. Never run without the feature: the constructor is the
//! only way to obtain the kernel.

use std::arch::aarch64::{uint32x4_t, vdupq_n_u32, veorq_u32};
use std::arch::is_aarch64_feature_detected;

use super::Kernel;
use super::vectors::{self, Vector};

// SAFETY: an integer vector register is plain bytes.
unsafe impl Vector for uint32x4_t {
    #[inline(always)]
    unsafe fn splat(key: u32) -> Self {
        // SAFETY: the caller has the instruction set: the contract of `Vector`.
        unsafe { vdupq_n_u32(key) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the caller has the instruction set: the contract of `Vector`.
        unsafe { veorq_u32(self, other) }
    }
}

impl Kernel {
    /// The NEON kernel; `None` on a processor without it.
    #[must_use]
    pub fn neon() -> Option<Self> {
        #[target_feature(enable = "neon")]
        unsafe fn run(payload: &mut [u8], key: u32) {
            // SAFETY: the feature is enabled in this function, and its one caller,
            // `Kernel::unmask`, passes at least VECTOR_BYTES_MAX bytes.
            unsafe { vectors::unmask::<uint32x4_t>(payload, key) }
        }
        is_aarch64_feature_detected!("neon").then_some(Self { name: "NEON", run })
    }
}
