//! The keys of the configuration: whether they can be used, and who can read them.
//!
//! It reads the files of the keys and changes nothing.

use crate::{
    auth::{KeyReport, key_reports},
    config::Config,
    doctor::finding::{Finding, Verdict},
};

const WANTED: &str = "a key that nobody else can read";

const WHY: &str = "with a key of the private API a program can send events to every client, and with \
                   the secret of tokens it can be any client";

/// One finding for each key.
pub fn findings(config: &Config) -> Vec<Finding> {
    let finding = |KeyReport { key, found, advice }| match (found, advice) {
        (Err(fault), _) => {
            Finding::good(&key, "it cannot be used", WANTED, WHY).judged(Verdict::Hurts, fault)
        }
        (Ok(purpose), Some(advice)) => {
            Finding::good(&key, purpose, WANTED, WHY).judged(Verdict::Advice, advice)
        }
        (Ok(purpose), None) => Finding::good(&key, purpose, WANTED, WHY),
    };
    key_reports(config).into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::config::{ApiKey, ApiScope};

    #[test]
    fn a_key_that_others_can_read_is_advised_against_and_an_unusable_one_hurts() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let key = ApiKey {
            name: "shop".to_owned(),
            scopes: vec![ApiScope::Publish],
            secret_file: Some(path.display().to_string()),
            secret_env: None,
        };
        let verdict = |key: &ApiKey| {
            let config = Config { api_keys: vec![key.clone()], ..Config::default() };
            let findings = findings(&config);
            assert_eq!(findings.len(), 1);
            findings[0].verdict
        };
        let allow = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        allow(0o600);
        assert_eq!(verdict(&key), Verdict::Good);
        allow(0o644);
        assert_eq!(verdict(&key), Verdict::Advice);
        assert_eq!(verdict(&ApiKey { scopes: Vec::new(), ..key }), Verdict::Hurts);
        assert!(findings(&Config::default()).is_empty());
    }
}
