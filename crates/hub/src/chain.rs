//! The last segment of the log, and how writers agree on the one after it.
//!
//! Never reads a slot. Whoever wants an old segment holds it; here is only the newest.

use std::sync::Arc;

use crate::cursor::Sequence;
use crate::ledger::Nanos;
use crate::segment::Segment;
use crate::sync::{Mutex, lock};

/// The newest segment of a chain.
#[derive(Debug)]
pub struct Chain<T> {
    tail: Mutex<Arc<Segment<T>>>,
}

impl<T> Chain<T> {
    /// A chain of one empty segment.
    #[must_use]
    pub fn new(first: Sequence, capacity: usize) -> Self {
        Self { tail: Mutex::new(Arc::new(Segment::new(first, capacity, 0))) }
    }

    /// The newest segment.
    #[must_use]
    pub fn tail(&self) -> Arc<Segment<T>> {
        Arc::clone(&lock(&self.tail))
    }

    /// Closes `from` at the time `now` and returns the segment after it; `None` when another thread
    /// has closed it already.
    #[must_use]
    pub fn roll(&self, from: &Arc<Segment<T>>, now: Nanos) -> Option<Arc<Segment<T>>> {
        let mut tail = lock(&self.tail);
        if !Arc::ptr_eq(&tail, from) {
            return None;
        }
        let next = from.close(now);
        *tail = Arc::clone(&next);
        Some(next)
    }
}
