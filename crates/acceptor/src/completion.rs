//! What a driver reports: a closed set of events, each about one connection or the core itself.
//!
//! Kernel results are data here (see `Failure`); nothing in this file judges a peer.

use std::net::SocketAddr;

use crate::{ConnectToken, ConnectionId};

/// One thing that happened. Lent bytes live until the next call of [`Driver::next`].
///
/// [`Driver::next`]: crate::Driver::next
#[derive(Debug)]
pub enum Completion<'a> {
    /// A client connected. The driver already receives from it. A client that has reset its
    /// connection by now may not be reported at all.
    Accepted {
        /// The new connection's name.
        connection: ConnectionId,
        /// Index of the listener in the order given to the driver.
        listener: u16,
        /// The client's address.
        peer: SocketAddr,
    },
    /// A connection that [`Operation::Connect`] asked for is established. From now on it is like
    /// an accepted one; the driver already receives from it.
    ///
    /// [`Operation::Connect`]: crate::Operation::Connect
    Connected {
        /// The new connection's name.
        connection: ConnectionId,
        /// The token of the request.
        token: ConnectToken,
    },
    /// A connection that [`Operation::Connect`] asked for was not made. It holds no slot and no
    /// descriptor any more, and nothing else is reported for its token.
    ///
    /// [`Operation::Connect`]: crate::Operation::Connect
    ConnectFailed {
        /// The token of the request.
        token: ConnectToken,
        /// Why the attempt failed.
        failure: ConnectFailure,
    },
    /// Bytes arrived. At least one byte; may be modified in place.
    Received {
        /// The connection that they arrived on.
        connection: ConnectionId,
        /// The bytes, lent from the driver's receive buffers.
        bytes: &'a mut [u8],
    },
    /// Bytes arrived, and were appended to the buffer that the owner has just named for them
    /// ([`Places::place`](crate::Places::place)). At least one byte.
    Placed {
        /// The connection that they arrived on.
        connection: ConnectionId,
        /// How many.
        length: usize,
    },
    /// The peer will send no more (FIN). Nothing more is received on this connection; a later
    /// failure may be reported only by the next send.
    EndOfStream {
        /// The connection whose stream ended.
        connection: ConnectionId,
    },
    /// The connection broke. Nothing more is received, and queued bytes are dropped.
    Failed {
        /// Which connection.
        connection: ConnectionId,
        /// How it broke.
        failure: Failure,
    },
    /// The socket did not take all bytes: the driver keeps the rest, in order, and reports
    /// [`Completion::Drained`] when all of it is sent. Later sends queue behind it. Reported again
    /// when more has queued, and when a part has been sent.
    Backlogged {
        /// Which connection.
        connection: ConnectionId,
        /// Bytes that the driver keeps for it now.
        unsent_bytes: usize,
        /// How many of them are in buffers shared with other connections.
        shared_bytes: usize,
    },
    /// The whole backlog has been passed to the kernel.
    Drained {
        /// Which connection.
        connection: ConnectionId,
    },
    /// How far the peer has read: the answer to [`Operation::MeasureProgress`].
    ///
    /// [`Operation::MeasureProgress`]: crate::Operation::MeasureProgress
    Progress {
        /// Which connection.
        connection: ConnectionId,
        /// Bytes that the peer has acknowledged since the connection began. It never falls.
        acknowledged_bytes: u64,
        /// Bytes not yet acknowledged: those that the driver keeps and those in the kernel's queue.
        unacknowledged_bytes: usize,
    },
    /// The last completion of a connection, after [`Operation::Close`] or
    /// [`Operation::Reset`]: its name is void now.
    ///
    /// [`Operation::Close`]: crate::Operation::Close
    /// [`Operation::Reset`]: crate::Operation::Reset
    Closed {
        /// Which connection.
        connection: ConnectionId,
    },
    /// Clients were refused because no descriptor or slot was free.
    Refused {
        /// How many, since the last such report.
        count: u32,
    },
    /// Another thread called [`Waker::wake`](crate::Waker::wake).
    Woken,
}

/// Why a connection was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFailure {
    /// The driver holds `connections_max` connections.
    NoSlot,
    /// [`Operation::CancelConnect`](crate::Operation::CancelConnect) ended the attempt.
    Cancelled,
    /// The kernel's reason. Before anything was sent: `EMFILE` and `ENFILE` (no descriptor left),
    /// `EADDRNOTAVAIL` (the source is not this host's, or has no port left for this target).
    /// Afterwards: `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH` and the like (connect(2)), or
    /// `ECONNRESET` when the peer has accepted and reset the connection before it was reported.
    Kernel(Failure),
}

impl ConnectFailure {
    /// The error of a system call. An error without a number is our own check of an argument.
    pub(crate) fn of(error: &std::io::Error) -> Self {
        Self::Kernel(Failure(error.raw_os_error().unwrap_or(libc::EINVAL)))
    }
}

impl std::fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSlot => f.write_str("the core holds as many connections as it may"),
            Self::Cancelled => f.write_str("the attempt was cancelled"),
            Self::Kernel(failure) => failure.fmt(f),
        }
    }
}

/// How a connection broke: an `errno` of the connect, the receive or the send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure(pub i32);

impl Failure {
    /// The peer reset the connection (`ECONNRESET`) or had closed it before a send (`EPIPE`).
    pub fn is_reset(self) -> bool {
        matches!(self.0, libc::ECONNRESET | libc::EPIPE)
    }

    /// There was no memory for the bytes to send (`ENOMEM`), in the kernel or for the driver's
    /// copy of those that the socket did not take.
    pub fn is_out_of_memory(self) -> bool {
        self.0 == libc::ENOMEM
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}
