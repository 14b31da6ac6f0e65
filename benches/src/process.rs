//! What the kernel accounts to a process: CPU time and resident memory, from proc(5).
//!
//! It never samples on its own: a caller reads before and after.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// CPU time of all threads since they started: the first field of each
/// `/proc/PID/task/TID/schedstat`, in nanoseconds.
///
/// # Errors
/// No such process, or a kernel without schedstat.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut total_ns = 0;
    for task in fs::read_dir(&folder).with_context(|| format!("reading {folder}"))? {
        let path = task?.path().join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))?;
        let on_cpu_ns = text.split_whitespace().next().context("schedstat is empty")?;
        total_ns += on_cpu_ns.parse::<u64>().context("schedstat is not a number")?;
    }
    Ok(Duration::from_nanos(total_ns))
}

/// Resident memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All pages (`Rss`).
    pub resident: u64,
    /// Pages that no file stands behind (`Anonymous`).
    pub anonymous: u64,
}

/// The sums of `/proc/PID/smaps_rollup`.
///
/// # Errors
/// No such process, or not ours to look into.
pub fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let bytes = |field: &str| -> Result<u64> {
        let line = text.lines().find(|line| line.starts_with(field));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: u64 = number.with_context(|| format!("{path} has no {field}"))?.parse()?;
        Ok(kib * 1024)
    };
    Ok(Memory { resident: bytes("Rss:")?, anonymous: bytes("Anonymous:")? })
}
