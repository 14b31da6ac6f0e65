//! Files that are replaced as a whole: a reader sees the old one or the new one, even after a power
//! failure.
//!
//! It never follows a link at the temporary file's path.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Readable by all, writable by the owner, regardless of the umask.
const MODE: u32 = 0o644;

/// Writes a file and creates its directories; both are on disk when this returns.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory =
        path.parent().ok_or_else(|| io::Error::other("the path has a parent directory"))?;
    fs::create_dir_all(directory)?;
    let temporary = path.with_extension("new");
    // An interrupted run may have left a temporary file.
    absent(fs::remove_file(&temporary))?;
    let written =
        OpenOptions::new().write(true).create_new(true).mode(MODE).open(&temporary).and_then(
            |mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                fs::rename(&temporary, path)
            },
        );
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(directory)?.sync_all()
}

/// Removes a file, if it exists.
pub fn remove(path: &Path) -> io::Result<()> {
    absent(fs::remove_file(path))
}

fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("a/b/file.conf");
        write(&path, "a longer text\n").unwrap();
        write(&path, "short\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn a_symlink_at_the_temporary_path_is_not_followed() {
        let root = tempfile::TempDir::new().unwrap();
        let victim = root.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, root.path().join("file.new")).unwrap();
        write(&root.path().join("file.json"), "text").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(fs::read_to_string(root.path().join("file.json")).unwrap(), "text");
    }
}
