//! The graph of the modules: no cycle in any crate, and the gateway's layers. Each rule is first
//! tested on planted violations.

use xtask::layering::{GATEWAY, Layers, Manifest, SourceFile, Workspace, cycles, graphs, layers};

/// An invented crate in `folder`, whose files are relative to its `src`.
fn made_up(folder: &str, files: &[(&str, &str)]) -> Workspace {
    let file = |(path, text): &(&str, &str)| SourceFile::new(&format!("{folder}/src/{path}"), text);
    Workspace {
        files: files.iter().map(file).collect(),
        manifests: vec![Manifest::parse(folder, "[package]\nname = \"made-up\"\n")],
    }
}

/// The only cycle in an invented crate, as the rule reports it.
#[track_caller]
fn cycle(files: &[(&str, &str)]) -> String {
    let found = cycles(&made_up("crates/hub", files));
    assert_eq!(found.len(), 1, "{files:?}: {found:?}");
    found.into_iter().next().expect("one")
}

#[track_caller]
fn has_no_cycle(files: &[(&str, &str)]) {
    let found = cycles(&made_up("crates/hub", files));
    assert!(found.is_empty(), "{files:?}: {found:?}");
}

/// All uses in an invented crate, such as `a -> b`.
fn uses(files: &[(&str, &str)]) -> Vec<String> {
    let graphs = graphs(&made_up("crates/hub", files));
    let pairs = |graph: &xtask::layering::Graph| {
        let pair = |from: &String| -> Vec<String> {
            graph.used_by(from).map(|to| format!("{from} -> {to}")).collect()
        };
        graph.uses.keys().flat_map(pair).collect::<Vec<_>>()
    };
    graphs.iter().flat_map(pairs).collect()
}

const ROOT: (&str, &str) = ("lib.rs", "mod a;\nmod b;\nmod c;\n");

