//! A configuration file: reads TOML text into checked values with their lines. Every fault in it is
//! reported, not only the first. It never opens a file and never decides between sources.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{
    error::{Faults, Origin},
    keys::{self, Key, Repeats, Section},
    source::{Assigned, Values},
    spelling,
    table::{HistoryTopic, SECTIONS},
    value,
};

/// The values of a file, or of all sources together.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Everything except repeatable sections.
    pub once: Values,
    /// The tables of each repeated section that is present, by its path.
    pub repeated: BTreeMap<&'static str, Vec<Values>>,
}

impl Tables {
    /// The tables of a repeated section.
    pub fn each(&self, section: &Section) -> &[Values] {
        self.repeated.get(section.path).map_or(&[], Vec::as_slice)
    }

    /// The tables of any section.
    pub fn of(&self, section: &Section) -> &[Values] {
        match section.repeats {
            Repeats::Once => std::slice::from_ref(&self.once),
            Repeats::Each(_) | Repeats::InFile(_) => self.each(section),
        }
    }
}

/// Reads the text of the file that errors call `name`.
pub(super) fn parse(name: &str, text: &str, faults: &mut Faults) -> Tables {
    let newlines = text.match_indices('\n').map(|(offset, _)| offset).collect();
    let repeated = BTreeMap::new();
    let mut reader = Reader { name: name.into(), text, newlines, faults, repeated };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let origin = match error.span() {
            Some(span) => reader.column(span),
            None => Origin::File(reader.name.clone()),
        };
        reader.faults.add(origin, error.message());
    }
    if !errors.is_empty() {
        // The parser's result for broken text would only add confusing faults.
        return Tables::default();
    }
    let mut once = Values::new();
    reader.table("", document.get_ref(), &mut once);
    Tables { once, repeated: reader.repeated }
}

struct Reader<'a> {
    name: Arc<str>,
    text: &'a str,
    /// Offsets of the line ends, so that the lines of many faults are found quickly.
    newlines: Vec<usize>,
    faults: &'a mut Faults,
    repeated: BTreeMap<&'static str, Vec<Values>>,
}

impl Reader<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>, values: &mut Values) {
        for (name, written) in table {
            let full = match path {
                "" => name.get_ref().to_string(),
                _ => format!("{path}.{}", name.get_ref()),
            };
            // A quoted name with a dot in it is not a path.
            let is_path = !name.get_ref().contains('.');
            if let Some(key) = keys::find(&full).filter(|_| is_path) {
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
            (Repeats::Each(needed) | Repeats::InFile(needed), DeValue::Array(tables))
                if !tables.is_empty() =>
            {
                for table in tables.iter() {
                    self.repeated(section, needed, table);
                }
            }
            (Repeats::Once, _) => {
                let message = format!("{} is a section; write {}", section.path, section.header());
                self.faults.add(self.line(span), message);
            }
            (Repeats::Each(_) | Repeats::InFile(_), _) => {
                let message = format!(
                    "{} is a list of sections; write {}, with two brackets",
                    section.path,
                    section.header()
                );
                self.faults.add(self.line(span), message);
            }
        }
    }

    fn repeated(&mut self, section: &Section, needed: &str, written: &Spanned<DeValue<'_>>) {
        let header = section.header();
        let DeValue::Table(table) = written.get_ref() else {
            let message = format!("{header} holds sections, not values");
            return self.faults.add(self.line(written.span()), message);
        };
        let mut values = Values::new();
        self.table(section.path, table, &mut values);
        if !table.contains_key(needed) {
            let key = section.keys.iter().find(|key| key.name() == needed);
            let kind = &key.expect("the needed key is one of the section's").kind;
            let example = value::default_text(kind).or_else(|| value::example_text(kind));
            let example = example.expect("there is a default or an example");
            let message = format!("{header} has no {needed}; add one such as {needed} = {example}");
            return self.faults.add(self.line(written.span()), message);
        }
        // Without its required key, which may have been faulty, a table is meaningless.
        if !values.keys().any(|path| path.ends_with(&format!(".{needed}"))) {
            return;
        }
        if section.path == HistoryTopic::SECTION.path && table.len() == 1 {
            let others = section.keys.iter().map(Key::name).filter(|name| *name != needed);
            let others: Vec<_> = others.collect();
            let message = format!("{header} has only its {needed}; add {}", others.join(" or "));
            self.faults.add(self.line(written.span()), message);
        }
        self.repeated.entry(section.path).or_default().push(values);
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

/// The message for a name that is not in the table.
fn unknown(path: &str, name: &str, written: &DeValue<'_>) -> String {
    let is_section = match written {
        DeValue::Table(_) => true,
        DeValue::Array(items) => items.first().is_some_and(|item| item.get_ref().is_table()),
        _ => false,
    };
    if is_section {
        let full = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let near = spelling::nearest(&full, SECTIONS.iter().map(|section| section.path))
            .and_then(keys::find_section);
        return match near {
            Some(section) => {
                format!("unknown section [{full}]; did you mean {}?", section.header())
            }
            None => {
                let headers: Vec<_> = SECTIONS.iter().map(|section| section.header()).collect();
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
    let siblings = || keys::all().filter(|key| key.section() == path);
    if let Some(near) = spelling::nearest(name, siblings().map(Key::name)) {
        return format!("did you mean {}?", value::quoted(near));
    }
    // The beginning of a key of this section is not meant for another one.
    let is_begun = siblings().any(|key| key.name().starts_with(name));
    let others = keys::all().map(Key::name).filter(|_| !is_begun);
    let near = spelling::nearest(name, others);
    if let Some(key) = keys::all().find(|key| Some(key.name()) == near) {
        let section = keys::find_section(key.section()).expect("every key is in a section");
        return format!("did you mean {} in {}?", value::quoted(key.name()), section.header());
    }
    let names: Vec<_> = siblings().map(Key::name).collect();
    if names.is_empty() {
        let headers: Vec<_> = SECTIONS.iter().map(|section| section.header()).collect();
        return format!("the sections are {}", headers.join(", "));
    }
    format!("its keys are {}", names.join(", "))
}
