//! When a thread of the gateway panics, the clients of the other threads are told to leave before
//! the process ends.
//!
//! Nothing is repaired. A panic leaves work half done, so the time is short.

use std::{
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, error::TryRecvError};
use tracing::{error, warn};

use crate::{
    broker::mailbox::Mailbox,
    control::{GRACE, report},
    limits::FAILED_DRAIN_TIME_MAX,
    process::server::CoreEnd,
};

/// How often to check without a runtime whether the cores have ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The time in which clients leave after a failure.
pub(super) fn drain_time(configured: Duration) -> Duration {
    configured.min(FAILED_DRAIN_TIME_MAX)
}

/// Runs the control thread's work. If it panics, the cores drain their clients first: otherwise the
/// end of this thread, and so of the process, would cut them off.
pub(super) fn survive(
    drain_time_configured: Duration,
    work: impl FnOnce(
        Mailbox,
        UnboundedSender<CoreEnd>,
        &mut UnboundedReceiver<CoreEnd>,
    ) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let mailbox = Mailbox::default();
    let (core_ends, mut ends) = mpsc::unbounded_channel();
    // Half-done work is private to this thread, or behind locks whose poisoning is ignored.
    let worked =
        panic::catch_unwind(AssertUnwindSafe(|| work(mailbox.clone(), core_ends, &mut ends)));
    worked.unwrap_or_else(|_| {
        let drain_time = drain_time(drain_time_configured);
        error!(?drain_time, "the control thread has failed: all clients are told to leave");
        mailbox.drain(drain_time);
        if !have_ended(&mut ends, drain_time + GRACE) {
            warn!("a core has not ended in time");
        }
        Ok(ExitCode::FAILURE)
    })
}

/// Waits until all cores have ended, for `patience` at most. The runtime is gone by now.
fn have_ended(ends: &mut UnboundedReceiver<CoreEnd>, patience: Duration) -> bool {
    let give_up = Instant::now() + patience;
    while Instant::now() < give_up {
        match ends.try_recv() {
            Ok(end) => {
                report(Some(end));
            }
            Err(TryRecvError::Disconnected) => return true,
            Err(TryRecvError::Empty) => thread::sleep(LOOK_INTERVAL),
        }
    }
    false
}
