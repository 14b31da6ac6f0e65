//! The wait for open connections that most modes begin with.

use anyhow::{Result, bail};

use crate::{
    engine::conductor::{Conductor, Observer},
    measure::timeline::Seen,
};

/// Waits until each connection is open or was tried, and it is time to begin. A run with some of them goes on; what failed
/// is counted.
///
/// # Errors
/// None is open, with the reasons; the user has had enough; or the time to begin has passed.
pub fn await_connections<O: Send + 'static>(
    conductor: &mut Conductor<O>,
    observer: &mut dyn Observer,
) -> Result<Seen> {
    let seen = conductor.await_ready(observer)?;
    if seen.opened == 0 {
        let reasons: Vec<String> =
            seen.errors.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        match reasons.is_empty() {
            true => bail!("interrupted before any connection was open"),
            false => bail!("no connection could be opened: {}", reasons.join(", ")),
        }
    }
    conductor.await_start()?;
    Ok(seen)
}
