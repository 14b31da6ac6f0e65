//! The keys of the private API: bearer tokens (RFC 6750) with names and scopes.
//!
//! It reads and compares them and never sees a request. Errors are for the operator and never
//! contain a key.

use std::{
    ffi::OsString,
    path::Path,
    sync::{PoisonError, RwLock},
};

use anyhow::{Context, bail, ensure};

use crate::{
    auth::{
        Secret,
        token::keys::{read_file, shown, without_line_end},
    },
    config::{self, ApiScope},
    limits::{API_KEY_BYTES_MAX, API_KEY_BYTES_MIN, API_KEY_NAME_BYTES_MAX, API_KEYS_MAX},
    metrics::Counter,
};

/// Why a request may not use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFault {
    /// The request has no key.
    Missing,
    /// The key is not one of the gateway's, or the request has several.
    Invalid,
    /// The key does not have this scope.
    Scope(ApiScope),
}

impl AccessFault {
    /// Its label in metrics and logs.
    pub fn as_str(self) -> &'static str {
        LABELS[self.place()]
    }

    fn place(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Invalid => 1,
            Self::Scope(_) => 2,
        }
    }
}

const LABELS: [&str; 3] = ["key_missing", "key_invalid", "scope_missing"];

/// Who sends a request to the private API: the holder of a key, or anybody where there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caller(u8);

const _: () = assert!(API_KEYS_MAX < u8::MAX as usize);

impl Caller {
    /// Its number: that of its key, from 1 on; 0 without keys.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The holder of the key with this number.
    #[cfg(test)]
    pub fn of_key(number: u8) -> Self {
        Self(number)
    }
}

/// Reads a variable of the environment.
pub type Variable = fn(&str) -> Option<OsString>;

/// All keys, and how often each was used. Only the control thread uses them.
#[derive(Debug)]
pub struct ApiKeys {
    tables: Vec<config::ApiKey>,
    variable: Variable,
    /// The secret of each table; all are replaced at once.
    secrets: RwLock<Vec<Secret>>,
    /// Admitted requests by table.
    admitted: Vec<Counter>,
    refused: [Counter; LABELS.len()],
}

impl ApiKeys {
    /// Reads the keys of a configuration.
    ///
    /// # Errors
    /// A key that cannot be read or cannot be a bearer token, a name that is not unique.
    pub fn load(tables: &[config::ApiKey], variable: Variable) -> anyhow::Result<Self> {
        ensure!(
            tables.len() <= API_KEYS_MAX,
            "[[server.api_key]]: there are {} keys; there may be at most {API_KEYS_MAX}",
            tables.len()
        );
        for (place, table) in tables.iter().enumerate() {
            check(table, &tables[..place])
                .with_context(|| format!("[[server.api_key]] number {}", place + 1))?;
        }
        Ok(Self {
            secrets: RwLock::new(secrets(tables, variable)?),
            admitted: tables.iter().map(|_| Counter::default()).collect(),
            refused: Default::default(),
            tables: tables.to_vec(),
            variable,
        })
    }

    /// Reads the files again; returns the names of the keys that have changed.
    ///
    /// # Errors
    /// As [`ApiKeys::load`]; the keys in use then stay.
    pub fn reload(&self) -> anyhow::Result<Vec<&str>> {
        let new = secrets(&self.tables, self.variable)?;
        let mut current = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        let pairs = self.tables.iter().zip(current.iter().zip(&new));
        let changed = pairs.filter(|(_, (old, new))| old != new).map(|(table, _)| &*table.name);
        let changed = changed.collect();
        *current = new;
        Ok(changed)
    }

