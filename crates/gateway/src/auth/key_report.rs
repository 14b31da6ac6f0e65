//! Whether the keys of a configuration can be used: those of tokens and those of the private API.
//!
//! It reads their files as a start does, names every one that is wrong, and shows no key.

use std::{env, path::Path, slice};

use crate::{
    auth::{ApiKeys, token::keys::KeySet},
    config::{self, Config},
};

/// What is known about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReport {
    /// Its section, and its number or name.
    pub key: String,
    /// What it is for, or why it cannot be used.
    pub found: Result<String, String>,
    /// What an operator should change, although the key can be used.
    pub advice: Option<String>,
}

/// A report for each key of a configuration, and one if two keys conflict, such as by the same name.
pub fn key_reports(config: &Config) -> Vec<KeyReport> {
    let tokens = config.auth_keys.iter().enumerate().map(|(place, table)| {
        let loaded = KeySet::load(slice::from_ref(table), |name| env::var_os(name));
        KeyReport {
            key: format!("[[auth.key]] number {}", place + 1),
            found: loaded.map(|_| "for tokens".to_owned()).map_err(|error| cause(&error)),
            advice: table.secret_file.as_deref().and_then(exposed),
        }
    });
    let api = config.api_keys.iter().enumerate().map(|(place, table)| {
        let loaded = ApiKeys::load(slice::from_ref(table), |name| env::var_os(name));
        let scopes: Vec<_> = table.scopes.iter().map(|scope| scope.as_str()).collect();
        let purpose = format!("{:?}, for {}", table.name, scopes.join(", "));
        KeyReport {
            key: format!("[[server.api_key]] number {}", place + 1),
            found: loaded.map(|_| purpose).map_err(|error| cause(&error)),
            advice: table.secret_file.as_deref().and_then(exposed),
        }
    });
    let mut reports: Vec<_> = tokens.chain(api).collect();
    if reports.iter().all(|report| report.found.is_ok()) {
        let tokens = KeySet::load(&config.auth_keys, |name| env::var_os(name)).err();
        let api = ApiKeys::load(&config.api_keys, |name| env::var_os(name)).err();
        reports.extend([tokens, api].into_iter().flatten().map(|error| KeyReport {
            key: "all keys".to_owned(),
            found: Err(format!("{error:#}")),
            advice: None,
        }));
    }
    reports
}

/// An error without the number of the section, which is wrong because each section is read alone.
fn cause(error: &anyhow::Error) -> String {
    let parts: Vec<_> = error.chain().map(ToString::to_string).collect();
    parts[usize::from(parts.len() > 1)..].join(": ")
}

fn exposed(path: &str) -> Option<String> {
    config::exposed_file(Path::new(path))
}
