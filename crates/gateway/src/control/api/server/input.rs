//! What has come from a private connection and has not been used yet.
//!
//! It keeps no buffer while nothing has come. It never knows what the bytes are.

use std::{io, ops::Range};

use tokio::{io::AsyncReadExt, net::tcp::ReadHalf};

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// The reading side of a connection.
pub struct Input<'s> {
    reader: ReadHalf<'s>,
    buffer: Vec<u8>,
    unread: Range<usize>,
}

impl<'s> Input<'s> {
    /// Nothing has come yet.
    pub fn new(reader: ReadHalf<'s>) -> Self {
        Self { reader, buffer: Vec::new(), unread: 0..0 }
    }

    /// Waits for bytes where none are left; 0 at the end of the stream. Nothing is lost where the
    /// wait is given up.
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

    /// What has not been used.
    pub fn unread(&mut self) -> &mut [u8] {
        &mut self.buffer[self.unread.clone()]
    }

    /// All but the last `left` bytes have been used.
    pub fn keep_last(&mut self, left: usize) {
        self.unread.start = self.unread.end - left;
    }
}
