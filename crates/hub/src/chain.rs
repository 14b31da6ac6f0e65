//! The last segment of the log, and how writers agree on the one after it.
//!
//! Never reads a slot. It holds only the newest segment; readers hold older ones themselves.

use std::sync::Arc;

use crate::cursor::Sequence;
use crate::segment::Segment;
use crate::segment_size::Nanos;
use crate::sync::{Mutex, lock};

/// The newest segment of a chain.
#[derive(Debug)]
pub struct Chain<T> {
    appender: Mutex<Arc<Segment<T>>>,
}

impl<T> Chain<T> {
    /// A chain of one empty segment.
    #[must_use]
    pub fn new(first: Sequence, capacity: usize) -> Self {
        Self { appender: Mutex::new(Arc::new(Segment::new(first, capacity, 0))) }
    }

    /// The newest segment.
    #[must_use]
    pub fn appender(&self) -> Arc<Segment<T>> {
        Arc::clone(&lock(&self.appender))
    }

    /// Closes `from` at the time `now` and returns the segment after it; `None` when another thread
    /// has closed it already.
    #[must_use]
    pub fn roll(&self, from: &Arc<Segment<T>>, now: Nanos) -> Option<Arc<Segment<T>>> {
        let mut appender = lock(&self.appender);
        if !Arc::ptr_eq(&appender, from) {
            return None;
        }
        let next = from.close(now);
        *appender = Arc::clone(&next);
        Some(next)
    }
}
