//! The wait for open connections that most modes begin with.

use anyhow::{Result, anyhow};

use crate::{
    engine::conductor::{Conductor, Observer},
    measure::timeline::Seen,
    report::Report,
    wire::failure::Reason,
};

/// What to do when connections cannot be begun for want of a port.
const NO_PORT_LEFT: &str = "no_port_left: one address has some 28,000 ports to one server, and \
     that of a connection that has ended rests in TIME_WAIT for a minute; use several addresses of \
     this host with --source, such as 127.0.0.1-127.0.0.8";

/// Waits until each connection is open or was tried, and it is time to begin. A run with some of
/// them goes on; what failed is counted.
///
/// # Errors
/// None is open, with the reasons; the user has had enough; or the time to begin has passed.
pub fn await_connections<O: Send + 'static>(
    conductor: &mut Conductor<O>,
    observer: &mut dyn Observer,
) -> Result<Seen> {
    let seen = await_open(conductor, observer)?;
    conductor.await_start()?;
    Ok(seen)
}

/// The same, whether or not it is time to begin.
///
/// # Errors
/// None is open, with the reasons; or the user has had enough.
pub fn await_open<O: Send + 'static>(
    conductor: &mut Conductor<O>,
    observer: &mut dyn Observer,
) -> Result<Seen> {
    let seen = conductor.await_ready(observer)?;
    if seen.opened == 0 {
        return Err(nothing_open(&seen));
    }
    Ok(seen)
}

/// Says what to do in a report of connections that found no port.
pub fn warn_of_ports(report: &mut Report) {
    if report.errors.contains_key(Reason::NO_PORT_LEFT.as_str()) {
        report.warnings.push(NO_PORT_LEFT.to_owned());
    }
}

/// That none could be opened, and why.
pub fn nothing_open(seen: &Seen) -> anyhow::Error {
    let reasons: Vec<String> =
        seen.errors.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if reasons.is_empty() {
        return anyhow!("interrupted before any connection was open");
    }
    let advice = match seen.errors.contains_key(&Reason::NO_PORT_LEFT) {
        true => format!("; {NO_PORT_LEFT}"),
        false => String::new(),
    };
    anyhow!("no connection could be opened: {}{advice}", reasons.join(", "))
}
