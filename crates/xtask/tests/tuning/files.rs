//! The places and kinds of the files, and the kinds that have one entry per line.
//!
//! It never reads a file whose kind another module checks.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output},
};

pub const TUNING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tuning");

pub fn path(name: &str) -> PathBuf {
    Path::new(TUNING).join(name)
}

pub fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("tuning/{name}: {error}"))
}

/// The output of a program; `None` if it is not installed, which is printed past the harness.
pub fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let _ = writeln!(io::stderr(), "SKIPPED: no {:?} here", command.get_program());
            None
        }
        Err(error) => panic!("{command:?}: {error}"),
    }
}

fn all_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The lines that are neither empty nor comments.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn every_file_is_of_a_checked_kind_and_is_in_the_readme() {
    let mut found = Vec::new();
    all_files(Path::new(TUNING), &mut found);
    assert!(found.len() >= 5, "{found:?}");
    let readme = text("README.md");
    for path in found {
        let name = path.strip_prefix(TUNING).unwrap().to_string_lossy().into_owned();
        let (folder, file) = name.split_once('/').unwrap_or(("", &name));
        let is_known = match folder {
            "" => file == "README.md",
            "limits.d" => file.ends_with(".conf"),
            "sysctl.d" if file.contains('/') => file.ends_with(".sh") || file.ends_with(".py"),
            "sysctl.d" => file.ends_with(".conf"),
            "systemd" => file.ends_with(".service") || file.ends_with(".socket"),
            "seccomp" => file.ends_with(".json"),
            "irq" => file.ends_with(".sh"),
            _ => false,
        };
        assert!(is_known, "tuning/{name} has a kind that no test checks; add a test here");
        // A script that measures a sysctl is named where its figure is used instead.
        let is_named = folder.is_empty() || name.matches('/').count() > 1 || readme.contains(&name);
        assert!(is_named, "tuning/README.md has no {name}");
    }
}

#[test]
fn shellcheck_accepts_every_script() {
    let mut found = Vec::new();
    all_files(Path::new(TUNING), &mut found);
    let scripts = found.iter().filter(|path| path.extension().is_some_and(|kind| kind == "sh"));
    let Some(output) = run(Command::new("shellcheck").args(scripts)) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// limits.conf(5): domain, type, item, value.
#[test]
fn limits_files_are_valid() {
    let text = text("limits.d/ringway.conf");
    let mut items = Vec::new();
    for line in lines(&text) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, kind, item, value] = fields[..] else { panic!("{line:?} has not four fields") };
        assert!(["-", "soft", "hard"].contains(&kind), "{line}");
        assert!(["nofile", "memlock"].contains(&item), "{line}");
        assert!(value.parse::<u64>().is_ok() || value == "unlimited", "{line}");
        items.push(item);
    }
    assert_eq!(items, ["nofile", "memlock"]);
}

/// sysctl.d(5): a key that the kernel has, if this kernel has it at all, and a value.
#[test]
fn sysctl_files_are_assignments() {
    let Ok(folder) = fs::read_dir(path("sysctl.d")) else { return };
    for entry in folder {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for line in lines(&text) {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line:?} has no ="));
            let key = key.trim().trim_start_matches('-');
            let is_key = key.split(['.', '/']).count() >= 2
                && key.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c));
            assert!(is_key && !value.trim().is_empty(), "{}: {line}", path.display());
        }
    }
}
