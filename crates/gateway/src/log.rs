//! Log lines go to standard error, as text or as JSON.
//!
//! A thread that serves clients never waits for a line to be written: lines go through a bounded
//! queue. A line that finds the queue full, or that cannot be written, is dropped and counted.

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

/// How long the process waits at its end for lines to be written.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Starts to write lines of the configured level and above, panics included.
///
/// # Errors
/// The kernel refuses a thread or a descriptor.
pub fn start(log: &Log) -> io::Result<()> {
    // A separate descriptor, because the lock of `stderr` would be held for as long as a write
    // blocks.
    let queue = Queue::start(File::from(stderr().as_fd().try_clone_to_owned()?))?;
    let queue = QUEUE.get_or_init(|| queue);
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(log.level))
        .with_target(false)
        // Otherwise it reports its errors on standard error, and panics if standard error has
        // failed.
        .log_internal_errors(false)
        .with_writer(|| queue.clone());
    // A second start, as in tests, changes nothing.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // The default hook writes to standard error directly, and blocks if that blocks.
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

/// Waits before the process ends until all lines have been written, for a bounded time.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_PATIENCE);
    }
}

/// Writes on standard error why the process ends, if it is open. `eprintln!` would panic if it were
/// not, and so change the exit code.
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
