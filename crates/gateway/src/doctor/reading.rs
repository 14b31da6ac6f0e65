//! The one way in which doctor opens files that are there: whatever a path turns out to be, nothing
//! waits for it and nothing reads on without end.
//!
//! It makes no file, and what a file says is not judged here.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// What becomes of a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Followed: files of the host may be links.
    Followed,
    /// An error: the directory may belong to somebody who is not root.
    Refused,
}

/// Reads a regular file of at most `bytes_max` bytes of text.
///
/// # Errors
/// It is not there, no regular file, too long, no text, or a link that is refused.
pub fn text(path: &Path, links: Links, bytes_max: u64) -> io::Result<String> {
    let file = open(path, OFlags::RDONLY, links)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it is longer than {} KiB", bytes_max >> 10)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text"))
}

/// Opens a regular file. A FIFO does not wait for its other end, open(2); nor does any read.
///
/// # Errors
/// It cannot be opened so, is no regular file, or is a link that is refused.
pub fn open(path: &Path, how: OFlags, links: Links) -> io::Result<File> {
    let always = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = match links {
        Links::Followed => how | always,
        Links::Refused => how | always | OFlags::NOFOLLOW,
    };
    let opened = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(opened.map_err(|errno| match (errno, links) {
        (Errno::LOOP, Links::Refused) => io::Error::other("it is a symbolic link"),
        // What a FIFO without a reader, or a socket, says to a writer.
        (Errno::NXIO, _) => not_regular(),
        _ => errno.into(),
    })?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::other("it is no regular file")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    /// The reason for which a path is not read.
    #[track_caller]
    fn reason(path: &Path, links: Links) -> String {
        text(path, links, 1024).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let root = tempfile::TempDir::new().unwrap();
        let fifo = root.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&fifo, root.path(), Path::new("/dev/zero")] {
            assert_eq!(reason(path, Links::Followed), "it is no regular file", "{path:?}");
        }
        let error = open(&fifo, OFlags::WRONLY, Links::Followed).unwrap_err().to_string();
        assert_eq!(error, "it is no regular file");
    }

    #[test]
    fn a_link_is_followed_only_where_it_may_be() {
        let root = tempfile::TempDir::new().unwrap();
        let link = root.path().join("link");
        fs::write(root.path().join("file"), "text").unwrap();
        symlink(root.path().join("file"), &link).unwrap();
        assert_eq!(text(&link, Links::Followed, 1024).unwrap(), "text");
        assert_eq!(reason(&link, Links::Refused), "it is a symbolic link");
    }

    #[test]
    fn the_bound_is_exact() {
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("file");
        fs::write(&path, [b'x'; 1024]).unwrap();
        assert_eq!(text(&path, Links::Refused, 1024).unwrap().len(), 1024);
        fs::write(&path, [b'x'; 1025]).unwrap();
        assert_eq!(reason(&path, Links::Refused), "it is longer than 1 KiB");
        // Longer than its length says.
        assert!(text(Path::new("/proc/self/status"), Links::Followed, 16).is_err());
    }
}
