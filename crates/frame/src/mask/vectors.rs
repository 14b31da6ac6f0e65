//! The one loop behind every vector kernel: aligned vectors, four at a time; the first and the last
//! vector are computed before it and stored unaligned after it.
//!
//! Never detects a feature: its caller instantiates it inside a function that is
//! compiled for the instruction set of its vector.

/// A vector register of one instruction set.
///
/// # Safety
/// `Self` is plain bytes: any bit pattern is a value and there is no padding.
pub(super) unsafe trait Vector: Copy {
    /// # Safety
    /// The processor has the vector's instruction set.
    unsafe fn splat(key: u32) -> Self;

    /// # Safety
    /// The processor has the vector's instruction set.
    unsafe fn xor(self, other: Self) -> Self;
}

/// Unmasks `payload` with a little-endian key that is aligned to its first byte.
///
/// # Safety
/// The processor has the instruction set of `V`, and `payload` is at least one `V` long.
#[inline(always)]
pub(super) unsafe fn unmask<V: Vector>(payload: &mut [u8], key: u32) {
    let bytes = size_of::<V>();
    let turned = |at: usize| key.rotate_right(8 * (at % 4) as u32);
    debug_assert!(payload.len() >= bytes);

    let start = payload.as_mut_ptr();
    let last_at = payload.len() - bytes;
    // SAFETY: the caller has the instruction set and gives a whole vector of bytes, so a
    // vector at 0 and one at `last_at` are inside `payload`; the loads are unaligned.
    let (first, last) = unsafe {
        let first = start.cast::<V>().read_unaligned().xor(V::splat(key));
        let end = start.add(last_at).cast::<V>().read_unaligned();
        (first, end.xor(V::splat(turned(last_at))))
    };

    // SAFETY: a `Vector` is plain bytes by its contract, so bytes may be viewed as vectors.
    let (head, body, _) = unsafe { payload.align_to_mut::<V>() };
    // SAFETY: the caller has the instruction set of `V`.
    let wide = unsafe { V::splat(turned(head.len())) };
    let (fours, rest) = body.as_chunks_mut::<4>();
    for four in fours {
        // SAFETY: the caller has the instruction set of `V`.
        *four =
            unsafe { [four[0].xor(wide), four[1].xor(wide), four[2].xor(wide), four[3].xor(wide)] };
    }
    for vector in rest {
        // SAFETY: the caller has the instruction set of `V`.
        *vector = unsafe { vector.xor(wide) };
    }

    // The middle is unmasked; where these two overlap it, they store the same values.
    // SAFETY: the same two places as above, through a pointer derived again from `payload`.
    unsafe {
        let start = payload.as_mut_ptr();
        start.cast::<V>().write_unaligned(first);
        start.add(last_at).cast::<V>().write_unaligned(last);
    }
}
