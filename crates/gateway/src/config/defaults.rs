//! What `ringway defaults` prints: the whole configuration as TOML, with a
//! comment on each key, from the table of keys. It never reads a configuration.

use std::fmt::Write;

use crate::{
    config::{
        keys::{Key, Kind},
        table::{KEYS, SECTIONS},
        topics::{TOPIC_KEYS, TOPIC_SECTION, TopicHistory},
        value,
    },
    limits::Bound,
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
        write_line(&mut text, &section.header());
        for key in KEYS.iter().filter(|key| key.section() == section.path) {
            write_key(&mut text, key);
        }
        if section.path == "history" {
            write_topics(&mut text);
        }
    }
    text
}

/// The section has no default, so that all of it is a comment.
fn write_topics(text: &mut String) {
    text.push('\n');
    comment(text, TOPIC_SECTION.meaning);
    comment(text, &TOPIC_SECTION.header());
    for key in TOPIC_KEYS {
        comment(text, "");
        comment(text, key.meaning);
        comment(text, &format!("Allowed: {}.", value::range_text(&key.kind)));
        comment(text, &format!("{} = {}", key.name(), TopicHistory::example(key)));
    }
}

fn write_key(text: &mut String, key: &Key) {
    text.push('\n');
    comment(text, key.meaning);
    let range = format!("Allowed: {}.", value::range_text(&key.kind));
    comment(text, &range);
    if let Some(bound) = bound(&key.kind) {
        comment(text, &format!("Why: {}.", bound.reason));
    }
    comment(text, &format!("[{}]", key.variable()));
    write_line(text, &format!("{} = {}", key.name(), value::default_text(&key.kind)));
}

fn bound(kind: &Kind) -> Option<&Bound> {
    match kind {
        Kind::Duration(bound)
        | Kind::WholeSeconds(bound)
        | Kind::Size(bound)
        | Kind::Count(bound)
        | Kind::PowerOfTwo(bound) => Some(bound),
        Kind::Switch(_)
        | Kind::Word(..)
        | Kind::Address(_)
        | Kind::Networks(_)
        | Kind::Pattern
        | Kind::Patterns(_)
        | Kind::Origins
        | Kind::Hosts
        | Kind::Cores => None,
    }
}

/// Comment lines of whole words, within the text's width.
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
    writeln!(text, "{line}").expect("writing to a string does not fail");
}
