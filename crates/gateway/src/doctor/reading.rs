//! The only way in which doctor opens existing files: whatever a path refers to, opening it does
//! not block and reading it ends.
//!
//! It never creates a file, and does not interpret its content.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// How to treat a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Follow it: files of the host may be links.
    Followed,
    /// Fail: the directory may belong to a user other than root.
    Refused,
}

/// Reads a regular file of at most `bytes_max` bytes of text.
///
/// # Errors
/// The file does not exist, is not a regular file, is too long, is not text, or is a refused link.
pub fn text(path: &Path, links: Links, bytes_max: u64) -> io::Result<String> {
    read(open(path, OFlags::RDONLY, links)?, bytes_max)
}

/// As [`text`], for a file that only root and this user can have written.
///
/// # Errors
/// As [`text`] with [`Links::Refused`], or another user owns the file or may write to it.
pub fn trusted_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let file = open(path, OFlags::RDONLY, Links::Refused)?;
    let metadata = file.metadata()?;
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("user {owner} owns it, so it cannot be trusted")));
    }
    if mode & OTHERS_MAY_WRITE != 0 {
        let mode = mode & 0o7777;
        return Err(io::Error::other(format!("other users may write to it (mode {mode:o})")));
    }
    read(file, bytes_max)
}

/// The write bits of group and others, inode(7).
const OTHERS_MAY_WRITE: u32 = 0o022;

fn read(file: File, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it is longer than {} KiB", bytes_max >> 10)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text"))
}

/// Opens a regular file. Opening a FIFO does not wait for its other end, open(2); nor does a read.
///
/// # Errors
/// The file cannot be opened this way, is not a regular file, or is a refused link.
pub fn open(path: &Path, how: OFlags, links: Links) -> io::Result<File> {
    let always = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = match links {
        Links::Followed => how | always,
        Links::Refused => how | always | OFlags::NOFOLLOW,
    };
    let opened = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(opened.map_err(|errno| match (errno, links) {
        (Errno::LOOP, Links::Refused) => io::Error::other("it is a symbolic link"),
        // The error when a FIFO without a reader, or a socket, is opened for writing.
        (Errno::NXIO, _) => not_regular(),
        _ => errno.into(),
    })?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    /// The error for a path that must not be read.
    #[track_caller]
    fn reason(path: &Path, links: Links) -> String {
        text(path, links, 1024).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_is_not_regular_is_refused_at_once() {
        let root = tempfile::TempDir::new().unwrap();
        let fifo = root.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&fifo, root.path(), Path::new("/dev/zero")] {
            assert_eq!(reason(path, Links::Followed), "it is not a regular file", "{path:?}");
        }
        let error = open(&fifo, OFlags::WRONLY, Links::Followed).unwrap_err().to_string();
        assert_eq!(error, "it is not a regular file");
    }

    #[test]
    fn a_symlink_is_followed_only_where_allowed() {
        let root = tempfile::TempDir::new().unwrap();
        let link = root.path().join("link");
        fs::write(root.path().join("file"), "text").unwrap();
        symlink(root.path().join("file"), &link).unwrap();
        assert_eq!(text(&link, Links::Followed, 1024).unwrap(), "text");
        assert_eq!(reason(&link, Links::Refused), "it is a symbolic link");
    }

    #[test]
    fn only_a_file_that_no_other_user_can_write_is_trusted() {
        use std::os::unix::fs::{PermissionsExt, chown};
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "text").unwrap();
        for (mode, is_trusted) in [(0o644, true), (0o600, true), (0o664, false), (0o646, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(trusted_text(&path, 1024).is_ok(), is_trusted, "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        // Only root can change a file's owner.
        if chown(&path, Some(65_534), None).is_ok() {
            let reason = trusted_text(&path, 1024).unwrap_err().to_string();
            assert_eq!(reason, "user 65534 owns it, so it cannot be trusted");
        }
    }

    #[test]
    fn the_bound_is_exact() {
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("file");
        fs::write(&path, [b'x'; 1024]).unwrap();
        assert_eq!(text(&path, Links::Refused, 1024).unwrap().len(), 1024);
        fs::write(&path, [b'x'; 1025]).unwrap();
        assert_eq!(reason(&path, Links::Refused), "it is longer than 1 KiB");
        // Longer than its reported length.
        assert!(text(Path::new("/proc/self/status"), Links::Followed, 16).is_err());
    }
}
