//! What connections are for: the part of a thread that differs from mode to mode.
//!
//! A workload is told what happens and answers by calling [`Links`]. It never touches a socket and
//! never reads a clock.

use std::time::Duration;

use ringway_frame::DataKind;

use super::links::Links;
use crate::wire::response::Part;

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

/// Why a connection is no longer open, or did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It never opened.
    Unopened,
    /// It broke, or the server closed it.
    Lost,
    /// The workload had closed it; of HTTP, or the server did between two exchanges.
    Closed,
}

/// What a thread's connections do. `link` is an index from 0 below [`Links::len`].
pub trait Workload {
    /// What is known at the end of a measurement.
    type Outcome: Send + 'static;

    /// Whether all connections are opened before the measurement starts.
    const OPENS_FIRST: bool = true;

    /// The measurement starts at `start`, which is in the clock of the run and may lie ahead.
    fn start(&mut self, start: Duration, links: &mut Links);

    /// A connection is open.
    fn opened(&mut self, link: u32, links: &mut Links) {
        let _ = (link, links);
    }

    /// A message has come.
    fn message(&mut self, link: u32, kind: DataKind, payload: &[u8], links: &mut Links);

    /// Takes whole messages off the front of `bytes` before they are read as such, and returns how
    /// many bytes those were, for a workload that only counts. What it leaves is read as usual.
    /// Called between two messages, or where an earlier call has taken the first part of one.
    fn skim(&mut self, link: u32, bytes: &[u8], links: &mut Links) -> usize {
        let _ = (link, bytes, links);
        0
    }

    /// A part of a response has come, where connections speak HTTP.
    fn response(&mut self, link: u32, part: Part<'_>, links: &mut Links) {
        let _ = (link, part, links);
    }

    /// The answer to a Ping has come, with the payload of the Ping (RFC 6455 §5.5.3).
    fn pong(&mut self, link: u32, payload: &[u8], links: &mut Links) {
        let _ = (link, payload, links);
    }

    /// A connection has ended; what follows.
    fn ended(&mut self, link: u32, why: Ended, links: &mut Links) -> Then;

    /// Does what is due. At the end of a measurement it is still called, with a [`Links::now`] just
    /// before the end, until it wants nothing before that: what was due in time is done, if late.
    fn advance(&mut self, links: &mut Links) -> Next {
        let _ = links;
        Next::Idle
    }

    /// Whether something is on its way that should be looked at as soon as it is there. The thread
    /// then looks without sleeping, for a while.
    fn is_awaiting(&self, links: &Links) -> bool {
        let _ = links;
        false
    }

    /// The time is over: nothing new is begun.
    fn stop(&mut self, links: &mut Links) {
        let _ = links;
    }

    /// Whether all that was begun is finished.
    fn is_drained(&self, links: &Links) -> bool {
        let _ = links;
        true
    }

    /// What is known at the end. Another measurement may start after it.
    fn finish(&mut self, links: &mut Links) -> Self::Outcome;
}
