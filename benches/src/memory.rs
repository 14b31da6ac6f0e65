//! A gateway whose memory is measured: started so that its resident memory is the memory in use,
//! and read when that has settled.
//!
//! The kernel's memory of sockets is not part of it; their buffers are reported separately.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use ringway_testbed::Gateway;

use crate::{
    gateway::{WITHOUT_HEARTBEATS, launch},
    process,
};

/// Memory has settled when it stays the same for this long.
const SETTLED_TIME: Duration = Duration::from_millis(500);

/// After this time it is taken even if it has not settled.
const SETTLING_TIME_MAX: Duration = Duration::from_secs(10);

/// Keeps mimalloc from huge pages, which are wholly resident even if little of them is in use, and
/// from keeping freed pages for later.
const SMALL_PAGES: [(&str, &str); 2] = [("MIMALLOC_ALLOW_THP", "0"), ("MIMALLOC_PURGE_DELAY", "0")];

/// Starts a gateway on `core` and the engine `io`, with further `settings` (`KEY=VALUE`).
///
/// # Errors
/// The gateway does not start.
pub fn start(binary: &Path, core: usize, io: &str, settings: &[&str]) -> Result<Gateway> {
    let launch = launch(binary, core).flags(&["--io", io]).set(&[WITHOUT_HEARTBEATS]).set(settings);
    SMALL_PAGES.iter().fold(launch, |launch, (name, value)| launch.variable(name, value)).start()
}

/// Resident bytes of an idle gateway, once the number no longer changes.
///
/// # Errors
/// The gateway has ended.
pub fn settle(gateway: &Gateway) -> Result<u64> {
    let start = Instant::now();
    let mut last = process::resident_bytes(gateway.pid())?;
    loop {
        thread::sleep(SETTLED_TIME);
        let now = process::resident_bytes(gateway.pid())?;
        if now == last || start.elapsed() > SETTLING_TIME_MAX {
            return Ok(now);
        }
        last = now;
    }
}

/// Bytes that the buffers of all TCP sockets of this machine hold (`mem` in /proc/net/sockstat,
/// which counts pages of 4 KiB).
///
/// # Errors
/// The file has another format.
pub fn kernel_buffers() -> Result<i64> {
    let text = fs::read_to_string("/proc/net/sockstat").context("/proc/net/sockstat")?;
    kernel_buffers_in(&text).context("/proc/net/sockstat has no memory of TCP")
}

fn kernel_buffers_in(text: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let (_, pages) = line.rsplit_once(" mem ")?;
    Some(pages.trim().parse::<i64>().ok()? * 4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_buffers_are_read() {
        let text =
            "sockets: used 70\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3\nUDP: inuse 0 mem 0\n";
        assert_eq!(kernel_buffers_in(text), Some(12_288));
        assert_eq!(kernel_buffers_in("UDP: inuse 0 mem 0\n"), None);
    }
}
