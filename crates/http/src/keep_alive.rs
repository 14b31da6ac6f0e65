//! Whether a connection stays open after a message, and how the end of a body is marked.

use crate::chunk;

/// Whether the connection is kept open after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// The next request may follow.
    Yes,
    /// The connection is closed: further input cannot be trusted, or is not wanted.
    Close,
}

/// How the end of a body of unknown length is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By the last chunk.
    Chunked,
    /// By the end of the connection: HTTP/1.0 has no chunks (RFC 9112 §6.1).
    UntilClose,
}

impl Framing {
    /// Writes the bytes that `data` appends as a piece of the body.
    pub fn write(self, out: &mut Vec<u8>, data: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Chunked => chunk::write(out, data),
            Self::UntilClose => data(out),
        }
    }
}
