//! The graph of a crate: which of its top-level modules uses which, and where. A use of an item
//! that the root only re-exports is a use of the module that defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::references::{ModulePath, Reference, Scan, scan};
use super::{SourceFile, Workspace};

/// The node that stands for `lib.rs` or `main.rs` itself.
pub const CRATE_ROOT: &str = "crate";

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Relative to the repository.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One library or program, from its root file down.
pub struct Graph {
    /// The root file, such as `crates/hub/src/lib.rs`.
    pub root: String,
    /// The top-level modules, in the order of their names.
    pub modules: BTreeSet<String>,
    /// For each module, the modules that it uses, and every place where it does.
    pub uses: BTreeMap<String, BTreeMap<String, Vec<Place>>>,
}

impl Graph {
    /// The modules that one module uses.
    pub fn used_by(&self, module: &str) -> impl Iterator<Item = &str> {
        self.uses.get(module).into_iter().flat_map(|used| used.keys().map(String::as_str))
    }

    /// The first place where `from` uses `to`.
    pub fn first(&self, from: &str, to: &str) -> Option<&Place> {
        self.uses.get(from)?.get(to)?.first()
    }
}

/// The graphs of all libraries and programs of the workspace.
pub fn graphs(workspace: &Workspace) -> Vec<Graph> {
    let files: BTreeMap<&str, &SourceFile> =
        workspace.files.iter().map(|file| (file.path.as_str(), file)).collect();
    let is_root = |file: &&SourceFile| {
        workspace.manifests.iter().any(|manifest| is_root(&manifest.folder, &file.path))
    };
    workspace.files.iter().filter(is_root).map(|root| Reader::read(&files, root).graph()).collect()
}

/// Whether a file is the root of a library or a program of the package.
pub fn is_root(folder: &str, path: &str) -> bool {
    let Some(path) = path.strip_prefix(folder).and_then(|path| path.strip_prefix("/src/")) else {
        return false;
    };
    let program = path.strip_prefix("bin/").map(|path| path.trim_end_matches("/main.rs"));
    path == "lib.rs" || path == "main.rs" || program.is_some_and(|name| !name.contains('/'))
}

