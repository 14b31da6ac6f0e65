//! The rules, each a function from the repository to its faults. A fault says what is wrong, where,
//! and how to fix it. Never reads a file.

use xtask::layering::{Manifest, SourceFile, Workspace, is_root};

pub type Rule = fn(&Workspace) -> Vec<String>;

/// Each package of the workspace, and those that it may use. `frame`, `tls`, `acceptor` and `hub` do not
/// depend on each other; they meet only in the gateway.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("ringway-frame", &[]),
    ("ringway-http", &[]),
    ("ringway-tls", &[]),
    ("ringway-acceptor", &[]),
    ("ringway-hub", &[]),
    (
        "ringway",
        &[
            "ringway-frame",
            "ringway-http",
            "ringway-tls",
            "ringway-acceptor",
            "ringway-hub",
            TESTBED,
        ],
    ),
    ("ringway-loadtest", &["ringway-frame", "ringway-http", "ringway-tls", "ringway-acceptor"]),
    (
        "ringway-benches",
        &["ringway-frame", "ringway-http", "ringway-acceptor", "ringway-hub", TESTBED],
    ),
    ("ringway-peers", &[]),
    (TESTBED, &["ringway-tls"]),
    ("xtask", &[TESTBED]),
];

/// Only for tests and tools.
const TESTBED: &str = "ringway-testbed";

/// Packages that are built into something a user runs.
const SHIPPED: [&str; 7] = [
    "ringway-frame",
    "ringway-http",
    "ringway-tls",
    "ringway-acceptor",
    "ringway-hub",
    "ringway",
    "ringway-loadtest",
];

/// Where unsafe code may be: all paths with these beginnings. The last one is not part of the
/// product: the floor shows what io_uring costs without our layer above it, so it has its own.
const UNSAFE_PLACES: [&str; 4] = [
    "crates/frame/src/mask/",
    "crates/acceptor/src/uring/",
    "crates/acceptor/src/tcp_progress.rs",
    "benches/peers/src/bin/floor/ring.rs",
];

/// The hard limit; the aim is about 400.
pub const LINES_MAX: usize = 500;

const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Names that say nothing about their content.
const EMPTY_NAMES: [&str; 6] = ["helper", "util", "common", "misc", "manager", "handler"];

fn is_ours(package: &str) -> bool {
    package == "ringway" || package.starts_with("ringway-")
}

fn allowed(package: &str) -> Option<&'static [&'static str]> {
    MAY_USE.iter().find(|(name, _)| *name == package).map(|(_, uses)| *uses)
}

pub fn dependencies(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for Manifest { folder, package, dependencies, built_in } in &workspace.manifests {
        let Some(allowed) = allowed(package) else {
            faults.push(format!(
                "{folder}/Cargo.toml: {package} has no place in the layering; add it to MAY_USE"
            ));
            continue;
        };
        if SHIPPED.contains(&package.as_str()) && built_in.contains(TESTBED) {
            faults.push(format!(
                "{folder}/Cargo.toml: {package} is shipped and {TESTBED} is not; name it in \
                 dev-dependencies"
            ));
        }
        for dependency in dependencies {
            if is_ours(dependency) && !allowed.contains(&dependency.as_str()) {
                faults.push(format!(
                    "{folder}/Cargo.toml: {package} must not depend on {dependency}; \
                     only the gateway joins the layers"
                ));
            }
        }
    }
    faults
}

/// The package that a file belongs to: the innermost one whose folder it is in.
fn package_of<'a>(workspace: &'a Workspace, file: &SourceFile) -> Option<&'a Manifest> {
    let is_around = |manifest: &&Manifest| {
        file.path.strip_prefix(&manifest.folder).is_some_and(|rest| rest.starts_with('/'))
    };
    workspace.manifests.iter().filter(is_around).max_by_key(|manifest| manifest.folder.len())
}

pub fn imports(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for manifest in &workspace.manifests {
        let allowed = allowed(&manifest.package).unwrap_or_default();
        let own = |file: &&SourceFile| {
            package_of(workspace, file).is_some_and(|owner| owner.folder == manifest.folder)
        };
        for file in workspace.files.iter().filter(own) {
            for (line, word) in file.words() {
                let package = word.replace('_', "-");
                let forbidden = package.starts_with("ringway-")
                    && MAY_USE.iter().any(|(name, _)| *name == package)
                    && package != manifest.package
                    && !allowed.contains(&package.as_str());
                if forbidden {
                    faults.push(format!(
                        "{}:{line}: {} must not name {word}; only the gateway joins the layers",
                        file.path, manifest.package
                    ));
                }
            }
        }
    }
    faults
}

