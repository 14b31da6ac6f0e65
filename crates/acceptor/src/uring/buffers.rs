//! The provided-buffer ring of one core: the kernel takes a buffer for each receive, and the driver
//! gives it back.
//!
//! Invariant: a buffer is either in the kernel's ring, or named by one completion that has not
//! been recycled; never both. See io_uring_register_buf_ring(3).

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    io,
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::{IoUring, types::BufRingEntry};

const PAGE_BYTES: usize = 4096;

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

/// Receive buffers and the ring that lends them to the kernel.
///
/// Must outlive the io_uring instance that it is registered with, or be kept for ever.
pub(super) struct Buffers {
    entries: Pages,
    storage: Pages,
    count: u16,
    buffer_bytes: u32,
    /// Next free entry, ahead of the published ones.
    tail: u16,
}

impl Buffers {
    /// Allocates `count` (a power of two up to 32,768) buffers of `buffer_bytes` and registers
    /// them. All pages are touched now: resident memory does not depend on the traffic.
    pub(super) fn register(ring: &IoUring, count: u16, buffer_bytes: u32) -> io::Result<Self> {
        if !count.is_power_of_two() || buffer_bytes == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "receive_buffers must be a power of two and receive_buffer_bytes at least 1",
            ));
        }
        let entries = Pages::new(usize::from(count) * size_of::<BufRingEntry>());
        let mut storage = Pages::new(usize::from(count) * buffer_bytes as usize);
        storage.touch();
        // SAFETY: `entries` is page-aligned, holds `count` entries, and lives as long as `self`,
        // which its owner keeps until after the ring is gone.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                entries.base.as_ptr() as u64,
                count,
                GROUP,
                0,
            )?;
        }
        let mut buffers = Self { entries, storage, count, buffer_bytes, tail: 0 };
        for id in 0..count {
            buffers.recycle(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The first `length` bytes of buffer `id`, which a completion has named.
    pub(super) fn lend(&mut self, id: u16, length: usize) -> &mut [u8] {
        assert!(
            id < self.count && length <= self.buffer_bytes as usize,
            "the kernel's own numbers"
        );
        let offset = usize::from(id) * self.buffer_bytes as usize;
        // SAFETY: in bounds by the assertion; exclusive, because the kernel writes only to
        // buffers in its ring and this one was taken out of it (the file's invariant).
        unsafe { std::slice::from_raw_parts_mut(self.storage.base.as_ptr().add(offset), length) }
    }

    /// Puts buffer `id` back; the kernel sees it after [`Self::publish`].
    pub(super) fn recycle(&mut self, id: u16) {
        let index = usize::from(self.tail & (self.count - 1));
        let address =
            self.storage.base.as_ptr() as u64 + u64::from(id) * u64::from(self.buffer_bytes);
        // SAFETY: `index` is below `count`, so inside `entries`; the kernel does not read entries
        // at or past the published tail, and at most `count` are outstanding by the invariant.
        let entry = unsafe { &mut *self.entries.base.as_ptr().cast::<BufRingEntry>().add(index) };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Never frees the memory: the kernel may still write to it.
    pub(super) fn keep(&mut self) {
        self.entries.is_kept = true;
        self.storage.is_kept = true;
    }

    /// Shows the kernel all recycled buffers.
    pub(super) fn publish(&mut self) {
        // SAFETY: the base of a registered ring; its tail is a u16 inside the first entry that
        // the kernel reads and only this thread writes.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.entries.base.as_ptr().cast::<BufRingEntry>());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Page-aligned memory, zeroed, freed on drop unless it is kept for ever.
struct Pages {
    base: NonNull<u8>,
    layout: Layout,
    is_kept: bool,
}

impl Pages {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes.max(1), PAGE_BYTES).expect("a sane size");
        // SAFETY: the layout has a size above zero.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        Self { base, layout, is_kept: false }
    }

    fn touch(&mut self) {
        for offset in (0..self.layout.size()).step_by(PAGE_BYTES) {
            // SAFETY: inside the allocation, which only `self` refers to.
            unsafe { self.base.as_ptr().add(offset).write_volatile(0) };
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if !self.is_kept {
            // SAFETY: allocated by `new` with this layout.
            unsafe { dealloc(self.base.as_ptr(), self.layout) };
        }
    }
}
