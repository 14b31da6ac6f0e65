//! Only one doctor at a time changes a host: two of them could lose each other's undo record.
//!
//! Examining a host, and a dry run, need no lock.

use std::fs::{self, File};

use anyhow::{Context, bail};
use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};

use crate::doctor::{
    host::Host,
    reading::{self, Links},
};

/// The lock file. It is never removed, because two processes could then lock two files of this
/// name.
pub const PATH: &str = "/var/lib/ringway/doctor.lock";

/// Releases the lock on drop; the kernel releases it when the process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing it unlocks, flock(2)")] File);

impl Lock {
    /// Takes the lock of a host, without waiting for it.
    ///
    /// # Errors
    /// Another process has the lock, or the file cannot be created.
    pub fn take(host: &Host) -> anyhow::Result<Self> {
        let path = host.path(PATH);
        let place = "the lock and the old values cannot be stored, so nothing was changed";
        let directory = path.parent().context("the path has a parent directory")?;
        let file = fs::create_dir_all(directory)
            .and_then(|()| reading::open(&path, OFlags::RDWR | OFlags::CREATE, Links::Refused))
            .with_context(|| format!("{}: {place}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(Errno::WOULDBLOCK) => bail!(
                "another doctor is running, so nothing was changed; try again when it has ended \
                 (fuser {} names it)",
                path.display()
            ),
            Err(errno) => Err(errno).with_context(|| format!("{}: {place}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_process_holds_the_lock_until_it_is_dropped() {
        let root = tempfile::TempDir::new().unwrap();
        let host = Host::below(root.path());
        let lock = Lock::take(&host).unwrap();
        let error = Lock::take(&host).unwrap_err().to_string();
        assert!(error.contains("another doctor is running"), "{error}");
        drop(lock);
        Lock::take(&host).unwrap();
    }

    #[test]
    fn a_symlink_in_place_of_the_lock_file_is_not_followed() {
        let root = tempfile::TempDir::new().unwrap();
        let host = Host::below(root.path());
        fs::create_dir_all(host.path(PATH).parent().unwrap()).unwrap();
        let victim = root.path().join("victim");
        std::os::unix::fs::symlink(&victim, host.path(PATH)).unwrap();
        let error = format!("{:#}", Lock::take(&host).unwrap_err());
        assert!(error.contains("it is a symbolic link"), "{error}");
        assert!(!victim.exists());
    }
}
