//! The layering as a test: which crate and which module may use which, where unsafe code may be,
//! how long a file may be and which names are too vague. Every rule is first tested on a bad
//! example, so that it is known to fail. Never builds anything, and never repeats checks of rustfmt
//! and clippy.

#![forbid(unsafe_code)]

#[path = "layering/modules.rs"]
mod modules;
#[path = "layering/rules.rs"]
mod rules;

use std::sync::LazyLock;

use rules::Rule;
use xtask::layering::{Manifest, SourceFile, Workspace};

/// Read once: blanking all comments and strings takes a second or two.
static REPOSITORY: LazyLock<Workspace> = LazyLock::new(Workspace::read);

/// Checks the repository against one rule.
#[track_caller]
fn holds(rule: Rule) {
    let faults = rule(&REPOSITORY);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Checks an invented repository against one rule; returns the faults.
fn finds(rule: Rule, files: &[(&str, &str)], manifests: &[(&str, &str)]) -> Vec<String> {
    rule(&Workspace {
        files: files.iter().map(|(path, text)| SourceFile::new(path, text)).collect(),
        manifests: manifests.iter().map(|(folder, text)| Manifest::parse(folder, text)).collect(),
    })
}

#[track_caller]
fn finds_in_file(rule: Rule, path: &str, text: &str) {
    assert!(!finds(rule, &[(path, text)], &[]).is_empty(), "{path}: {text}");
}

#[track_caller]
fn accepts_file(rule: Rule, path: &str, text: &str) {
    let found = finds(rule, &[(path, text)], &[]);
    assert!(found.is_empty(), "{path}: {text}: {found:?}");
}

#[test]
fn the_whole_repository_is_read() {
    let workspace = &*REPOSITORY;
    for folder in ["crates/frame", "crates/gateway", "benches", "benches/peers", "loadtest"] {
        assert!(workspace.manifests.iter().any(|one| one.folder == folder), "{folder}");
        let inside = |file: &SourceFile| file.path.starts_with(&format!("{folder}/src/"));
        assert!(workspace.files.iter().any(inside), "{folder}");
    }
    let own = |file: &SourceFile| file.path == "crates/xtask/tests/layering.rs";
    assert!(workspace.files.iter().any(own));
}

#[test]
fn crates_depend_only_downwards() {
    let manifest = |name: &str, dependency: &str| {
        format!("[package]\nname = \"{name}\"\n{dependency}\nversion = \"1\"\n")
    };
    for (name, dependency) in [
        ("ringway-frame", "[dependencies.ringway-acceptor]"),
        ("ringway-acceptor", "[dependencies.ringway-frame]"),
        ("ringway-hub", "[dev-dependencies.ringway-frame]"),
        ("ringway-hub", "[build-dependencies.ringway-frame]"),
        ("ringway-hub", "[target.'cfg(unix)'.dependencies.ringway-frame]"),
        ("ringway-hub", "[dependencies.other]\npackage = \"ringway-frame\""),
        ("ringway-loadtest", "[dependencies.ringway-hub]"),
        ("ringway-loadtest", "[dependencies.ringway]"),
        ("ringway-benches", "[dependencies.ringway]"),
        ("ringway-new", "[dependencies.serde]"),
        ("ringway", "[dependencies.ringway-testbed]"),
        ("ringway", "[target.'cfg(unix)'.build-dependencies.ringway-testbed]"),
        ("ringway-testbed", "[dependencies.ringway]"),
    ] {
        let text = manifest(name, dependency);
        assert_eq!(finds(rules::dependencies, &[], &[("x", &text)]).len(), 1, "{text}");
    }
    for (name, dependency) in [
        ("ringway", "[dependencies.ringway-hub]"),
        ("ringway-loadtest", "[dependencies.ringway-frame]"),
        ("ringway-hub", "[dependencies.bytes]"),
        ("ringway", "[dev-dependencies.ringway-testbed]"),
        ("xtask", "[dependencies.ringway-testbed]"),
    ] {
        let text = manifest(name, dependency);
        assert!(finds(rules::dependencies, &[], &[("x", &text)]).is_empty(), "{text}");
    }
    holds(rules::dependencies);
}

#[test]
fn sources_name_only_the_crates_below_them() {
    let package = "[package]\nname = \"ringway-hub\"\n";
    let in_hub =
        |text| finds(rules::imports, &[("crates/hub/src/a.rs", text)], &[("crates/hub", package)]);
    assert_eq!(in_hub("//! A.\nuse ringway_frame::Header;\n").len(), 1);
    assert!(in_hub("//! Never ringway_frame.\nuse ringway_hub::Log;\n").is_empty());
    // A package inside another one's folder is judged only by its own rules.
    let nested = [
        ("benches", "[package]\nname = \"ringway-benches\"\n"),
        ("benches/peers", "[package]\nname = \"ringway-peers\"\n"),
    ];
    let in_peers = |text| finds(rules::imports, &[("benches/peers/src/a.rs", text)], &nested);
    assert_eq!(in_peers("//! A.\nuse ringway_frame::Header;\n").len(), 1);
    assert!(in_peers("//! A.\nuse ringway_peers::Args;\n").is_empty());
    holds(rules::imports);
}

#[test]
fn unsafe_code_is_only_where_it_is_allowed() {
    let block = "//! A.\nfn f() { unsafe { g() } }\n";
    for path in [
        "crates/hub/src/log.rs",
        "crates/gateway/tests/echo.rs",
        "crates/frame/src/header.rs",
        "crates/frame/src/mask_keys.rs",
        "crates/acceptor/src/wheel.rs",
        "loadtest/src/mask.rs",
        "benches/peers/src/bin/floor/main.rs",
        "benches/peers/src/lib.rs",
    ] {
        finds_in_file(rules::unsafe_places, path, block);
    }
    for path in [
        "crates/frame/src/mask/x86.rs",
        "crates/acceptor/src/uring/ring.rs",
        "benches/peers/src/bin/floor/ring.rs",
    ] {
        accepts_file(rules::unsafe_places, path, block);
    }
    let words = "//! No unsafe.\n#![forbid(unsafe_code)]\nconst A: &str = \"unsafe\"; // unsafe\n";
    accepts_file(rules::unsafe_places, "crates/hub/src/lib.rs", words);
    holds(rules::unsafe_places);
}

#[test]
fn crate_roots_refuse_unsafe_code() {
    let root = |folder, text| {
        let path = format!("{folder}/src/lib.rs");
        finds(rules::crate_roots, &[(&path, text)], &[(folder, "[package]\nname = \"a\"\n")])
    };
    let forbids = "//! A.\n#![forbid(unsafe_code)]\nmod a;\n";
    let denies = "//! A.\n#![deny(unsafe_code)]\nmod a;\n";
    assert_eq!(root("crates/hub", denies).len(), 1);
    assert_eq!(root("crates/hub", "//! #![forbid(unsafe_code)]\nmod a;\n").len(), 1);
    assert_eq!(root("crates/frame", "//! A.\nmod a;\n").len(), 1);
    assert!(root("crates/hub", forbids).is_empty());
    assert!(root("crates/frame", denies).is_empty());
    let program = |path, text| {
        let manifests = [("benches/peers", "[package]\nname = \"a\"\n")];
        finds(rules::crate_roots, &[(path, text)], &manifests)
    };
    assert!(program("benches/peers/src/bin/floor/main.rs", denies).is_empty());
    assert_eq!(program("benches/peers/src/bin/floor/main.rs", "//! A.\nmod a;\n").len(), 1);
    assert_eq!(program("benches/peers/src/bin/other/main.rs", denies).len(), 1);
    assert_eq!(program("benches/peers/src/bin/other.rs", denies).len(), 1);
    assert_eq!(program("benches/peers/src/lib.rs", denies).len(), 1);
    assert!(program("benches/peers/src/bin/other/more.rs", denies).is_empty());
    holds(rules::crate_roots);
}

#[test]
fn files_are_short() {
    let long = format!("//! A.\n{}", "\n".repeat(rules::LINES_MAX));
    let fits = format!("//! A.\n{}", "\n".repeat(rules::LINES_MAX - 1));
    finds_in_file(rules::lengths, "crates/hub/src/log.rs", &long);
    accepts_file(rules::lengths, "crates/hub/src/log.rs", &fits);
    holds(rules::lengths);
}

#[test]
fn files_open_with_a_description() {
    for text in ["", "use a::b;\n", "/// A.\nfn f() {}\n", "// A.\n//! B.\n", "//!\n//!\n"] {
        finds_in_file(rules::heads, "crates/hub/src/log.rs", text);
    }
    accepts_file(rules::heads, "crates/hub/src/log.rs", "//! The log.\n\nuse a::b;\n");
    holds(rules::heads);
}

#[test]
fn no_todo_is_left() {
    for text in [
        "fn f() { todo!() }",
        "fn f() { unimplemented!(\"x\") }",
        "fn f() { dbg!(1); }",
        "fn f() { todo ! () }",
    ] {
        finds_in_file(rules::unfinished, "crates/hub/src/log.rs", text);
    }
    for text in ["// todo!()\n", "const A: &str = r#\"\"todo!()\"\"#;", "fn todo() {}"] {
        accepts_file(rules::unfinished, "crates/hub/src/log.rs", text);
    }
    holds(rules::unfinished);
}

#[test]
fn names_are_specific() {
    let plain = "//! A.\nfn length() {}\n";
    for path in [
        "crates/hub/src/util.rs",
        "crates/hub/src/log_helpers.rs",
        "crates/gateway/src/handler/mod.rs",
        "crates/gateway/tests/common/mod.rs",
    ] {
        finds_in_file(rules::names, path, plain);
    }
    for text in
        ["fn get_name() {}", "mod misc {}", "pub(crate) mod manager;", "pub  fn\nget_x() {}"]
    {
        finds_in_file(rules::names, "crates/hub/src/log.rs", text);
    }
    for text in [plain, "fn getrandom() {}", "let uncommon = map.get(1);", "// fn get_x()"] {
        accepts_file(rules::names, "crates/hub/src/log.rs", text);
    }
    holds(rules::names);
}
