//! What connections are for: the part of a thread that differs from mode to mode.
//!
//! A workload is told what happens and answers by calling [`ConnectionTable`]. It never touches a socket
//! and never reads a clock.

use std::time::Duration;

use ringway_frame::DataKind;
use ringway_http::Part;

use super::table::ConnectionTable;
pub use super::table::Ended;

/// When a workload wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At this time at the latest.
    At(Duration),
    /// When something happens.
    Idle,
}

/// What follows the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is opened again after this time.
    Reopen(Duration),
    /// Nothing.
    Rest,
}

/// What a thread's connections do. `connection` is an index from 0 below [`ConnectionTable::len`].
pub trait Workload {
    /// What is known at the end of a measurement.
    type Outcome: Send + 'static;

    /// Whether all connections are opened before the measurement starts.
    const OPENS_FIRST: bool = true;

    /// The measurement starts at `start`, which is in the clock of the run and may lie ahead.
    fn start(&mut self, start: Duration, connections: &mut ConnectionTable);

    /// A connection is open.
    fn opened(&mut self, connection: u32, connections: &mut ConnectionTable) {
        let _ = (connection, connections);
    }

    /// A message has come.
    fn message(
        &mut self,
        connection: u32,
        kind: DataKind,
        payload: &[u8],
        connections: &mut ConnectionTable,
    );

    /// Takes whole messages off the front of `bytes` before they are read as such, and returns how
    /// many bytes those were, for a workload that only counts. What it leaves is read as usual.
    /// Called between two messages, or where an earlier call has taken the first part of one.
    fn skim(&mut self, connection: u32, bytes: &[u8], connections: &mut ConnectionTable) -> usize {
        let _ = (connection, bytes, connections);
        0
    }

    /// A part of a response has come, where connections speak HTTP.
    fn response(&mut self, connection: u32, part: Part<'_>, connections: &mut ConnectionTable) {
        let _ = (connection, part, connections);
    }

    /// The answer to a Ping has come, with the payload of the Ping (RFC 6455 §5.5.3).
    fn pong(&mut self, connection: u32, payload: &[u8], connections: &mut ConnectionTable) {
        let _ = (connection, payload, connections);
    }

    /// A connection has ended; what follows.
    fn ended(&mut self, connection: u32, why: Ended, connections: &mut ConnectionTable) -> Then;

    /// Does what is due. At the end of a measurement it is still called, with a
    /// [`ConnectionTable::now`] just before the end, until it wants nothing before that: what was due in time is done, if late.
    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        let _ = connections;
        Next::Idle
    }

    /// Whether something is on its way that should be looked at as soon as it is there. The thread
    /// then looks without sleeping, for a while.
    fn is_awaiting(&self, connections: &ConnectionTable) -> bool {
        let _ = connections;
        false
    }

    /// The time is over: nothing new is begun.
    fn stop(&mut self, connections: &mut ConnectionTable) {
        let _ = connections;
    }

    /// Whether all that was begun is finished.
    fn is_drained(&self, connections: &ConnectionTable) -> bool {
        let _ = connections;
        true
    }

    /// What is known at the end. Another measurement may start after it.
    fn finish(&mut self, connections: &mut ConnectionTable) -> Self::Outcome;
}
