//! The wait for open connections that most modes begin with.

use anyhow::{Result, bail};

use crate::{
    engine::conductor::{Conductor, Observer},
    measure::timeline::Seen,
};

/// What to do when connections cannot be begun for want of a port.
pub const NO_PORT_LEFT: &str = "no_port_left: the port of a connection that has ended rests in \
     TIME_WAIT for a minute; use several addresses with --source, such as 127.0.0.1-127.0.0.8";

/// Waits until each connection is open or was tried. A run with some of them goes on; what failed
/// is counted.
///
/// # Errors
/// None is open, with the reasons; or the user has had enough.
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
    Ok(seen)
}
