//! The kernel's accounting of a process: CPU time and resident memory, from proc(5).
//!
//! It never samples on its own: a caller reads before and after.

use std::{fs, ops::Sub, path::Path, time::Duration};

use anyhow::{Context, Result};

/// A thread's time since its start, as the scheduler accounts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// Running on a CPU.
    pub running: Duration,
    /// Ready to run, while the CPU ran something else.
    pub waiting: Duration,
}

impl Sub for Scheduled {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            running: self.running.saturating_sub(earlier.running),
            waiting: self.waiting.saturating_sub(earlier.waiting),
        }
    }
}

/// The first two fields of the calling thread's `schedstat`, in nanoseconds.
///
/// # Errors
/// The kernel has no schedstat.
pub fn scheduled_here() -> Result<Scheduled> {
    schedstat(Path::new("/proc/thread-self/schedstat"))
}

fn schedstat(path: &Path) -> Result<Scheduled> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path:?}"))?;
    let mut fields = text.split_whitespace();
    let mut next = || -> Result<Duration> {
        let field = fields.next().context("schedstat is too short")?;
        Ok(Duration::from_nanos(field.parse().context("schedstat is not a number")?))
    };
    Ok(Scheduled { running: next()?, waiting: next()? })
}

/// Resident memory of a process: `Rss` of `/proc/PID/smaps_rollup`.
///
/// # Errors
/// There is no such process, or it may not be read.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find(|line| line.starts_with("Rss:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: u64 = number.with_context(|| format!("{path} has no Rss"))?.parse()?;
    Ok(kib * 1024)
}
