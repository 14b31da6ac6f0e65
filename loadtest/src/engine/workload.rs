//! What connections are used for: the part of a thread that differs from mode to mode.
//!
//! A workload is called when something happens, and acts by calling [`ConnectionTable`]. It never
//! touches a socket and never reads a clock.

use std::time::Duration;

use ringway_frame::DataKind;
use ringway_http::Part;

use super::table::ConnectionTable;
pub use super::table::Ended;

/// When a workload wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// No later than this time.
    At(Duration),
    /// When the next event happens.
    Idle,
}

/// What to do after the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is opened again after this time.
    Reopen(Duration),
    /// The connection stays closed.
    Rest,
}

/// What a thread's connections do. `connection` is an index from 0 below [`ConnectionTable::len`].
pub trait Workload {
    /// The results at the end of a measurement.
    type Outcome: Send + 'static;

    /// Whether all connections are opened before the measurement starts.
    const OPENS_FIRST: bool = true;

    /// The measurement starts at `start`, in the clock of the run; this may be in the future.
    fn start(&mut self, start: Duration, connections: &mut ConnectionTable);

    /// A connection is open.
    fn opened(&mut self, connection: u32, connections: &mut ConnectionTable) {
        let _ = (connection, connections);
    }

    /// A message has arrived.
    fn message(
        &mut self,
        connection: u32,
        kind: DataKind,
        payload: &[u8],
        connections: &mut ConnectionTable,
    );

    /// Consumes whole messages at the start of `bytes` before they are parsed, and returns how many
    /// bytes it consumed, for a workload that only counts. The rest is read as usual. Called
    /// between two messages, or when an earlier call has consumed the first part of one.
    fn skim(&mut self, connection: u32, bytes: &[u8], connections: &mut ConnectionTable) -> usize {
        let _ = (connection, bytes, connections);
        0
    }

    /// A part of a response has arrived, where connections use HTTP.
    fn response(&mut self, connection: u32, part: Part<'_>, connections: &mut ConnectionTable) {
        let _ = (connection, part, connections);
    }

    /// The answer to a Ping has arrived, with the payload of the Ping (RFC 6455 §5.5.3).
    fn pong(&mut self, connection: u32, payload: &[u8], connections: &mut ConnectionTable) {
        let _ = (connection, payload, connections);
    }

    /// A connection has ended; returns what to do next.
    fn ended(&mut self, connection: u32, why: Ended, connections: &mut ConnectionTable) -> Then;

    /// Does what is due. At the end of a measurement it is still called, with a
    /// [`ConnectionTable::now`] just before the end, until its next time is not before that: work
    /// that was due in time is done, even if late.
    fn advance(&mut self, connections: &mut ConnectionTable) -> Next {
        let _ = connections;
        Next::Idle
    }

    /// Whether an answer is expected that should be read as soon as it arrives. The thread then
    /// polls without sleeping, for a while.
    fn is_awaiting(&self, connections: &ConnectionTable) -> bool {
        let _ = connections;
        false
    }

    /// The time is over: start nothing new.
    fn stop(&mut self, connections: &mut ConnectionTable) {
        let _ = connections;
    }

    /// Whether everything that was started is finished.
    fn is_drained(&self, connections: &ConnectionTable) -> bool {
        let _ = connections;
        true
    }

    /// Returns the results at the end. Another measurement may follow.
    fn finish(&mut self, connections: &mut ConnectionTable) -> Self::Outcome;
}
