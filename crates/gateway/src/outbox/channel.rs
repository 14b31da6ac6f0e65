//! The seam between a socket's bytes and what HTTP and WebSocket read.
//!
//! All bytes of a connection pass here, in both directions. TLS will be the second kind of
//! channel (rustls, fed by bytes); today every channel is plain and copies nothing.

/// What stands between the socket and the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Channel {
    /// Bytes pass as they are.
    #[default]
    Plain,
}

impl Channel {
    /// Bytes of the socket, as the protocol reads them.
    #[inline]
    pub fn open<'b>(&mut self, received: &'b mut [u8]) -> &'b mut [u8] {
        match self {
            Self::Plain => received,
        }
    }

    /// Runs `write`, which appends what the protocol says, and leaves in `out` what the socket
    /// is to send.
    #[inline]
    pub fn seal(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Plain => write(out),
        }
    }
}
