//! What the control thread tells the cores: so far, to leave.
//!
//! One word of shared memory and a wake-up; no queue.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use ringway_acceptor::Waker;

/// Shared by the control thread and all cores.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    drain: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Orders {
    /// Adds a core to be woken.
    pub fn enlist(&self, waker: Waker) {
        let mut wakers = self.shared.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_draining() {
            waker.wake();
        }
        wakers.push(waker);
    }

    /// Tells every core to stop accepting and to let its clients go.
    pub fn drain(&self) {
        let wakers = self.shared.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.drain.store(true, Ordering::Release);
        wakers.iter().for_each(Waker::wake);
    }

    /// Whether the cores are to leave.
    pub fn is_draining(&self) -> bool {
        self.shared.drain.load(Ordering::Acquire)
    }
}
