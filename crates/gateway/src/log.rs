//! Where log lines go: standard error, for people or for collectors.
//!
//! Set up once. A thread that serves clients never waits for a line to be written: lines go through
//! a bounded queue, and what finds no room there, or cannot be written, is dropped and counted.

pub mod queue;
pub mod sampler;

use std::{
    fmt::Display,
    fs::File,
    io::{self, IsTerminal, Write, stderr},
    os::fd::AsFd,
    panic,
    sync::OnceLock,
    time::Duration,
};

use tracing::{error, level_filters::LevelFilter};

use crate::{
    config::{Log, LogFormat},
    log::queue::Queue,
};

/// How long the end of the process waits for lines to be written.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Starts to write what is at least as important as the configured level, panics included.
///
/// # Errors
/// The kernel refuses a thread or a descriptor.
pub fn start(log: &Log) -> io::Result<()> {
    // A descriptor of its own: the lock of `stderr` would be held for as long as a write blocks.
    let queue = Queue::start(File::from(stderr().as_fd().try_clone_to_owned()?))?;
    let queue = QUEUE.get_or_init(|| queue);
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(log.level))
        .with_target(false)
        // It would complain on standard error, and panic where that is what has failed.
        .log_internal_errors(false)
        .with_writer(|| queue.clone());
    // A second start, as tests make, changes nothing.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // The default hook writes to standard error itself, and blocks where that blocks.
    panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let message = panic.payload_as_str().unwrap_or("a value that is not text");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => {
                error!(thread, place, %backtrace, "panicked: {message}");
            }
            _ => error!(thread, place, "panicked: {message}"),
        }
    }));
    Ok(())
}

/// Lines that were dropped so far, because nobody read them fast enough.
pub fn lines_dropped() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// Waits, for a bounded time, until all lines have been written; before the process ends.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_PATIENCE);
    }
}

/// Says on standard error why the process ends, where there is anybody to hear it. `eprintln!`
/// would panic where there is nobody, and change the exit code.
pub fn last_words(words: impl Display) {
    match QUEUE.get() {
        Some(queue) => {
            queue.add(format!("{words}\n").as_bytes());
            flush();
        }
        None => {
            let _ = writeln!(stderr(), "{words}");
        }
    }
}
