//! SIGINT and SIGTERM: the run is cut short, and its results so far are still reported. A second
//! signal ends the process at once.
//!
//! It never prints.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

static SEEN: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// A signal has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signalled;

/// Exit status after a second signal: 128 plus SIGINT's number, as in shells.
const SECOND_SIGNAL_STATUS: i32 = 130;

/// Starts watching for signals; call it once per process.
///
/// # Errors
/// `sigaction(2)`.
pub fn watch() -> io::Result<()> {
    if SEEN.get().is_some() {
        return Ok(());
    }
    let seen = SEEN.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset.
        flag::register_conditional_shutdown(signal, SECOND_SIGNAL_STATUS, seen.clone())?;
        flag::register(signal, seen.clone())?;
    }
    Ok(())
}

/// Whether a signal has arrived.
pub fn seen() -> Option<Signalled> {
    let seen = SEEN.get().is_some_and(|seen| seen.load(Ordering::Relaxed));
    seen.then_some(Signalled)
}
