//! ARCHITECTURE.md states the size of each crate: the test fails when a size is off by more than a
//! tenth. Never judges how large a crate may be.

#![forbid(unsafe_code)]

use std::{fs, path::Path};

/// A size in ARCHITECTURE.md may differ by this share, so that not every commit changes it.
const TOLERANCE: f64 = 0.1;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The crates in the table of ARCHITECTURE.md, each with the size that it states.
fn stated(document: &str) -> Vec<(String, f64)> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (folder, rest) = row.split_once("` | ")?;
        let (lines, _) = rest.split_once(" | ")?;
        Some((folder.to_owned(), lines.replace(',', "").parse().ok()?))
    })
    .collect()
}

/// Lines of Rust below a folder that belong to its own crate.
fn lines(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("the folder exists");
    entries
        .map(|entry| entry.expect("it can be read").path())
        .map(|path| match path.is_dir() {
            true if path.ends_with("target") || path.join("Cargo.toml").exists() => 0,
            true => lines(&path),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                fs::read_to_string(path).expect("it is text").lines().count()
            }
            false => 0,
        })
        .sum()
}

fn is_off(stated: f64, found: usize) -> bool {
    (stated - found as f64).abs() > TOLERANCE * found as f64
}

#[test]
fn the_sizes_given_are_those_of_the_crates() {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("it is there");
    let stated = stated(&document);
    assert_eq!(stated.len(), 11, "a size for each crate: {stated:?}");
    for (folder, size) in stated {
        let found = lines(&root().join(&folder));
        assert!(!is_off(size, found), "{folder} has {found} lines, not {size}");
    }
}

#[test]
fn a_wrong_size_is_found() {
    assert_eq!(stated("| `a/b` | 1,200 | is | never |"), [("a/b".to_owned(), 1200.0)]);
    assert!(stated("| `a/b` | what it is | never |").is_empty());
    assert!(is_off(1200.0, 1400) && is_off(1200.0, 1000) && !is_off(1200.0, 1250));
}
