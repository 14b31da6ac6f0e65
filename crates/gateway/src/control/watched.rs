//! Files that are read again when they have changed.
//!
//! It only looks at their inode, length and time, and never reads one.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

/// How often files are looked at. Several files change in several steps: they are read once they have
/// stayed the same from one look to the next.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// A file as it was seen: inode, length, and time of the last change; `None` if it is missing.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Files as they were when they were read, and at the last look.
#[derive(Debug)]
pub struct Watched {
    loaded: Vec<Stamp>,
    before: Vec<Stamp>,
}

impl Watched {
    /// Files that have just been read.
    pub fn of<'p>(files: impl Iterator<Item = &'p Path>) -> Self {
        let now: Vec<_> = files.map(stamp).collect();
        Self { loaded: now.clone(), before: now }
    }

    /// Looks at the files; whether they are to be read again now, which counts as done.
    pub fn is_due<'p>(&mut self, files: impl Iterator<Item = &'p Path>, is_asked: bool) -> bool {
        let now: Vec<_> = files.map(stamp).collect();
        let is_due = is_asked || (now != self.loaded && now == self.before);
        if is_due {
            self.loaded.clone_from(&now);
        }
        self.before = now;
        is_due
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_due_when_they_have_stayed_the_same_after_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&first, "1").unwrap();
        let files = || [&*first, &*second].into_iter();
        let mut watched = Watched::of(files());
        assert!(!watched.is_due(files(), false));
        fs::write(&first, "12").unwrap();
        assert!(!watched.is_due(files(), false), "it may still change");
        fs::write(&second, "1").unwrap();
        assert!(!watched.is_due(files(), false));
        assert!(watched.is_due(files(), false));
        assert!(!watched.is_due(files(), false));
        assert!(watched.is_due(files(), true), "a signal asks for it");
    }
}
