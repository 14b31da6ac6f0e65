//! The bytes of a private connection that were received and not used yet.
//!
//! It keeps no buffer while it is empty, and does not interpret the bytes.

use std::{io, ops::Range};

use tokio::io::AsyncReadExt;

use crate::control::api::server::stream::Reader;

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// The reading side of a connection.
pub struct Input<'s> {
    reader: Reader<'s>,
    buffer: Vec<u8>,
    unread: Range<usize>,
}

impl<'s> Input<'s> {
    /// An empty input.
    pub fn new(reader: Reader<'s>) -> Self {
        Self { reader, buffer: Vec::new(), unread: 0..0 }
    }

    /// Reads bytes if none are unread; 0 at the end of the stream. Cancelling the wait loses no
    /// bytes.
    pub async fn fill(&mut self) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.buffer = Vec::new();
            self.reader.readable().await?;
            self.buffer.resize(BUFFER_BYTES, 0);
            let count = self.reader.read(&mut self.buffer).await?;
            self.unread = 0..count;
        }
        Ok(self.unread.len())
    }

    /// The bytes that are not used yet.
    pub fn unread(&mut self) -> &mut [u8] {
        &mut self.buffer[self.unread.clone()]
    }

    /// Marks all but the last `left` bytes as used.
    pub fn keep_last(&mut self, left: usize) {
        self.unread.start = self.unread.end - left;
    }
}
