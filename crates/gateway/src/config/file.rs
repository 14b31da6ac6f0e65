//! A configuration file: TOML text in, checked values with their lines out. Every
//! fault in it is reported, not only the first. It never opens a file and never
//! decides between sources.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{
    error::{Faults, Origin},
    keys::{self, Key, Repeats, Section},
    source::{ADDRESS, Assigned, Values},
    spelling, topics, value,
};

/// What a file sets.
#[derive(Debug, Default)]
pub(super) struct FileValues {
    /// Everything but the sections that may be repeated.
    pub values: Values,
    /// One for each `[[listener]]`; empty when the file has none.
    pub listeners: Vec<Values>,
    /// One for each `[[history.topic]]`.
    pub topics: Vec<Values>,
}

/// Reads the text of the file that errors call `name`.
pub(super) fn parse(name: &str, text: &str, faults: &mut Faults) -> FileValues {
    let newlines = text.match_indices('\n').map(|(offset, _)| offset).collect();
    let (listeners, topics) = (Vec::new(), Vec::new());
    let mut reader = Reader { name: name.into(), text, newlines, faults, listeners, topics };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let origin = match error.span() {
            Some(span) => reader.column(span),
            None => Origin::File(reader.name.clone()),
        };
        reader.faults.add(origin, error.message());
    }
    if !errors.is_empty() {
        // What the parser made of broken text would only add confusing faults.
        return FileValues::default();
    }
    let mut values = Values::new();
    reader.table("", document.get_ref(), &mut values);
    FileValues { values, listeners: reader.listeners, topics: reader.topics }
}

struct Reader<'a> {
    name: Arc<str>,
    text: &'a str,
    /// Offsets of the line ends, so that a file of faults is not searched for each of them.
    newlines: Vec<usize>,
    faults: &'a mut Faults,
    listeners: Vec<Values>,
    topics: Vec<Values>,
}

impl Reader<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>, values: &mut Values) {
        for (name, written) in table {
            let full = match path {
                "" => name.get_ref().to_string(),
                _ => format!("{path}.{}", name.get_ref()),
            };
            // A quoted name with a dot in it is no path.
            let is_path = !name.get_ref().contains('.');
            if let Some(key) = keys::of_file().find(|key| key.path == full).filter(|_| is_path) {
                self.value(key, written, values);
            } else if let Some(section) = keys::find_section(&full).filter(|_| is_path) {
                self.section(section, name.span(), written, values);
            } else {
                let message = unknown(path, name.get_ref(), written.get_ref());
                self.faults.add(self.line(name.span()), message);
            }
        }
    }

    fn value(&mut self, key: &Key, written: &Spanned<DeValue<'_>>, values: &mut Values) {
        let origin = self.column(written.span());
        match value::check(key, written.get_ref()) {
            Ok(value) => {
                values.insert(key.path, Assigned { value, origin });
            }
            Err(message) => self.faults.add(origin, message),
        }
    }

    fn section(
        &mut self,
        section: &Section,
        span: Range<usize>,
        written: &Spanned<DeValue<'_>>,
        values: &mut Values,
    ) {
        match (section.repeats, written.get_ref()) {
            (Repeats::Once, DeValue::Table(table)) => self.table(section.path, table, values),
            (Repeats::Each, DeValue::Array(tables)) if !tables.is_empty() => {
                for table in tables.iter() {
                    self.repeated(section, table);
                }
            }
            (Repeats::Once, _) => {
                let message = format!("{} is a section; write {}", section.path, section.header());
                self.faults.add(self.line(span), message);
            }
            (Repeats::Each, _) => {
                let message = format!(
                    "{} is a section for each of several; write {}, with two brackets",
                    section.path,
                    section.header()
                );
                self.faults.add(self.line(span), message);
            }
        }
    }

    fn repeated(&mut self, section: &Section, written: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = written.get_ref() else {
            let message = format!("{} holds sections, not values", section.header());
            return self.faults.add(self.line(written.span()), message);
        };
        let mut values = Values::new();
        self.table(section.path, table, &mut values);
        let (needed, example, tables) = match section.path {
            topics::SECTION => (topics::PATTERN, "pattern = \"news.*\"", &mut self.topics),
            _ => (ADDRESS, "address = \"127.0.0.1:8080\"", &mut self.listeners),
        };
        // Without an address that can be used, a listener would get the default one and be judged
        // by it; without a pattern, limits belong to no topic.
        if values.contains_key(needed) {
            tables.push(values);
            let is_topic = section.path == topics::SECTION;
            if let Some(message) = topics::limits_nothing(table).filter(|_| is_topic) {
                self.faults.add(self.line(written.span()), message);
            }
            return;
        }
        let (_, name) = needed.rsplit_once('.').expect("every key is in a section");
        if !table.contains_key(name) {
            let header = section.header();
            let message = format!("{header} has no {name}; add one such as {example}");
            self.faults.add(self.line(written.span()), message);
        }
    }

    fn line(&self, span: Range<usize>) -> Origin {
        let (line, _) = self.position(span.start);
        Origin::Line(self.name.clone(), line)
    }

    fn column(&self, span: Range<usize>) -> Origin {
        let (line, column) = self.position(span.start);
        Origin::Column(self.name.clone(), line, column)
    }

    /// Line and column of a byte offset, both from 1; columns count characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.newlines.partition_point(|newline| *newline < offset);
        let line_start = line.checked_sub(1).map_or(0, |last| self.newlines[last] + 1);
        let before = self.text.get(line_start..offset).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }
}

/// What to say about a name that is in no table of ours.
fn unknown(path: &str, name: &str, written: &DeValue<'_>) -> String {
    let is_section = match written {
        DeValue::Table(_) => true,
        DeValue::Array(items) => items.first().is_some_and(|item| item.get_ref().is_table()),
        _ => false,
    };
    if is_section {
        let full = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let near = spelling::nearest(&full, keys::sections().map(|section| section.path))
            .and_then(keys::find_section);
        return match near {
            Some(section) => {
                format!("unknown section [{full}]; did you mean {}?", section.header())
            }
            None => {
                let headers: Vec<_> = keys::sections().map(Section::header).collect();
                format!("unknown section [{full}]; the sections are {}", headers.join(", "))
            }
        };
    }
    let place = match keys::find_section(path) {
        Some(section) => format!("in {}", section.header()),
        None => "outside every section".to_owned(),
    };
    let name_shown = value::quoted(name);
    format!("unknown key {name_shown} {place}; {}", hint(path, name))
}

fn hint(path: &str, name: &str) -> String {
    let siblings = || keys::of_file().filter(|key| key.section() == path);
    if let Some(near) = spelling::nearest(name, siblings().map(Key::name)) {
        return format!("did you mean {}?", value::quoted(near));
    }
    let near = spelling::nearest(name, keys::of_file().map(Key::name));
    if let Some(key) = keys::of_file().find(|key| Some(key.name()) == near) {
        let section = keys::find_section(key.section()).expect("every key is in a section");
        return format!("did you mean {} in {}?", value::quoted(key.name()), section.header());
    }
    let names: Vec<_> = siblings().map(Key::name).collect();
    if names.is_empty() {
        let headers: Vec<_> = keys::sections().map(Section::header).collect();
        return format!("the sections are {}", headers.join(", "));
    }
    format!("its keys are {}", names.join(", "))
}
