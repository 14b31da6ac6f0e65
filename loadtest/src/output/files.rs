//! Checks whether a command can write its files: better before a long run than after it.
//!
//! It leaves no new file behind, and changes none.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileTypeExt,
    path::Path,
};

use anyhow::{Context, Result};

use crate::{
    args::{Command, OutputArgs},
    exit::{require, usage},
    saved::write,
};

/// Checks all files that a command names for its results.
///
/// # Errors
/// A [`Usage`](crate::exit::Usage) that names the option whose file cannot be written.
pub fn check(command: &Command) -> Result<()> {
    let output = match command {
        Command::Echo(args) => &args.common.output,
        Command::Calibrate(args) => &args.output,
        Command::Fanout(args) => &args.common.output,
        Command::Sweep(args) => &args.common.output,
        Command::Merge(args) => &args.output,
        Command::Idle(args) => &args.common.output,
        Command::Churn(args) => &args.common.output,
        Command::Storm(args) => &args.common.output,
        Command::Compare(args) => {
            return check_each(args.json.as_deref(), args.html.as_deref(), args.save.as_deref());
        }
        // `compare` itself checks the options that it passes on.
        Command::Tester(_) => return Ok(()),
    };
    let OutputArgs { json, html, save, .. } = output;
    check_each(json.as_deref(), html.as_deref(), save.as_deref())
}

fn check_each(json: Option<&Path>, html: Option<&Path>, save: Option<&Path>) -> Result<()> {
    let json = json.filter(|path| *path != Path::new("-"));
    for (option, path) in [("--json", json), ("--html", html), ("--save", save)] {
        let Some(path) = path else { continue };
        check_one(option, path)?;
        if option == "--save" && write::is_replaced(path) {
            check_one(option, &write::beside(path))?;
        }
    }
    Ok(())
}

fn check_one(option: &str, path: &Path) -> Result<()> {
    if let Ok(about) = fs::metadata(path) {
        require(!about.is_dir(), || {
            format!("{option}: {} is a folder; name a file", path.display())
        })?;
        if about.file_type().is_fifo() {
            // The reader would see the close as the end of the output.
            return Ok(());
        }
    }
    try_open(path).with_context(|| format!("{option}: {}", path.display())).map_err(usage)
}

/// Opens a file for writing, and removes it again if it did not exist before.
fn try_open(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A symbolic link may lead to a file that does not exist yet.
            let is_there = path.exists();
            OpenOptions::new().append(true).create(true).open(path)?;
            if is_there { Ok(()) } else { fs::remove_file(fs::canonicalize(path)?) }
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_check_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new, connection) = (
            folder.path().join("old"),
            folder.path().join("new"),
            folder.path().join("connection"),
        );
        fs::write(&old, "text").unwrap();
        symlink(&new, &connection).unwrap();
        for path in [&old, &new, &connection] {
            check_each(Some(path), Some(path), Some(path)).unwrap();
        }
        check_each(Some(Path::new("-")), None, Some(Path::new("/dev/full"))).unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "text");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(connection.is_symlink());
        let said = check_each(None, Some(folder.path()), None).unwrap_err().to_string();
        assert!(said.contains("--html") && said.contains("folder"), "{said}");
    }
}
