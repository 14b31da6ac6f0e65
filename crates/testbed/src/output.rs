//! The output of a process, line by line, kept from its start. A thread reads the pipe to its end,
//! so that the process never waits for its reader.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The lines of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Output {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    /// The pipe is closed after the next line.
    is_unwanted: bool,
    has_ended: bool,
}

impl Output {
    /// Reads a pipe to its end, on a separate thread.
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let shared = Arc::clone(&output.shared);
        thread::spawn(move || shared.fill(pipe));
        output
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.shared.lock().lines.clone()
    }

    /// The last lines, at most this many, joined.
    pub fn last(&self, lines_max: usize) -> String {
        let state = self.shared.lock();
        let first = state.lines.len().saturating_sub(lines_max);
        state.lines[first..].join("\n")
    }

    /// The first line with `text` in it, as soon as it exists; `None` when the time is over, or
    /// when the pipe has ended without it.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Option<String> {
        let start = Instant::now();
        let mut state = self.shared.lock();
        let mut seen = 0;
        loop {
            if let Some(line) = state.lines[seen..].iter().find(|line| line.contains(text)) {
                return Some(line.clone());
            }
            seen = state.lines.len();
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() || state.has_ended {
                return None;
            }
            let waited = self.shared.grown.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the pipe has ended: by its writers, or by [`Output::close_after_next_line`].
    pub fn wait_for_end(&self, limit: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.grown.wait_timeout_while(state, limit, |state| !state.has_ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }

    /// Closes the reading end after one more line: later writes of the process fail.
    pub fn close_after_next_line(&self) {
        self.shared.lock().is_unwanted = true;
    }
}

impl Shared {
    /// The lock even if a test failed while it held it: the lines are still wanted.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, pipe: impl Read) {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while pipe.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
            bytes.clear();
            let mut state = self.lock();
            state.lines.push(line);
            self.grown.notify_all();
            if state.is_unwanted {
                break;
            }
        }
        // Closed before `has_ended` is set, which waiting threads see.
        drop(pipe);
        self.lock().has_ended = true;
        self.grown.notify_all();
    }
}
