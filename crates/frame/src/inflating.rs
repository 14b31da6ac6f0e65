//! The seam where a decompressor meets message assembly, and the per-thread pool of
//! those that belong to no connection.
//!
//! RFC 7692 §7.2.2. Without context takeover a decompressor keeps nothing between two
//! messages, so an idle connection holds none. Never knows deflate itself.

use std::cell::RefCell;

use crate::ProtocolError;

/// Decompresses the messages of one connection.
pub trait Inflate: Send {
    /// Appends to `output` what the next piece of the message inflates to.
    /// `output.len()` never passes `output_bytes_max`, even for a moment.
    ///
    /// # Errors
    /// [`ProtocolError::CorruptDeflate`], or [`ProtocolError::TooBig`] when the next byte
    /// would pass the bound.
    fn inflate(
        &mut self,
        input: &[u8],
        end_of_message: bool,
        output: &mut Vec<u8>,
        output_bytes_max: usize,
    ) -> Result<(), ProtocolError>;

    /// Forgets all input, so that another connection's message may follow.
    fn reset(&mut self);
}

/// Decompressors that a thread keeps for the next message. Only as many are in use at
/// once as there are compressed messages cut by a read, so a few are enough.
const POOL_LENGTH_MAX: usize = 8;

thread_local! {
    static POOL: RefCell<Vec<Box<dyn Inflate>>> = const { RefCell::new(Vec::new()) };
}

/// Decompresses without context takeover: takes a decompressor from the thread's pool at
/// the first piece of a message and gives it back at the last.
///
/// All pools of a thread are one: every `make` of a program must give decompressors that
/// serve every connection, that is, with the largest window.
pub struct Pooled {
    make: fn() -> Box<dyn Inflate>,
    taken: Option<Box<dyn Inflate>>,
}

impl Pooled {
    /// Takes decompressors from the pool, or from `make` when it is empty.
    #[must_use]
    pub fn new(make: fn() -> Box<dyn Inflate>) -> Self {
        Self { make, taken: None }
    }

    fn give_back(&mut self) {
        let Some(mut inflater) = self.taken.take() else {
            return;
        };
        inflater.reset();
        // While the thread ends there is no pool any more: the inflater is dropped.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOL_LENGTH_MAX {
                pool.push(inflater);
            }
        });
    }
}

impl Inflate for Pooled {
    fn inflate(
        &mut self,
        input: &[u8],
        end_of_message: bool,
        output: &mut Vec<u8>,
        output_bytes_max: usize,
    ) -> Result<(), ProtocolError> {
        let make = self.make;
        let inflater =
            self.taken.get_or_insert_with(|| POOL.with_borrow_mut(Vec::pop).unwrap_or_else(make));
        let outcome = inflater.inflate(input, end_of_message, output, output_bytes_max);
        if end_of_message || outcome.is_err() {
            self.give_back();
        }
        outcome
    }

    fn reset(&mut self) {
        self.give_back();
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.give_back();
    }
}
