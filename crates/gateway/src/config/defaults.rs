//! The output of `ringway defaults`: the whole configuration as TOML, with a comment on each key,
//! from the table of keys. It never reads a configuration.

use std::fmt::Write;

use crate::config::{
    keys::{Key, Repeats},
    table::SECTIONS,
    value,
};

const TEXT_COLUMNS: usize = 80;

const HEAD: &str = "\
# Ringway's configuration: every key, with its default.
#
# Each key may also be set by an environment variable (the name in brackets), by
# --set key=value with the key's full name, such as --set log.level=debug, and
# some by a flag of their own. The later source wins:
# defaults, this file, RINGWAY_ variables, --set, flags.
# RINGWAY_CONFIG names this file, as --config does.
";

/// The default configuration as a commented file.
///
/// ```
/// assert!(ringway::config::defaults_text().contains("\nhandshake_timeout = \"10s\"\n"));
/// ```
pub fn defaults_text() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        text.push('\n');
        comment(&mut text, section.meaning);
        match section.repeats {
            Repeats::Once | Repeats::Each(_) => write_line(&mut text, &section.header()),
            Repeats::InFile(_) => comment(&mut text, &section.header()),
        }
        for key in section.keys {
            write_key(&mut text, key, section.repeats);
        }
    }
    text
}

/// A key of a section that only a file may have, or without a default, is written as a comment.
fn write_key(text: &mut String, key: &Key, repeats: Repeats) {
    let default = value::default_text(&key.kind);
    let set = default.as_ref().filter(|_| !matches!(repeats, Repeats::InFile(_)));
    match set {
        Some(_) => text.push('\n'),
        None => comment(text, ""),
    }
    comment(text, key.meaning);
    comment(text, &format!("Allowed: {}.", value::range_text(&key.kind)));
    if let Some(bound) = key.kind.bound() {
        comment(text, &format!("Why: {}.", bound.reason));
    }
    match set {
        Some(default) => {
            comment(text, &format!("[{}]", key.variable()));
            write_line(text, &format!("{} = {default}", key.name()));
        }
        None => {
            let example = default.or_else(|| value::example_text(&key.kind));
            let example = example.expect("there is a default or an example");
            comment(text, &format!("{} = {example}", key.name()));
        }
    }
}

/// Comment lines that break between words, within the text's width.
fn comment(text: &mut String, sentence: &str) {
    let mut line = "#".to_owned();
    for word in sentence.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > TEXT_COLUMNS {
            write_line(text, &line);
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    write_line(text, &line);
}

fn write_line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}
