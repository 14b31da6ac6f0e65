//! The wait for open connections that most modes begin with.

use anyhow::{Result, anyhow};

use crate::{
    engine::coordinator::{Coordinator, Observer},
    measure::timeline::Seen,
    wire::advice::advice,
};

/// Waits until each connection is open or was tried, and it is time to begin. A run with some of
/// them goes on; what failed is counted.
///
/// # Errors
/// None is open, with the reasons; the user has had enough; or the time to begin has passed.
pub fn await_connections<O: Send + 'static>(
    coordinator: &mut Coordinator<O>,
    observer: &mut dyn Observer,
) -> Result<Seen> {
    let seen = await_open(coordinator, observer)?;
    coordinator.await_start()?;
    Ok(seen)
}

/// The same, whether or not it is time to begin.
///
/// # Errors
/// None is open, with the reasons; or the user has had enough.
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

/// That none could be opened, and why.
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
