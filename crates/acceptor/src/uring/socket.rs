//! The state of one connection in this driver: its descriptor, its armed operations, its backlog.
//!
//! It decides nothing about the peer.

use std::os::fd::OwnedFd;

use super::backlog::Backlog;
use crate::places::Flow;

/// Kept small: there is one per idle connection.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) descriptor: OwnedFd,
    pub(super) receiving: Receiving,
    /// Trickle: the next receive is a multishot receive into provided buffers; bulk: a poll, and
    /// then recv(2) (see `bulk`).
    pub(super) flow: Flow,
    /// Whether the owner wants bytes, that is, has not paused.
    pub(super) wants_bytes: bool,
    pub(super) stream: Stream,
    pub(super) ending: Ending,
    pub(super) health: Health,
    pub(super) backlog: Option<Box<Backlog>>,
}

/// What was reported to the owner about the incoming stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// More may come.
    Open,
    /// FIN: no more bytes come; sending continues.
    Ended,
    /// The connection is broken in both directions.
    Failed,
}

/// Whether the receive in the kernel would report an error (see `check`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It was armed, and has received nothing yet.
    Unknown,
    /// Bytes were received, and none were sent since.
    Doubted,
    /// The socket worked at the last check or send, which was after the receive.
    Sound,
}

/// The state of the receive or of the poll that replaces it, and of the connect before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Not started: a connect is in the kernel, or the poll that replaces it.
    Connecting,
    /// No receive is in the kernel.
    Idle,
    /// To be armed at the next submission.
    Queued,
    /// In the kernel.
    Armed,
    /// In the kernel, with a cancel in progress.
    Cancelling,
}

/// How far the connection's end has progressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Ending {
    /// The owner has not asked for an end.
    Open,
    /// FIN follows the backlog.
    ShutdownWanted,
    /// FIN sent.
    Shutdown,
    /// Waiting for the last completions, then the descriptor is closed.
    Closing,
}

impl Socket {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self {
            descriptor,
            receiving: Receiving::Idle,
            flow: Flow::Trickle,
            wants_bytes: true,
            stream: Stream::Open,
            ending: Ending::Open,
            health: Health::Unknown,
            backlog: None,
        }
    }

    /// A socket that is being established, with its connect in the kernel.
    pub(super) fn connecting(descriptor: OwnedFd) -> Self {
        Self { receiving: Receiving::Connecting, ..Self::new(descriptor) }
    }

    /// Whether the kernel still holds an operation of this socket.
    pub(super) fn is_in_kernel(&self) -> bool {
        !matches!(self.receiving, Receiving::Idle | Receiving::Queued) || self.is_sending()
    }

    /// Whether a backlog send is in the kernel.
    pub(super) fn is_sending(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.is_armed())
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.receiving == Receiving::Connecting
    }

    pub(super) fn is_closing(&self) -> bool {
        self.ending == Ending::Closing
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_idle_connection_costs_little() {
        assert!(size_of::<super::Socket>() <= 24);
        assert_eq!(size_of::<Option<super::Socket>>(), size_of::<super::Socket>());
    }
}
