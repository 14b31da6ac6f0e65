//! The one loop that every vector kernel is: aligned vectors, four at a time, with the
//! first and the last vector computed before and stored unaligned.
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

/// Unmasks `payload` with a little-endian key whose first byte meets the first byte.
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

    // SAFETY: a `Vector` is plain bytes by its own contract, so bytes may be seen as such.
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

    // The middle is unmasked; what these overlap of it gets the value it has already.
    // SAFETY: the same two places as above, by a pointer derived anew from `payload`.
    unsafe {
        let start = payload.as_mut_ptr();
        start.cast::<V>().write_unaligned(first);
        start.add(last_at).cast::<V>().write_unaligned(last);
    }
}