#[test]
fn two_modules_that_use_each_other_are_a_cycle() {
    let told = cycle(&[ROOT, ("a.rs", "\nuse crate::b::B;"), ("b.rs", "use crate::a::A;")]);
    for part in [
        "crates/hub/src/lib.rs: ",
        "a -> b -> a",
        "crates/hub/src/a.rs:2: a uses b",
        "crates/hub/src/b.rs:1: b uses a",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_cycle_of_three_through_a_submodule_is_reported_in_full() {
    let told = cycle(&[
        ROOT,
        ("a.rs", "mod deep;\n"),
        ("a/deep.rs", "use crate::b::B;"),
        ("b/mod.rs", "use super::c;"),
        ("c.rs", "fn f() { crate::a::g() }"),
    ]);
    for part in ["a -> b -> c -> a", "a/deep.rs:1: a uses b", "b/mod.rs:1: b uses c"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn every_way_to_name_a_module_counts() {
    for (how, text) in [
        ("super from the file's place", "use super::b::B;"),
        ("a nested block", "fn f() { if x { use crate::b::B; } }"),
        ("a path in an expression", "fn f() -> u8 { crate::b::N }"),
        ("a path in a type", "struct A(Vec<crate::b::B>);"),
        ("a path after in", "fn f() { for x in crate::b::all() {} }"),
        ("a group", "use crate::{c::C, b::{self, d::E}};"),
        ("a nested group", "use {std::fmt, super::{c, b as d}};"),
        ("another name", "use crate::b as other;\nfn f() { other::g() }"),
        ("another name of the root", "use crate as root;\nfn f() { root::b::g() }"),
        ("another name of super", "use super::{self as up};\nfn f() { up::b::g() }"),
        ("a module in place", "mod d { use super::super::b::B; }"),
        ("a module in place, by glob", "mod d { use super::super::*; fn f() { b::g() } }"),
        ("self first", "use self::super::b::B;"),
        ("a macro", "macro_rules! m { () => { $crate::b::g() } }"),
        ("a glob", "use crate::b::*;"),
        ("what the root re-exports", "use crate::Other;"),
        ("what the root re-exports by glob", "fn f() -> super::Everything { 1 }"),
        ("a glob of the root", "use crate::*;\nfn f(x: Other) {}"),
        ("an exported macro", "fn f() { crate::shout!() }"),
        ("a condition that is not about tests", "#[cfg(not(test))] use crate::b::B;"),
    ] {
        let root = (
            "lib.rs",
            "mod a;\nmod b;\nmod c;\npub use b::{B as Other, d::E};\npub use crate::b::*;\n",
        );
        let below = "use crate::a::A;\npub struct Everything;\n#[macro_export] macro_rules! shout { () => {} }";
        let told = cycle(&[root, ("a.rs", text), ("b.rs", below), ("c.rs", "")]);
        assert!(told.contains("a -> b -> a"), "{how}: {told}");
    }
}

#[test]
fn super_is_resolved_from_the_place_of_the_file() {
    let deep = "use super::super::super::b::B;";
    let told = cycle(&[
        ROOT,
        ("a.rs", "mod d;"),
        ("a/d/mod.rs", "mod e;"),
        ("a/d/e.rs", deep),
        ("b.rs", "use crate::a::A;"),
    ]);
    assert!(told.contains("a/d/e.rs:1: a uses b"), "{told}");
    // One `super` fewer stays inside `a`.
    has_no_cycle(&[
        ROOT,
        ("a.rs", "mod d;"),
        ("a/d/mod.rs", "mod e;"),
        ("a/d/e.rs", "use super::super::b::B;"),
        ("b.rs", "use crate::a::A;"),
    ]);
}

#[test]
fn text_that_is_not_a_use_is_ignored() {
    for text in [
        "//! See [`crate::b`].\n/// Like `crate::b::B`.\nfn f() { let x = \"crate::b::B\"; }",
        "#[cfg(test)]\nmod tests { use crate::b::B; }",
        "#[cfg(test)]\nuse crate::b::B;\nfn f() {}",
        "#[cfg(test)]\nmod tests;",
        "mod b { pub fn g() {} }\nfn f() { b::g(); self::b::g() }",
        "use other::b::B;",
        "pub(in crate::a) fn f() {}",
        "pub(crate) fn f(b: u8) { b.c() }",
    ] {
        let below = "use crate::a::A;";
        has_no_cycle(&[ROOT, ("a.rs", text), ("a/tests.rs", "use crate::b::B;"), ("b.rs", below)]);
    }
    // A file that no module declares belongs to no crate, including tests and examples.
    has_no_cycle(&[
        ("lib.rs", "mod a;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::a::A;"),
    ]);
}

#[test]
fn items_of_the_crate_root_are_above_its_modules() {
    let root = ("lib.rs", "mod a;\nuse a::A;\npub const SIZE: usize = A;\n");
    let told = cycle(&[root, ("a.rs", "fn f() -> usize { crate::SIZE }")]);
    assert!(told.contains("a -> crate -> a"), "{told}");
}

#[test]
fn programs_are_crates_of_their_own() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", ""),
        ("bin/one/main.rs", "mod x;\nmod y;"),
        ("bin/one/x.rs", "use crate::y;"),
        ("bin/one/y.rs", "use crate::x;"),
        ("bin/two.rs", "use made_up::a;"),
    ];
    assert!(cycle(&files).starts_with("crates/hub/src/bin/one/main.rs: "));
}

#[test]
fn a_cycle_counts_in_every_crate() {
    for folder in ["loadtest", "benches", "benches/peers", "crates/xtask", "crates/new"] {
        let files = [ROOT, ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A;")];
        let found = cycles(&made_up(folder, &files));
        assert_eq!(found.len(), 1, "{folder}");
        assert!(found[0].starts_with(&format!("{folder}/src/lib.rs: ")), "{found:?}");
    }
}

#[test]
fn each_cycle_of_a_crate_is_reported() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\nmod c;\nmod d;\nmod e;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::a::A;"),
        ("c.rs", "use crate::{a, d};"),
        ("d.rs", "use crate::e::E;"),
        ("e.rs", "use crate::c::C;"),
    ];
    let found = cycles(&made_up("crates/hub", &files));
    assert!(found.len() == 2, "{found:?}");
    assert!(found[0].contains("a -> b -> a") && found[1].contains("c -> d -> e -> c"), "{found:?}");
}

const ORDER: Layers<'static> =
    Layers { root: "crates/hub/src/lib.rs", order: &["a", "b", "c"], unplaced: &[], upward: &[] };

/// The only violation of an invented crate's layers.
#[track_caller]
fn misplaced(files: &[(&str, &str)], order: &Layers<'_>) -> String {
    let found = layers(&made_up("crates/hub", files), order);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().expect("one")
}

#[test]
fn a_module_uses_only_those_below_it() {
    let down = [ROOT, ("a.rs", ""), ("b.rs", "use crate::a::A;"), ("c.rs", "use crate::{a, b};")];
    assert!(layers(&made_up("crates/hub", &down), &ORDER).is_empty());
    let up = [ROOT, ("a.rs", "mod d;"), ("a/d.rs", "\nuse crate::c::C;"), down[2], ("c.rs", "")];
    let told = misplaced(&up, &ORDER);
    assert!(told.starts_with("crates/hub/src/a/d.rs:2: `a` must not use `c`"), "{told}");
    let root = [
        ("lib.rs", "mod a;\nmod b;\nmod c;\npub const N: u8 = 1;"),
        ("a.rs", "fn f() -> u8 { crate::N }"),
        ("b.rs", ""),
        ("c.rs", ""),
    ];
    assert!(misplaced(&root, &ORDER).contains("`a` must not use `crate`"));
    let known = Layers { upward: &[("a", "c")], ..ORDER };
    assert!(layers(&made_up("crates/hub", &up), &known).is_empty());
    assert!(misplaced(&down, &known).contains("`a` does not use `c` any more"));
}

#[test]
fn every_module_has_a_layer() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\nmod c;\nmod new;"),
        ("a.rs", ""),
        ("b.rs", ""),
        ("c.rs", ""),
        ("new.rs", ""),
    ];
    assert!(misplaced(&files, &ORDER).contains("module `new` has no layer"));
    let unplaced = Layers { unplaced: &["new"], ..ORDER };
    assert!(layers(&made_up("crates/hub", &files), &unplaced).is_empty());
    let stale = Layers { unplaced: &["new", "gone"], ..ORDER };
    assert!(misplaced(&files, &stale).contains("remove `gone`"));
    let placed = Layers { order: &["a", "b", "c", "new"], ..unplaced };
    assert!(misplaced(&files, &placed).contains("remove `new`"));
    let elsewhere = Layers { root: "crates/other/src/lib.rs", ..ORDER };
    assert!(misplaced(&files, &elsewhere).contains("no such root file"));
}

