//! Memory that a core's connections share, one at a time: compressors and a scratch buffer.
//!
//! After a call only its capacity remains, and that is bounded.

use ringway_frame::deflate::Pool;

use crate::limits::{DEFLATE_COST, IDLE_DEFLATERS_MAX, SCRATCH_BYTES_KEPT};

/// What a core lends to the connection that it serves.
#[derive(Debug)]
pub struct Scratch {
    /// Compressors that belong to no connection.
    pub pool: Pool,
    scratch: Vec<u8>,
    records: Vec<u8>,
    /// The cost of compressing for single clients since it was last taken.
    cost: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            pool: Pool::new(IDLE_DEFLATERS_MAX),
            scratch: Vec::new(),
            records: Vec::new(),
            cost: 0,
        }
    }
}

impl Scratch {
    /// Takes the empty scratch buffer.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    /// Takes the empty buffer for what a record layer has to send.
    pub fn take_records(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.records)
    }

    /// Puts that buffer back.
    pub fn put_records(&mut self, mut records: Vec<u8>) {
        if records.capacity() <= SCRATCH_BYTES_KEPT {
            records.clear();
            self.records = records;
        }
    }

    /// Counts bytes that were compressed for a single client.
    pub fn count_compressed(&mut self, bytes: usize) {
        self.cost = self.cost.saturating_add(bytes.saturating_mul(DEFLATE_COST));
    }

    /// Takes the cost of compressing for single clients since the last call.
    #[inline]
    pub fn take_cost(&mut self) -> usize {
        std::mem::take(&mut self.cost)
    }

    /// Puts the scratch buffer back.
    pub fn put_buffer(&mut self, mut scratch: Vec<u8>) {
        if scratch.capacity() <= SCRATCH_BYTES_KEPT {
            scratch.clear();
            self.scratch = scratch;
        }
    }
}
