//! The wait for open connections at the start of most modes.

use anyhow::{Result, anyhow};

use crate::{
    engine::coordinator::{Coordinator, Observer},
    measure::timeline::Seen,
    wire::advice::advice,
};

/// Waits until each connection is open or its first attempt has failed, and until the start time. A
/// run continues if only some are open; failures are counted.
///
/// # Errors
/// None is open, with the reasons; the user interrupted the wait; or the start time has passed.
pub fn await_connections<O: Send + 'static>(
    coordinator: &mut Coordinator<O>,
    observer: &mut dyn Observer,
) -> Result<Seen> {
    let seen = await_open(coordinator, observer)?;
    coordinator.await_start()?;
    Ok(seen)
}

/// Does the same without waiting for the start time.
///
/// # Errors
/// None is open, with the reasons; or the user interrupted the wait.
pub fn await_open<O: Send + 'static>(
    coordinator: &mut Coordinator<O>,
    observer: &mut dyn Observer,
) -> Result<Seen> {
    let seen = coordinator.await_ready(observer)?;
    if seen.opened == 0 {
        return Err(nothing_open(&seen));
    }
    Ok(seen)
}

/// An error that says why no connection could be opened.
pub fn nothing_open(seen: &Seen) -> anyhow::Error {
    let reasons: Vec<String> =
        seen.errors.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if reasons.is_empty() {
        return anyhow!("interrupted before any connection was open");
    }
    let mut text = format!("no connection could be opened: {}", reasons.join(", "));
    for reason in seen.errors.keys() {
        if let Some(advice) = advice(reason.as_str()) {
            text.push_str(&format!("; {reason}: {advice}"));
        }
    }
    anyhow!(text)
}