#[test]
fn uses_are_by_top_level_module() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\npub use b::B;\npub fn f() { a::g() }"),
        ("a.rs", "mod d;\nuse d::D;\nuse self::d::E;"),
        ("a/d.rs", "use super::X;\nuse crate::B;"),
        ("b.rs", ""),
    ];
    assert_eq!(uses(&files), ["a -> b", "crate -> a", "crate -> b"]);
}

#[test]
fn no_module_of_the_repository_is_in_a_cycle() {
    crate::holds(cycles);
}

#[test]
fn the_gateway_keeps_its_layers() {
    crate::holds(|workspace| layers(workspace, &GATEWAY));
}

#[test]
fn the_graphs_of_the_repository_are_not_empty() {
    let graphs = graphs(&crate::REPOSITORY);
    for root in [
        "crates/frame/src/lib.rs",
        "crates/acceptor/src/lib.rs",
        "crates/hub/src/lib.rs",
        "crates/gateway/src/lib.rs",
        "crates/xtask/src/main.rs",
        "loadtest/src/lib.rs",
        "benches/src/lib.rs",
    ] {
        let graph = graphs.iter().find(|graph| graph.root == root).expect(root);
        let edges: usize = graph.uses.values().map(std::collections::BTreeMap::len).sum();
        assert!(edges >= 3 && graph.modules.len() >= 3, "{root}: {edges} uses");
    }
}
