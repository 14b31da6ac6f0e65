//! The paths in a source file, each with the module that contains it, and the modules that the file
//! declares. Never resolves a path.

use super::SourceFile;
use super::tokens::{Token, shipped, text};

/// A module by its path from the root of the crate; the root itself is empty.
pub type ModulePath = Vec<String>;

/// One path in the code.
pub struct Reference {
    pub line: usize,
    /// The module that contains it.
    pub module: ModulePath,
    /// The path as written, with a leading `crate`, `self` or `super`.
    pub segments: Vec<String>,
    /// The name that a `use` binds: the one after `as`, or the last segment.
    pub binds: Option<String>,
    /// `::*`
    pub is_glob: bool,
}

/// The parts of one file that matter here.
pub struct Scan {
    pub references: Vec<Reference>,
    /// Modules that have their own files.
    pub children: Vec<ModulePath>,
    /// Names of items and macros defined here.
    pub definitions: Vec<String>,
    /// Every word, with its line.
    pub words: Vec<(usize, String)>,
}

const DEFINING: [&str; 9] =
    ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod"];

/// Reads one file, which is the module `module`.
pub fn scan(file: &SourceFile, module: &[String]) -> Scan {
    let tokens = shipped(file);
    let words = tokens.iter().filter(|token| is_word(token.text));
    let mut scanner = Scanner {
        module: module.to_vec(),
        open: Vec::new(),
        depth: 0,
        scan: Scan {
            references: Vec::new(),
            children: Vec::new(),
            definitions: Vec::new(),
            words: words.map(|token| (token.line, token.text.to_owned())).collect(),
        },
    };
    let mut at = 0;
    while at < tokens.len() {
        at = scanner.step(&tokens, at);
    }
    scanner.scan
}

struct Scanner {
    module: ModulePath,
    /// The depth of braces at which each inline module began.
    open: Vec<usize>,
    depth: usize,
    scan: Scan,
}

impl Scanner {
    /// Reads the item or path at `at`; returns the place after it.
    fn step(&mut self, tokens: &[Token<'_>], at: usize) -> usize {
        let next = text(tokens, at + 1);
        match text(tokens, at) {
            "{" => self.depth += 1,
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                if self.open.last() == Some(&self.depth) {
                    self.open.pop();
                    self.module.pop();
                }
            }
            "mod" if is_word(next) => return self.declare(tokens, at),
            "macro_rules" if next == "!" => {
                self.scan.definitions.push(text(tokens, at + 2).to_owned());
            }
            // `impl Trait + use<'a>` captures a lifetime.
            "use" if next != "<" => {
                let mut prefix = Vec::new();
                return self.tree(tokens, at + 1, &mut prefix, true);
            }
            word if DEFINING.contains(&word) && is_word(next) => {
                self.scan.definitions.push(next.to_owned());
            }
            word if is_word(word) && next == "::" && begins_path(tokens, at) => {
                return self.tree(tokens, at, &mut Vec::new(), false);
            }
            _ => {}
        }
        at + 1
    }

    fn declare(&mut self, tokens: &[Token<'_>], at: usize) -> usize {
        let name = text(tokens, at + 1).to_owned();
        self.scan.definitions.push(name.clone());
        match text(tokens, at + 2) {
            ";" => {
                let mut child = self.module.clone();
                child.push(name);
                self.scan.children.push(child);
            }
            "{" => {
                self.module.push(name);
                self.open.push(self.depth);
                self.depth += 1;
            }
            _ => {}
        }
        at + 3
    }

    /// Reads a path, or the tree of a `use`; returns where it ends.
    fn tree(
        &mut self,
        tokens: &[Token<'_>],
        mut at: usize,
        prefix: &mut Vec<String>,
        is_use: bool,
    ) -> usize {
        let kept = prefix.len();
        let line = tokens.get(at).map_or(0, |token| token.line);
        // `::name` belongs to another crate; its first segment shows that, too.
        if text(tokens, at) == "::" {
            at += 1;
        }
        let mut is_glob = false;
        loop {
            match text(tokens, at) {
                "{" if is_use => {
                    at += 1;
                    while at < tokens.len() && text(tokens, at) != "}" {
                        let end = self.tree(tokens, at, prefix, true);
                        at = end.max(at + 1);
                        if text(tokens, at) == "," {
                            at += 1;
                        }
                    }
                    prefix.truncate(kept);
                    return at + 1;
                }
                "*" if is_use => {
                    is_glob = true;
                    at += 1;
                }
                "self" if !prefix.is_empty() => at += 1,
                word if is_word(word) => {
                    prefix.push(word.to_owned());
                    at += 1;
                }
                _ => break,
            }
            let goes_on = text(tokens, at) == "::"
                && (is_word(text(tokens, at + 1)) || (is_use && text(tokens, at + 1) != "<"));
            if !goes_on {
                break;
            }
            at += 1;
        }
        let mut binds = is_use.then(|| prefix.last().cloned()).flatten();
        if is_use && text(tokens, at) == "as" {
            binds = Some(text(tokens, at + 1).to_owned());
            at += 2;
        }
        if !prefix.is_empty() {
            self.scan.references.push(Reference {
                line,
                module: self.module.clone(),
                segments: prefix.clone(),
                binds,
                is_glob,
            });
        }
        prefix.truncate(kept);
        at
    }
}

/// Whether the word at `at` begins a path that is a use of what it names.
fn begins_path(tokens: &[Token<'_>], at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |before| text(tokens, before));
    match before {
        "::" => false,
        // `pub(in crate::a)` restricts visibility, and uses nothing.
        "in" => !is_visibility(tokens, at),
        _ => true,
    }
}

fn is_visibility(tokens: &[Token<'_>], at: usize) -> bool {
    at >= 3 && text(tokens, at - 2) == "(" && text(tokens, at - 3) == "pub"
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}
