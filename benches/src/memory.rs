//! A gateway whose memory is measured: started so that its resident memory is what it uses, and
//! looked at when that has settled.
//!
//! Sockets themselves are the kernel's memory and are not in it.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    gateway::{Gateway, WITHOUT_HEARTBEATS},
    process::{self, Memory},
};

/// Memory has settled when it stays the same for this long ...
const SETTLED_TIME: Duration = Duration::from_millis(500);

/// ... and is taken as it is after this.
const SETTLING_TIME_MAX: Duration = Duration::from_secs(10);

/// Keeps mimalloc from huge pages, which are resident whole, however little of them is in use;
/// and from keeping freed ones for later.
const SMALL_PAGES: [(&str, &str); 2] = [("MIMALLOC_ALLOW_THP", "0"), ("MIMALLOC_PURGE_DELAY", "0")];

/// Starts a gateway on `core` and the engine `io`, with further `settings` (`KEY=VALUE`).
///
/// # Errors
/// See [`Gateway::start`].
pub fn start(binary: &Path, core: usize, io: &str, settings: &[&str]) -> Result<Gateway> {
    let mut arguments = ["--io", io, "--set", WITHOUT_HEARTBEATS].map(str::to_owned).to_vec();
    arguments.extend(settings.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
    Gateway::start(binary, core, &arguments, &SMALL_PAGES)
}

/// The memory of a gateway that has nothing to do, once it no longer changes.
///
/// # Errors
/// It has ended.
pub fn settle(gateway: &Gateway) -> Result<Memory> {
    let start = Instant::now();
    let mut last = process::memory(gateway.pid())?;
    loop {
        thread::sleep(SETTLED_TIME);
        let now = process::memory(gateway.pid())?;
        if now == last || start.elapsed() > SETTLING_TIME_MAX {
            return Ok(now);
        }
        last = now;
    }
}
