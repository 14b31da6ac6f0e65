//! The repository as the rules see it: manifests, and sources without comments, strings and
//! characters. Never reads `target` or hidden folders.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, iter};

use toml::{Table, Value};

/// All sources and manifests of the repository.
pub struct Workspace {
    /// In no particular order.
    pub files: Vec<SourceFile>,
    /// The manifests of the members of the workspace.
    pub manifests: Vec<Manifest>,
}

/// The dependencies in a `Cargo.toml`.
pub struct Manifest {
    /// Relative to the root, such as `crates/frame`.
    pub folder: String,
    /// The name of the package.
    pub package: String,
    /// Packages in any of its sections of dependencies.
    pub dependencies: BTreeSet<String>,
    /// Packages that are not only for its tests.
    pub built_in: BTreeSet<String>,
}

/// One file of Rust code.
pub struct SourceFile {
    /// Relative to the root.
    pub path: String,
    /// The text as on disk.
    pub text: String,
    /// The text with everything but code replaced by blanks, line for line.
    pub code: String,
}

impl Workspace {
    /// Reads the repository that this crate was built from.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let table: Table = read(&root.join("Cargo.toml")).parse().expect("Cargo.toml");
        let members = table["workspace"]["members"].as_array().expect("members");
        let manifests = members
            .iter()
            .map(|member| {
                let folder = member.as_str().expect("a folder");
                Manifest::parse(folder, &read(&root.join(folder).join("Cargo.toml")))
            })
            .collect();
        let mut files = Vec::new();
        collect(&root, "", &mut files);
        Self { files, manifests }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn collect(folder: &Path, relative: &str, files: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(folder).expect("a readable folder");
    for entry in entries.map(|entry| entry.expect("a readable entry")) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().expect("a kind of file");
        if kind.is_dir() {
            let skipped = name.starts_with('.') || name == "target" || name == "node_modules";
            if !skipped {
                collect(&entry.path(), &format!("{relative}{name}/"), files);
            }
        } else if kind.is_file() && name.ends_with(".rs") {
            files.push(SourceFile::new(&format!("{relative}{name}"), &read(&entry.path())));
        }
    }
}

impl Manifest {
    /// Parses the manifest in `folder`.
    pub fn parse(folder: &str, text: &str) -> Self {
        let table: Table = text.parse().unwrap_or_else(|error| panic!("{folder}: {error}"));
        let (mut dependencies, mut built_in) = (BTreeSet::new(), BTreeSet::new());
        let targets = table.get("target").and_then(Value::as_table);
        let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
        for table in iter::once(&table).chain(targets) {
            add_sections(table, &["dependencies", "build-dependencies"], &mut built_in);
            add_sections(table, &["dev-dependencies"], &mut dependencies);
        }
        dependencies.extend(built_in.iter().cloned());
        Self {
            folder: folder.to_owned(),
            package: table["package"]["name"].as_str().expect("a name").to_owned(),
            dependencies,
            built_in,
        }
    }
}

fn add_sections(table: &Table, sections: &[&str], dependencies: &mut BTreeSet<String>) {
    for section in sections {
        let Some(entries) = table.get(*section).and_then(Value::as_table) else {
            continue;
        };
        for (key, entry) in entries {
            let renamed = entry.get("package").and_then(Value::as_str);
            dependencies.insert(renamed.unwrap_or(key).to_owned());
        }
    }
}

impl SourceFile {
    /// A file at `path`, relative to the root.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    /// Words and punctuation marks of the code, with their lines from 1.
    pub fn tokens(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().flat_map(|(at, line)| {
            let mut rest = line;
            iter::from_fn(move || {
                rest = rest.trim_start();
                let first = rest.chars().next()?;
                let end = if is_word(first) {
                    rest.find(|other| !is_word(other)).unwrap_or(rest.len())
                } else {
                    first.len_utf8()
                };
                let (token, after) = rest.split_at(end);
                rest = after;
                Some((at + 1, token))
            })
        })
    }

    /// Only the words of the code.
    pub fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        self.tokens().filter(|(_, token)| token.starts_with(is_word))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces comments, strings and character literals by blanks.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(is_word);
        let length = comment(rest)
            .or_else(|| raw_string(rest).filter(|_| !after_word))
            .or_else(|| quoted(rest));
        match length {
            Some(length) => {
                let (gone, after) = rest.split_at(length);
                code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = after;
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

/// The length of the comment at the beginning of the text; block comments nest.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

/// The length of the raw string (`r"…"`, `br#"…"#`) at the beginning of the text.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let start = text.len() - after.len() + hashes;
    let body = text[start..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close)?;
    Some(start + 1 + end + close.len())
}

/// The length of the string or character literal at the beginning of the text. A lifetime begins
/// with the same mark but is not a literal.
fn quoted(text: &str) -> Option<usize> {
    let mark = text.chars().next().filter(|mark| matches!(mark, '"' | '\''))?;
    if mark == '\'' {
        let mut inner = text[1..].chars();
        let first = inner.next()?;
        if first != '\\' && inner.next() != Some('\'') {
            return None;
        }
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == mark => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

#[test]
fn only_code_remains() {
    for (text, left) in [
        ("a /* b /* c */ d */ e", "a e"),
        ("a // b\nc", "a c"),
        ("f(\"x \\\" y\", z)", "f ( , z )"),
        ("r#\"a \" b\"# c", "c"),
        ("br\"a\\\" c", "c"),
        ("bar\"x\" c", "bar c"),
        ("'\\'' a '\"' b", "a b"),
        ("fn f<'a>(x: &'a str)", "fn f < ' a > ( x : & ' a str )"),
    ] {
        let file = SourceFile::new("a.rs", text);
        let tokens: Vec<&str> = file.tokens().map(|(_, token)| token).collect();
        assert_eq!(tokens.join(" "), left, "{text}");
    }
    let file = SourceFile::new("a.rs", "/*\n*/\n\"\n\" x");
    assert_eq!(file.words().collect::<Vec<_>>(), [(4, "x")]);
}
