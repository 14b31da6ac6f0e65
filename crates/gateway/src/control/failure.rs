//! What happens to the clients when a thread of the gateway panics: those that another thread serves
//! are told to leave before the process ends.
//!
//! It mends nothing. A panic leaves what it was working on half done, so the time is short.

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

/// How often the ends of the cores are looked for without a runtime.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The time in which clients leave after a failure.
pub(super) fn drain_time(configured: Duration) -> Duration {
    configured.min(FAILED_DRAIN_TIME_MAX)
}

/// Runs the control thread's work. Should it panic, the cores let their clients go as well: they
/// would otherwise be cut off by the end of the process, which comes when this thread ends.
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
    // What the panic left half done is of this thread alone, or behind locks that are passed over.
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

/// Waits for the ends of all cores, for `patience` at most. The runtime is gone by now.
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