    /// The files of the keys.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.tables.iter().filter_map(|table| table.secret_file.as_deref().map(Path::new))
    }

    /// Whether a request with this key may do what needs this scope; `None` needs any key. Without
    /// keys, every request may do everything.
    ///
    /// # Errors
    /// The request is refused.
    pub fn admit(
        &self,
        given: Option<&[u8]>,
        needed: Option<ApiScope>,
    ) -> Result<Caller, AccessFault> {
        if self.tables.is_empty() {
            return Ok(Caller::default());
        }
        let judged = self.judge(given, needed);
        match judged {
            Ok(place) => self.admitted[place].add(1),
            Err(fault) => self.refused[fault.place()].add(1),
        }
        judged.map(|place| Caller(place as u8 + 1))
    }

    /// The name of the caller's key.
    pub fn name(&self, caller: Caller) -> Option<&str> {
        let place = usize::from(caller.0).checked_sub(1)?;
        self.tables.get(place).map(|table| &*table.name)
    }

    fn judge(&self, given: Option<&[u8]>, needed: Option<ApiScope>) -> Result<usize, AccessFault> {
        let given = given.ok_or(AccessFault::Missing)?;
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        // All are compared, so that the time does not depend on which one it is.
        for (place, secret) in secrets.iter().enumerate() {
            if secret.is(given) {
                found = Some(place);
            }
        }
        let place = found.ok_or(AccessFault::Invalid)?;
        match needed {
            Some(scope) if !self.tables[place].scopes.contains(&scope) => {
                Err(AccessFault::Scope(scope))
            }
            _ => Ok(place),
        }
    }

    /// How many requests each key has admitted, by its name.
    pub fn admitted(&self) -> impl Iterator<Item = (&str, u64)> {
        let names = self.tables.iter().map(|table| &*table.name);
        names.zip(self.admitted.iter().map(Counter::value))
    }

    /// How many requests were refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        LABELS.into_iter().zip(self.refused.iter().map(Counter::value))
    }
}

/// Checks everything but the secret.
fn check(table: &config::ApiKey, earlier: &[config::ApiKey]) -> anyhow::Result<()> {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    ensure!(
        (1..=API_KEY_NAME_BYTES_MAX).contains(&table.name.len())
            && table.name.bytes().all(is_usual),
        "name: write 1 to {API_KEY_NAME_BYTES_MAX} letters, digits, \"-\", \"_\" and \".\""
    );
    ensure!(
        earlier.iter().all(|other| other.name != table.name),
        "name: another key is called {:?}, too",
        table.name
    );
    ensure!(
        !table.scopes.is_empty(),
        "scopes: none is listed; write \"publish\", \"read\", \"admin\""
    );
    Ok(())
}

fn secrets(tables: &[config::ApiKey], variable: Variable) -> anyhow::Result<Vec<Secret>> {
    let mut secrets: Vec<Secret> = Vec::new();
    for table in tables {
        let place = || format!("[[server.api_key]] {:?}", table.name);
        let secret = secret(table, variable).with_context(place)?;
        if let Some(twin) = secrets.iter().position(|other| *other == secret) {
            bail!("{}: it has the same secret as {:?}", place(), tables[twin].name);
        }
        secrets.push(secret);
    }
    Ok(secrets)
}

