//! The undo record: the value of each sysctl before `--apply` first changed it, and the value that
//! was set.
//!
//! Only sysctls of the built-in file, and only numbers, are ever read from it; and only if no other
//! user can have written the file, because the directory may belong to one.

use std::{collections::BTreeMap, io};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::doctor::{
    host::Host,
    reading, replacing,
    wanted::{self, Line},
};

/// The path of the record.
pub const PATH: &str = "/var/lib/ringway/doctor-undo.json";

/// More than any record has.
const BYTES_MAX: u64 = 64 << 10;

/// One sysctl in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The value before the first `--apply`.
    pub before: String,
    /// The value that the last `--apply` set.
    pub set: String,
}

/// All sysctls that were changed and not yet restored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// By name, with dots.
    pub sysctls: BTreeMap<String, Entry>,
}

impl Record {
    /// The record of a host; empty if there is none.
    ///
    /// # Errors
    /// The record exists but cannot be read, or is not a record that doctor wrote.
    pub fn load(host: &Host) -> anyhow::Result<Self> {
        let path = host.path(PATH);
        let text = match reading::trusted_text(&path, BYTES_MAX) {
            Err(error) if is_absence(&error) => return Ok(Self::default()),
            text => text,
        };
        let advice = "it holds the old values; if they are no longer needed, move it away";
        let record: Self = text
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(serde_json::from_str(&text)?))
            .with_context(|| format!("{}: {advice}", path.display()))?;
        for (key, entry) in &record.sysctls {
            let is_ours =
                wanted::lines().any(|line| matches!(line, Line::Setting(own, _) if own == key));
            let is_number = |text: &str| text.parse::<u64>().is_ok();
            if !is_ours || !is_number(&entry.before) || !is_number(&entry.set) {
                bail!("{}: {key:?} was not written by ringway; {advice}", path.display());
            }
        }
        Ok(record)
    }

    /// Adds a change that is about to be made. The value before the first change is kept.
    pub fn note(&mut self, key: &str, before: &str, set: &str) {
        let entry = || Entry { before: before.to_owned(), set: set.to_owned() };
        self.sysctls.entry(key.to_owned()).or_insert_with(entry).set = set.to_owned();
    }

    /// Writes the record to disk before it returns; an empty one is removed.
    ///
    /// # Errors
    /// The directory cannot be created or written to.
    pub fn save(&self, host: &Host) -> io::Result<()> {
        let path = host.path(PATH);
        if self.sysctls.is_empty() {
            return replacing::remove(&path);
        }
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        replacing::write(&path, &text)
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn host_with(record: &str) -> (tempfile::TempDir, Host) {
        let root = tempfile::TempDir::new().unwrap();
        let host = Host::below(root.path());
        fs::create_dir_all(host.path(PATH).parent().unwrap()).unwrap();
        fs::write(host.path(PATH), record).unwrap();
        (root, host)
    }

    #[test]
    fn the_first_recorded_value_stays() {
        let mut record = Record::default();
        record.note("net.core.somaxconn", "128", "4096");
        record.note("net.core.somaxconn", "4096", "8192");
        let entry = &record.sysctls["net.core.somaxconn"];
        assert_eq!((entry.before.as_str(), entry.set.as_str()), ("128", "8192"));
    }

    #[test]
    fn a_written_record_is_read_and_an_empty_one_is_removed() {
        let (_root, host) = host_with("{\"sysctls\":{}}");
        let mut record = Record::load(&host).unwrap();
        record.note("fs.nr_open", "1", "2");
        record.save(&host).unwrap();
        assert_eq!(Record::load(&host).unwrap(), record);
        Record::default().save(&host).unwrap();
        assert!(!host.path(PATH).exists());
        assert_eq!(Record::load(&host).unwrap(), Record::default());
        Record::default().save(&host).unwrap();
    }

    #[test]
    fn an_invalid_record_is_refused() {
        let huge = "x".repeat(BYTES_MAX as usize + 1);
        for text in [
            "",
            "no JSON",
            "[]",
            "{\"sysctls\":{\"kernel.core_pattern\":{\"before\":\"1\",\"set\":\"2\"}}}",
            "{\"sysctls\":{\"fs.nr_open\":{\"before\":\"|/bin/sh\",\"set\":\"2\"}}}",
            "{\"sysctls\":{\"../../etc/passwd\":{\"before\":\"1\",\"set\":\"2\"}}}",
            &huge,
        ] {
            let (_root, host) = host_with(text);
            let error = format!("{:#}", Record::load(&host).unwrap_err());
            assert!(error.contains("doctor-undo.json"), "{error}");
        }
    }
}
