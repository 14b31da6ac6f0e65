//! Waking a core from another thread: a flag that says it sleeps, and two ways to end its sleep.
//!
//! A core with a ring wakes another's by a message in its normal batch, [`crate::Operation::Wake`];
//! a thread without a ring writes to an eventfd, [`Waker::wake`]. A wake-up carries no message: the
//! work is in memory that both threads see.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering, fence},
    },
};

use rustix::event::{EventfdFlags, eventfd};

const AWAKE: u8 = 0;
const SLEEPING: u8 = 1;
const NOTIFIED: u8 = 2;

/// Wakes one driver's thread. Cheap to clone; safe from any thread.
#[derive(Debug, Clone)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    eventfd: OwnedFd,
    /// The io_uring instance that the thread sleeps in, if any. A message to a descriptor that is
    /// no longer a ring fails, and the eventfd is used.
    ring: OnceLock<RawFd>,
}

impl Waker {
    /// The waker of a thread that is awake.
    ///
    /// # Errors
    /// `eventfd(2)`: no descriptor left.
    pub fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            shared: Arc::new(Shared {
                state: AtomicU8::new(AWAKE),
                eventfd,
                ring: OnceLock::new(),
            }),
        })
    }

    /// Makes the thread report [`Completion::Woken`](crate::Completion::Woken) in this turn or
    /// the next; whatever the caller wrote to shared memory before is visible by then.
    ///
    /// Costs a fence and a load when a wake-up is already pending, an atomic swap when the
    /// thread is awake, and a `write(2)` only when it sleeps.
    pub fn wake(&self) {
        if self.notify() {
            self.signal();
        }
    }

    /// Announces work. `true`: the thread sleeps, and this caller, and no other, must end its
    /// sleep.
    pub(crate) fn notify(&self) -> bool {
        // Orders the caller's writes before the load of the state; pairs with `fall_asleep`.
        fence(Ordering::SeqCst);
        self.shared.state.load(Ordering::Relaxed) != NOTIFIED
            && self.shared.state.swap(NOTIFIED, Ordering::SeqCst) == SLEEPING
    }

    /// Ends the sleep of a thread that `notify` found asleep.
    pub(crate) fn signal(&self) {
        // The counter cannot overflow: one write per sleep. An error would mean a closed
        // descriptor, which `self` keeps open.
        let _ = rustix::io::write(&self.shared.eventfd, &1u64.to_ne_bytes());
    }

    /// Records the ring that the thread sleeps in.
    pub(crate) fn sleeps_in(&self, ring: RawFd) {
        let _ = self.shared.ring.set(ring);
    }

    /// The ring that the thread sleeps in.
    pub(crate) fn ring(&self) -> Option<RawFd> {
        self.shared.ring.get().copied()
    }

    /// Records that the thread is about to sleep. `false`: it was notified and must not.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.shared
            .state
            .compare_exchange(AWAKE, SLEEPING, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Records that the thread is awake. `true`: it was notified meanwhile.
    pub(crate) fn wake_up(&self) -> bool {
        self.shared.state.load(Ordering::Relaxed) != AWAKE
            && self.shared.state.swap(AWAKE, Ordering::SeqCst) == NOTIFIED
    }

    /// Empties the eventfd after it was found readable.
    pub(crate) fn clear(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.shared.eventfd, &mut count);
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.shared.eventfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_signalled(waker: &Waker) -> bool {
        rustix::io::read(waker.descriptor(), &mut [0; 8]).is_ok()
    }

    #[test]
    fn an_awake_thread_costs_no_write_and_does_not_fall_asleep() {
        let waker = Waker::new().unwrap();
        waker.wake();
        assert!(!is_signalled(&waker));
        assert!(!waker.fall_asleep());
        assert!(waker.wake_up());
        assert!(!waker.wake_up());
    }

    #[test]
    fn a_sleeping_thread_is_woken_once() {
        let waker = Waker::new().unwrap();
        assert!(waker.fall_asleep());
        waker.clone().wake();
        waker.wake();
        assert!(is_signalled(&waker));
        assert!(!is_signalled(&waker));
        assert!(waker.wake_up());
    }
}
