//! One io_uring instance: set up for a single issuer, entered by its registered descriptor.
//!
//! It pushes entries and hands out completions; it does not know what they mean.
//!
//! Invariant: when a submission returns `Ok`, the kernel has consumed all queued entries. The bytes
//! of a send with MSG_DONTWAIT are free only then, so a ring that cannot guarantee it is broken.

use std::{
    io,
    mem::size_of,
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use io_uring::{
    IoUring, cqueue, squeue,
    types::{CancelBuilder, Timespec},
};
use libc::{SYS_io_uring_enter, SYS_io_uring_register, c_long, syscall};

use super::sqe::Plain;

// <linux/io_uring.h>; the `io-uring` crate does not export these.
const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;
const SUBMISSION_BYTES: usize = 64;
const OPTLEN_OFFSET: usize = 44;

/// The completion queue is much larger than the submission queue: one multishot receive posts many
/// completions.
const COMPLETION_ENTRIES: u32 = 16_384;

/// An enter consumes only some entries when the kernel is out of memory. It is tried again for this
/// long before the ring counts as broken; clients wait meanwhile.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(1);

/// The pause between two such tries.
const SUBMIT_PAUSE: Duration = Duration::from_millis(1);

/// Cancelling takes microseconds; the driver waits no longer than this for it.
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// The kernel releases the memory of a closed ring shortly after the close, and counts it to the
/// user until then: a ring refused for lack of memory is tried again for this long.
const MEMORY_PATIENCE: Duration = Duration::from_millis(500);

/// How many completions an enter waits for, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// Completions to wait for.
    pub(super) want: u32,
    /// An enter waits this long for all of `want`, and then for one (Linux 6.12).
    pub(super) min_wait_us: u32,
    /// The longest wait. `None`: for ever.
    pub(super) timeout: Option<Duration>,
}

impl Wait {
    /// Runs due work without sleeping. A wait of zero for one completion would cost more: it sets
    /// a timer and goes through the scheduler.
    pub(super) const NONE: Self = Self { want: 0, min_wait_us: 0, timeout: Some(Duration::ZERO) };
}

/// `struct io_uring_getevents_arg`, io_uring_enter(2).
#[repr(C)]
struct GetEvents {
    sigmask: u64,
    sigmask_bytes: u32,
    min_wait_us: u32,
    timespec: u64,
}

/// `struct io_uring_rsrc_update`, io_uring_register(2).
#[repr(C)]
struct ResourceUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// A ring bound to the thread that made it.
pub(super) struct Ring {
    ring: IoUring,
    enter_descriptor: i32,
    enter_flags: u32,
    has_min_wait: bool,
    /// Completions taken out of the ring so that an enter could proceed.
    taken: Vec<cqueue::Entry>,
    #[cfg(test)]
    injected: tests::Injected,
}

impl Ring {
    /// Sets up a ring on this thread, and only for it.
    pub(super) fn new(submission_entries: u32) -> io::Result<Self> {
        let give_up = Instant::now() + MEMORY_PATIENCE;
        let ring = loop {
            match Self::set_up(submission_entries) {
                Err(error)
                    if error.raw_os_error() == Some(libc::ENOMEM) && Instant::now() < give_up =>
                {
                    thread::sleep(Duration::from_millis(10));
                }
                result => break result?,
            }
        };
        let has_min_wait = ring.params().is_feature_min_timeout();
        let (enter_descriptor, enter_flags) = match register_descriptor(&ring) {
            Some(index) => (index, ENTER_REGISTERED_RING),
            None => (ring.as_raw_fd(), 0),
        };
        Ok(Self {
            ring,
            enter_descriptor,
            enter_flags,
            has_min_wait,
            taken: Vec::new(),
            #[cfg(test)]
            injected: tests::Injected::default(),
        })
    }

    /// About the memory that the kernel allocates for a ring: 64 bytes and an index for each
    /// submission, 16 bytes for each completion, and less than a page beside them.
    pub(super) const fn kernel_bytes(submission_entries: u32) -> u64 {
        let submissions = submission_entries as u64 * (SUBMISSION_BYTES as u64 + 4);
        submissions + completion_entries(submission_entries) as u64 * 16 + 4096
    }

    fn set_up(submission_entries: u32) -> io::Result<IoUring> {
        IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(completion_entries(submission_entries))
            .dontfork()
            .build(submission_entries)
    }