fn secret(table: &config::ApiKey, variable: Variable) -> anyhow::Result<Secret> {
    let (bytes, source) = match (&table.secret_file, &table.secret_env) {
        (Some(path), None) => (read_file(path)?, "secret_file"),
        (None, Some(name)) => match variable(name) {
            Some(value) => (value.into_encoded_bytes(), "secret_env"),
            None => bail!("secret_env: the environment has no variable {}", shown(name)),
        },
        (None, None) => bail!("it has no secret; add secret_file or secret_env"),
        (Some(_), Some(_)) => bail!("it has secret_file and secret_env; remove one of them"),
    };
    let secret = without_line_end(&bytes);
    // RFC 6750 §2.1: the characters of a bearer token.
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    ensure!(
        (API_KEY_BYTES_MIN..=API_KEY_BYTES_MAX).contains(&secret.len())
            && secret.iter().all(is_allowed),
        "{source}: the key must be {API_KEY_BYTES_MIN} to {API_KEY_BYTES_MAX} letters, digits and \
         \"-._~+/=\", such as those of \"openssl rand -hex 32\""
    );
    Ok(Secret::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "0123456789abcdef0123456789abcdef";
    const SECOND: &str = "fedcba9876543210fedcba9876543210";

    fn variable(name: &str) -> Option<OsString> {
        let value = match name {
            "FIRST" => FIRST,
            "SECOND" => SECOND,
            "SHORT" => "0123456789abcdef",
            "SPACED" => "0123456789abcdef 0123456789abcdef",
            _ => return None,
        };
        Some(value.into())
    }

    fn table(name: &str, scopes: &[ApiScope], variable: &str) -> config::ApiKey {
        config::ApiKey {
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            secret_file: None,
            secret_env: Some(variable.to_owned()),
        }
    }

    #[test]
    fn a_key_admits_to_its_scopes_only() {
        use ApiScope::*;
        let tables = [table("a", &[Publish], "FIRST"), table("b", &[Read, Admin], "SECOND")];
        let keys = ApiKeys::load(&tables, variable).unwrap();
        for (given, needed, wanted) in [
            (None, None, Err(AccessFault::Missing)),
            (None, Some(Read), Err(AccessFault::Missing)),
            (Some(FIRST), None, Ok(Caller(1))),
            (Some(FIRST), Some(Publish), Ok(Caller(1))),
            (Some(FIRST), Some(Read), Err(AccessFault::Scope(Read))),
            (Some(SECOND), Some(Publish), Err(AccessFault::Scope(Publish))),
            (Some(SECOND), Some(Admin), Ok(Caller(2))),
            (Some(&FIRST[1..]), Some(Publish), Err(AccessFault::Invalid)),
            (Some(""), None, Err(AccessFault::Invalid)),
        ] {
            assert_eq!(
                keys.admit(given.map(str::as_bytes), needed),
                wanted,
                "{given:?} {needed:?}"
            );
        }
        assert_eq!(keys.admitted().collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
        let refused: Vec<_> = keys.refused().collect();
        assert_eq!(refused, [("key_missing", 2), ("key_invalid", 2), ("scope_missing", 2)]);
        assert_eq!(ApiKeys::load(&[], variable).unwrap().admit(None, Some(Admin)), Ok(Caller(0)));
        assert_eq!((keys.name(Caller(2)), keys.name(Caller(0))), (Some("b"), None));
        assert!(!format!("{keys:?}").contains(FIRST));
    }

    #[test]
    fn a_key_that_cannot_be_used_is_explained_and_not_shown() {
        let fault = |tables: &[config::ApiKey]| {
            format!("{:#}", ApiKeys::load(tables, variable).unwrap_err())
        };
        let publish = &[ApiScope::Publish][..];
        let file = |secret_file| config::ApiKey { secret_file, ..table("a", publish, "FIRST") };
        let bare = config::ApiKey { secret_env: None, ..table("a", publish, "") };
        for (tables, told) in [
            (vec![table("", publish, "FIRST")], "number 1: name: write 1 to 64"),
            (vec![table("a b", publish, "FIRST")], "number 1: name: write 1 to 64"),
            (vec![table("a", &[], "FIRST")], "number 1: scopes: none is listed"),
            (
                vec![table("a", publish, "FIRST"), table("a", publish, "SECOND")],
                "number 2: name: another key is called \"a\"",
            ),
            (
                vec![table("a", publish, "FIRST"), table("b", publish, "FIRST")],
                "\"b\": it has the same secret as \"a\"",
            ),
            (vec![table("a", publish, "SHORT")], "\"a\": secret_env: the key must be 32 to 512"),
            (vec![table("a", publish, "SPACED")], "secret_env: the key must be"),
            (vec![table("a", publish, SECOND)], "the environment has no variable of this name"),
            (vec![table("a", publish, "NONE")], "secret_env: the environment has no variable NONE"),
            (vec![bare.clone()], "it has no secret; add secret_file or secret_env"),
            (vec![file(Some("/nowhere".to_owned()))], "it has secret_file and secret_env"),
            (
                vec![config::ApiKey { secret_file: Some("/nowhere".to_owned()), ..bare }],
                "/nowhere: cannot be read",
            ),
            (vec![table("a", publish, "FIRST"); 65], "there are 65 keys"),
        ] {
            let said = fault(&tables);
            assert!(said.contains(told), "{said}");
            for secret in [FIRST, SECOND, "0123456789abcdef"] {
                assert!(!said.contains(secret), "{said}");
            }
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_bad_one_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        std::fs::write(&path, format!("{FIRST}\n")).unwrap();
        let table = config::ApiKey {
            secret_file: Some(path.clone()),
            secret_env: None,
            ..table("a", &[ApiScope::Read], "")
        };
        let keys = ApiKeys::load(&[table], variable).unwrap();
        let admits = |secret: &str| keys.admit(Some(secret.as_bytes()), None).is_ok();
        assert_eq!(keys.reload().unwrap(), [""; 0]);
        std::fs::write(&path, SECOND).unwrap();
        assert!(admits(FIRST) && !admits(SECOND));
        assert_eq!(keys.reload().unwrap(), ["a"]);
        assert!(!admits(FIRST) && admits(SECOND));
        std::fs::write(&path, "short").unwrap();
        assert!(keys.reload().is_err());
        assert!(admits(SECOND));
    }
}