/// The data of one root.
struct Reader<'a> {
    root: &'a str,
    scans: Vec<(&'a str, ModulePath, Scan)>,
    modules: BTreeSet<String>,
    /// Names that the root imports from a module.
    exports: BTreeMap<String, String>,
    /// Modules from which the root imports all names.
    globs: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn read(files: &BTreeMap<&'a str, &'a SourceFile>, root: &'a SourceFile) -> Self {
        let folder = root.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut waiting = vec![(root, Vec::new())];
        let mut scans = Vec::new();
        while let Some((file, module)) = waiting.pop() {
            let scan = scan(file, &module);
            for child in &scan.children {
                let stem = format!("{folder}/{}", child.join("/"));
                let found = [format!("{stem}.rs"), format!("{stem}/mod.rs")]
                    .iter()
                    .find_map(|path| files.get(path.as_str()));
                waiting.extend(found.map(|file| (*file, child.clone())));
            }
            scans.push((file.path.as_str(), module, scan));
        }
        let modules = scans.iter().filter_map(|(_, module, _)| module.first().cloned());
        let mut modules: BTreeSet<String> = modules.collect();
        // A module that is inline in the root has no file of its own.
        let named = scans.iter().flat_map(|(_, _, scan)| &scan.references);
        modules.extend(named.filter_map(|reference| reference.module.first().cloned()));
        let mut reader = Self {
            root: &root.path,
            scans,
            modules,
            exports: BTreeMap::new(),
            globs: BTreeSet::new(),
        };
        reader.read_exports();
        reader
    }

    fn read_exports(&mut self) {
        let references = self.scans.iter().flat_map(|(_, _, scan)| &scan.references);
        for reference in references.filter(|reference| reference.module.is_empty()) {
            let mut segments = reference.segments.as_slice();
            while let [first, rest @ ..] = segments
                && matches!(first.as_str(), "crate" | "self")
            {
                segments = rest;
            }
            let Some(module) = segments.first().filter(|first| self.modules.contains(*first))
            else {
                continue;
            };
            if reference.is_glob {
                self.globs.insert(module.clone());
            } else if let Some(name) = &reference.binds
                && !self.modules.contains(name)
            {
                self.exports.insert(name.clone(), module.clone());
            }
        }
    }

    fn graph(&self) -> Graph {
        let mut uses: BTreeMap<String, BTreeMap<String, Vec<Place>>> = BTreeMap::new();
        let mut add = |from: &ModulePath, to: &str, file: &str, line| {
            let from = from.first().map_or(CRATE_ROOT, String::as_str);
            if from != to {
                let place = Place { file: file.to_owned(), line };
                let used = uses.entry(from.to_owned()).or_default();
                used.entry(to.to_owned()).or_default().push(place);
            }
        };
        for (file, module, scan) in &self.scans {
            let aliases = root_aliases(scan);
            let mut takes_all = false;
            for reference in &scan.references {
                let Some(path) = absolute(reference, &aliases) else { continue };
                match path.first() {
                    Some(first) if reference.module.is_empty() => {
                        // The root's relative paths may also name other crates.
                        if self.modules.contains(first) {
                            add(&reference.module, first, file, reference.line);
                        }
                    }
                    Some(first) => {
                        let (line, to) = (reference.line, self.module_of(first));
                        add(&reference.module, to, file, line);
                    }
                    None => takes_all |= reference.is_glob && !reference.module.is_empty(),
                }
            }
            if takes_all {
                for (line, word) in &scan.words {
                    let known = self.modules.get(word).or_else(|| self.exports.get(word));
                    if let Some(to) = known.or_else(|| self.in_globs(word)) {
                        add(module, to, file, *line);
                    }
                }
            }
        }
        for places in uses.values_mut().flat_map(BTreeMap::values_mut) {
            places.sort();
            places.dedup();
        }
        Graph { root: self.root.to_owned(), modules: self.modules.clone(), uses }
    }

    /// The module that a name in the root belongs to.
    fn module_of<'b>(&'b self, name: &'b str) -> &'b str {
        if self.modules.contains(name) {
            return name;
        }
        let taken = self.exports.get(name).or_else(|| self.in_globs(name));
        taken.map_or_else(|| self.macro_home(name), String::as_str)
    }

    fn in_globs(&self, name: &str) -> Option<&String> {
        self.globs.iter().find(|module| self.defines(module, name))
    }

    fn defines(&self, module: &str, name: &str) -> bool {
        self.scans.iter().any(|(_, path, scan)| {
            path.first().is_some_and(|first| first == module)
                && scan.definitions.iter().any(|defined| defined == name)
        })
    }

    /// An exported macro is named as the root's, whichever file defines it.
    fn macro_home(&self, name: &str) -> &str {
        let in_root = |(_, path, scan): &(&str, ModulePath, Scan)| {
            path.is_empty() && scan.definitions.iter().any(|defined| defined == name)
        };
        if self.scans.iter().any(in_root) {
            return CRATE_ROOT;
        }
        let home = self.modules.iter().find(|module| self.defines(module, name));
        home.map_or(CRATE_ROOT, String::as_str)
    }
}

/// The names of the crate's root in a file, such as `root` in `use crate as root`.
fn root_aliases(scan: &Scan) -> BTreeSet<&str> {
    let none = BTreeSet::new();
    let is_root = |reference: &&Reference| {
        !reference.is_glob && absolute(reference, &none).is_some_and(|path| path.is_empty())
    };
    scan.references.iter().filter(is_root).filter_map(|one| one.binds.as_deref()).collect()
}

/// The path from the crate's root; `None` if it begins with another crate or an import.
fn absolute(reference: &Reference, aliases: &BTreeSet<&str>) -> Option<ModulePath> {
    let mut module = reference.module.clone();
    let mut rest = reference.segments.as_slice();
    match rest.first()?.as_str() {
        "crate" => module.clear(),
        "self" => {}
        "super" => {
            while rest.first().is_some_and(|first| first == "super") {
                module.pop();
                rest = &rest[1..];
            }
            module.extend_from_slice(rest);
            return Some(module);
        }
        first if aliases.contains(first) => module.clear(),
        _ if module.is_empty() => return Some(rest.to_vec()),
        _ => return None,
    }
    // `self::super::a`
    for segment in &rest[1..] {
        if segment == "super" {
            module.pop();
        } else {
            module.push(segment.clone());
        }
    }
    Some(module)
}
