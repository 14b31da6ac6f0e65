//! Where log lines go: standard error, for people or for collectors.
//!
//! Set up once; nothing on the path of a message logs.

use std::io::{IsTerminal, stderr};

use tracing::level_filters::LevelFilter;

use crate::config::{Log, LogFormat};

/// Starts to write what is at least as important as the configured level.
pub fn start(log: &Log) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(log.level))
        .with_target(false)
        .with_writer(stderr);
    // A second start, as tests make, changes nothing.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
