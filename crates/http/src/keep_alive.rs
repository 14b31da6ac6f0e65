//! What follows a message on its connection, and how the end of a body is told.

use crate::chunk;

/// Whether the connection is kept open after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// The next request may follow.
    Yes,
    /// It is closed: further input cannot be trusted, or is not wanted.
    Close,
}

/// How the end of an endless body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By the last chunk.
    Chunked,
    /// By the end of the connection: HTTP/1.0 has no chunks (RFC 9112 §6.1).
    UntilClose,
}

impl Framing {
    /// Writes a piece of the body that `data` appends.
    pub fn write(self, out: &mut Vec<u8>, data: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Chunked => chunk::write(out, data),
            Self::UntilClose => data(out),
        }
    }
}
