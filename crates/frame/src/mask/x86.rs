//! The kernels for x86-64: AVX-512, AVX2, SSE2.
//!
//! Each is the loop in `vectors` compiled for one instruction set. Never run without the feature:
//! the constructors are the only way to obtain a kernel.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_set1_epi32, _mm_xor_si128, _mm256_set1_epi32, _mm256_xor_si256,
    _mm512_set1_epi32, _mm512_xor_si512,
};

use super::Kernel;
use super::vectors::{self, Vector};

/// One vector type, the kernel compiled for it, and the constructor that detects its feature.
macro_rules! kernel {
    ($constructor:ident, $name:literal, $feature:tt, $vector:ty, $splat:ident, $xor:ident) => {
        // SAFETY: an integer vector register is plain bytes.
        unsafe impl Vector for $vector {
            #[inline(always)]
            unsafe fn splat(key: u32) -> Self {
                // SAFETY: the caller has the instruction set: the contract of `Vector`.
                unsafe { $splat(key as i32) }
            }

            #[inline(always)]
            unsafe fn xor(self, other: Self) -> Self {
                // SAFETY: the caller has the instruction set: the contract of `Vector`.
                unsafe { $xor(self, other) }
            }
        }

        impl Kernel {
            #[doc = concat!("The ", $name, " kernel; `None` on a processor without it.")]
            #[must_use]
            pub fn $constructor() -> Option<Self> {
                #[target_feature(enable = $feature)]
                unsafe fn run(payload: &mut [u8], key: u32) {
                    // SAFETY: the feature is enabled in this function, and its one caller,
                    // `Kernel::unmask`, passes at least VECTOR_BYTES_MAX bytes.
                    unsafe { vectors::unmask::<$vector>(payload, key) }
                }
                is_x86_feature_detected!($feature).then_some(Self { name: $name, run })
            }
        }
    };
}

kernel!(avx512, "AVX-512", "avx512f", __m512i, _mm512_set1_epi32, _mm512_xor_si512);
kernel!(avx2, "AVX2", "avx2", __m256i, _mm256_set1_epi32, _mm256_xor_si256);
kernel!(sse2, "SSE2", "sse2", __m128i, _mm_set1_epi32, _mm_xor_si128);