    /// The instance itself, for registrations.
    pub(super) fn instance(&self) -> &IoUring {
        &self.ring
    }

    /// Whether `Wait::min_wait_us` has an effect.
    pub(super) fn has_min_wait(&self) -> bool {
        self.has_min_wait
    }

    /// Whether an enter saves the look-up of the descriptor (Linux 5.18).
    pub(super) fn has_registered_descriptor(&self) -> bool {
        self.enter_flags & ENTER_REGISTERED_RING != 0
    }

    /// Queues an entry; first submits those before it if the queue is full.
    ///
    /// # Safety
    /// The memory that the entry points to stays valid and unmoved until its last completion, or,
    /// for a send with MSG_DONTWAIT, until [`Self::submit_and_wait`] or [`Self::flush`] has
    /// returned `Ok`. After an error of theirs, or of this function, it stays so as long as the
    /// ring lives.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: passed on to the caller by this function's contract.
        if unsafe { self.ring.submission().push(entry) }.is_ok() {
            return Ok(());
        }
        self.flush()?;
        // SAFETY: as above.
        unsafe { self.ring.submission().push(entry) }
            .map_err(|_| io::Error::other("io_uring's queue is full although it was emptied"))
    }

    /// Queues an operation that refers to no memory.
    pub(super) fn push_plain(&mut self, sqe: &Plain) -> io::Result<()> {
        // SAFETY: a `Plain` has no pointer, by its constructors.
        unsafe { self.push(sqe.entry()) }
    }

    /// Submits the queued entries without waiting and without running deferred work.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.submit_all(0, 0, None)
    }

    /// Submits the queued entries and waits.
    pub(super) fn submit_and_wait(&mut self, wait: Wait) -> io::Result<()> {
        let timespec =
            wait.timeout.map(|t| Timespec::new().sec(t.as_secs()).nsec(t.subsec_nanos()));
        let argument = GetEvents {
            sigmask: 0,
            sigmask_bytes: 0,
            min_wait_us: if self.has_min_wait { wait.min_wait_us } else { 0 },
            timespec: timespec.as_ref().map_or(0, |timespec| std::ptr::from_ref(timespec) as u64),
        };
        self.submit_all(wait.want, ENTER_GETEVENTS | ENTER_EXT_ARG, Some(&argument))
    }

    /// Enters until the kernel has consumed all queued entries. io_uring_enter(2): an enter that
    /// consumes fewer does not wait, so only the last one waits.
    fn submit_all(
        &mut self,
        want: u32,
        flags: u32,
        argument: Option<&GetEvents>,
    ) -> io::Result<()> {
        let mut give_up = None;
        loop {
            let queued = self.queued();
            let entered = self.enter(queued, want, flags, argument);
            // The kernel's own index shows what it has consumed, whatever the call returned.
            let left = self.queued();
            match entered {
                Err(error) if !is_passing(&error) => return Err(error),
                _ if left == 0 => return Ok(()),
                _ => {}
            }
            // EBUSY: the kernel cannot proceed while completions do not fit into the queue.
            self.taken.extend(self.ring.completion());
            if left < queued {
                give_up = None;
                continue;
            }
            let give_up = *give_up.get_or_insert_with(|| Instant::now() + SUBMIT_PATIENCE);
            if Instant::now() >= give_up {
                let reason = entered.err().map_or(String::new(), |error| format!(": {error}"));
                return Err(io::Error::other(format!("io_uring takes no more operations{reason}")));
            }
            thread::sleep(SUBMIT_PAUSE);
        }
    }

    /// Entries that the kernel has not consumed.
    fn queued(&mut self) -> u32 {
        self.ring.submission().len() as u32
    }

    /// Whether completions wait in the kernel because the queue was full.
    pub(super) fn has_overflowed(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Moves all posted completions to `into`.
    pub(super) fn take_completions(&mut self, into: &mut Vec<cqueue::Entry>) {
        into.append(&mut self.taken);
        into.extend(self.ring.completion());
    }

    /// Ends all operations in progress. `false`: the kernel may still use an operation's memory.
    pub(super) fn cancel_all(&mut self) -> bool {
        let mut is_over = true;
        // Twice: a completion in progress runs in the enter, which may arm the operation again.
        for _ in 0..2 {
            let patience = Timespec::new().sec(DROP_PATIENCE.as_secs());
            let submitter = self.ring.submitter();
            let ended = submitter.register_sync_cancel(Some(patience), CancelBuilder::any());
            // ENOENT: no operation was in progress.
            is_over &=
                ended.map_or_else(|error| error.raw_os_error() == Some(libc::ENOENT), |()| true);
            // Queued entries are dropped, not submitted: their memory may be gone already.
            let entered = self.enter(0, 0, ENTER_GETEVENTS, None);
            is_over &= entered.map_or_else(|error| is_passing(&error), |()| true);
        }
        is_over
    }

    fn enter(
        &mut self,
        queued: u32,
        want: u32,
        flags: u32,
        argument: Option<&GetEvents>,
    ) -> io::Result<()> {
        #[cfg(test)]
        let (queued, want, flags) = self.injected.next(queued, want, flags)?;
        let bytes = if argument.is_some() { size_of::<GetEvents>() } else { 0 };
        let argument = argument.map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the descriptor is this ring's; `argument` and the timespec it points to live in
        // the callers' frames until the call returns. Queued entries are covered by `push`.
        let result = unsafe {
            syscall(
                SYS_io_uring_enter,
                c_long::from(self.enter_descriptor),
                c_long::from(queued),
                c_long::from(want),
                c_long::from(flags | self.enter_flags),
                argument,
                bytes,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A signal, the time-out, completions that wait to be taken, or no memory for now. These errors
/// say how the wait ended, or that the same enter may succeed later; not whether entries were
/// consumed.
fn is_passing(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    matches!(errno, Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN))
}

impl Drop for Ring {
    /// Closing a ring cancels its operations, but some time later: until then the kernel would read
    /// and write memory that its owner is about to free, and hold sockets open. So they are
    /// cancelled here, and awaited.
    fn drop(&mut self) {
        self.cancel_all();
        if self.enter_flags & ENTER_REGISTERED_RING != 0 {
            unregister_descriptor(&self.ring, self.enter_descriptor);
        }
    }
}

const fn completion_entries(submission_entries: u32) -> u32 {
    if COMPLETION_ENTRIES > 4 * submission_entries {
        COMPLETION_ENTRIES
    } else {
        4 * submission_entries
    }
}

/// Ends a multishot receive after `bytes` (`io_uring_sqe.optlen` of Linux 6.17; older kernels
/// answer EINVAL). The `io-uring` crate has no name for the field yet.
pub(super) fn bounded(mut entry: squeue::Entry, bytes: u32) -> squeue::Entry {
    const { assert!(size_of::<squeue::Entry>() == SUBMISSION_BYTES) };
    let field = std::ptr::from_mut(&mut entry).cast::<u8>().wrapping_add(OPTLEN_OFFSET);
    // SAFETY: four aligned bytes inside the entry, a plain `io_uring_sqe` of 64 bytes (asserted
    // above; the crate declares it `repr(transparent)`), for which any value is valid.
    unsafe { field.cast::<u32>().write(bytes) };
    entry
}

/// Saves each enter a look-up of the descriptor (Linux 5.18); `None` if it is refused.
fn register_descriptor(ring: &IoUring) -> Option<i32> {
    let mut update =
        ResourceUpdate { offset: u32::MAX, reserved: 0, data: ring.as_raw_fd() as u64 };
    update_descriptors(ring, REGISTER_RING_FDS, &mut update).then_some(update.offset as i32)
}

/// Unregisters the ring from the thread: otherwise it would stay open as long as the thread lives.
fn unregister_descriptor(ring: &IoUring, index: i32) {
    let mut update = ResourceUpdate { offset: index as u32, reserved: 0, data: 0 };
    update_descriptors(ring, UNREGISTER_RING_FDS, &mut update);
}

/// io_uring_register(2) with one update; returns whether it succeeded.
fn update_descriptors(ring: &IoUring, operation: u32, update: &mut ResourceUpdate) -> bool {
    // SAFETY: `update` outlives the call, which reads and writes one structure of this shape.
    let result = unsafe {
        syscall(
            SYS_io_uring_register,
            c_long::from(ring.as_raw_fd()),
            c_long::from(operation),
            std::ptr::from_mut(update),
            1 as c_long,
        )
    };
    result == 1
}

#[cfg(test)]
pub(super) mod tests;