pub fn unsafe_places(workspace: &Workspace) -> Vec<String> {
    in_each_file(workspace, |file, faults| {
        if UNSAFE_PLACES.iter().any(|place| file.path.starts_with(place)) {
            return;
        }
        for (line, _) in file.words().filter(|(_, word)| *word == "unsafe") {
            faults.push(format!(
                "{}:{line}: unsafe code outside {}; use a safe wrapper from there",
                file.path,
                UNSAFE_PLACES.join(", ")
            ));
        }
    })
}

pub fn crate_roots(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for Manifest { folder, .. } in &workspace.manifests {
        for file in workspace.files.iter().filter(|file| is_root(folder, &file.path)) {
            let code: String = file.code.split_whitespace().collect();
            let strict = !holds_unsafe_place(&file.path);
            // A root without code has nothing to forbid.
            let empty = code.is_empty() || code == "fnmain(){}";
            let forbids = code.contains("#![forbid(unsafe_code)]");
            let denies = code.contains("#![deny(unsafe_code)]");
            if empty || forbids || (denies && !strict) {
                continue;
            }
            let wanted = if strict { "forbid" } else { "deny" };
            faults.push(format!("{}: add `#![{wanted}(unsafe_code)]` below its head", file.path));
        }
    }
    faults
}

/// Whether a place where unsafe code may be is below the root's folder.
fn holds_unsafe_place(root: &str) -> bool {
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    UNSAFE_PLACES.iter().any(|place| {
        let below = place.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
        // A program's files do not belong to the library, nor to other programs in the same folder.
        below.is_some_and(|rest| !rest.starts_with("bin/") && !folder.ends_with("/bin"))
    })
}

pub fn lengths(workspace: &Workspace) -> Vec<String> {
    in_each_file(workspace, |file, faults| {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!(
                "{}: {lines} lines, over {LINES_MAX}; find its second reason to change \
                 and give that a file of its own",
                file.path
            ));
        }
    })
}

pub fn heads(workspace: &Workspace) -> Vec<String> {
    in_each_file(workspace, |file, faults| {
        let head = file.text.lines().take_while(|line| line.starts_with("//!"));
        if !head.into_iter().any(|line| line.len() > "//! ".len()) {
            faults.push(format!(
                "{}:1: no head; begin with `//!` lines that say what it is and what it never does",
                file.path
            ));
        }
    })
}

pub fn unfinished(workspace: &Workspace) -> Vec<String> {
    in_each_file(workspace, |file, faults| {
        let tokens: Vec<(usize, &str)> = file.tokens().collect();
        for pair in tokens.windows(2) {
            let (line, word) = pair[0];
            if UNFINISHED.contains(&word) && pair[1].1 == "!" {
                faults.push(format!("{}:{line}: `{word}!` is left; finish it", file.path));
            }
        }
    })
}

pub fn names(workspace: &Workspace) -> Vec<String> {
    in_each_file(workspace, |file, faults| {
        for part in file.path.trim_end_matches(".rs").split('/') {
            if says_nothing(part) {
                faults.push(format!(
                    "{}: `{part}` says nothing; name it after what is inside",
                    file.path
                ));
            }
        }
        let tokens: Vec<(usize, &str)> = file.tokens().collect();
        for pair in tokens.windows(2) {
            let (line, word) = pair[1];
            if pair[0].1 == "fn" && word.starts_with("get_") {
                faults.push(format!("{}:{line}: `{word}`: drop the `get_`", file.path));
            }
            if pair[0].1 == "mod" && says_nothing(word) {
                faults.push(format!(
                    "{}:{line}: module `{word}` says nothing; name it after what is inside",
                    file.path
                ));
            }
        }
    })
}

fn says_nothing(name: &str) -> bool {
    name.split('_').any(|word| {
        EMPTY_NAMES.contains(&word) || EMPTY_NAMES.contains(&word.trim_end_matches('s'))
    })
}

fn in_each_file(
    workspace: &Workspace,
    mut judge: impl FnMut(&SourceFile, &mut Vec<String>),
) -> Vec<String> {
    let mut faults = Vec::new();
    for file in &workspace.files {
        judge(file, &mut faults);
    }
    faults
}
