//! Where log lines go: standard error, for people or for collectors.
//!
//! Set up once; nothing on the path of a message logs. A line that cannot be written is lost, and
//! nothing else is: a log collector that has gone away must not take the clients with it.

use std::{
    fmt::Display,
    io::{IsTerminal, Write, stderr},
};

use tracing::level_filters::LevelFilter;

use crate::config::{Log, LogFormat};

/// Starts to write what is at least as important as the configured level.
pub fn start(log: &Log) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(log.level))
        .with_target(false)
        // It would complain on standard error, and panic where that is what has failed.
        .log_internal_errors(false)
        .with_writer(stderr);
    // A second start, as tests make, changes nothing.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Says on standard error why the process ends, where there is anybody to hear it. `eprintln!`
/// would panic where there is nobody, and change the exit code.
pub fn last_words(words: impl Display) {
    let _ = writeln!(stderr(), "{words}");
}
