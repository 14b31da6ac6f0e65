//! The sources of a configuration and their order: defaults, then the file, then `RINGWAY_`
//! variables, then `--set`, then the flags; the later one wins. Variables and arguments are passed
//! in; the environment and the command line are never read here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use toml::Value;
use toml::de::DeValue;

use crate::config::{
    error::{Faults, Origin},
    keys::{self, FILE_VARIABLE, Key, Repeats, VARIABLE_PREFIX},
    spelling,
    table::SECTIONS,
    value,
};

/// All sources of a configuration. Loading the same sources again reads the file again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// Environment variables; those without the prefix are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Arguments of `--set`: `key=value`.
    pub settings: Vec<String>,
    /// Flags for single keys.
    pub flags: Vec<Flag>,
}

/// A command line flag for one key, such as `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The flag as it is written: `--listen`.
    pub name: &'static str,
    /// The key that it sets: `listener.address`.
    pub key: &'static str,
    /// The value as it was written.
    pub value: String,
}

/// A checked value in canonical form, and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Assigned {
    pub value: Value,
    pub origin: Origin,
}

/// Checked values by the path of their key.
pub(super) type Values = BTreeMap<&'static str, Assigned>;

/// The values from variables, `--set` and flags, merged in this order.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub values: Values,
    /// Addresses that replace all listeners; empty if none was given.
    pub addresses: Vec<Assigned>,
}

/// The key whose values from outside the file replace all listeners.
pub(super) const ADDRESS: &str = "listener.address";

impl Overrides {
    pub fn read(sources: &Sources, faults: &mut Faults) -> Self {
        let mut overrides = Self::default();
        for (name, value) in &sources.environment {
            overrides.variable(name, value, faults);
        }
        for setting in &sources.settings {
            overrides.setting(setting, faults);
        }
        let mut addresses = Vec::new();
        for flag in &sources.flags {
            let key = keys::find(flag.key).expect("a flag stands for a key of the table");
            let origin = Origin::Flag(flag.name, flag.value.clone());
            let written = DeValue::String(flag.value.as_str().into());
            if key.path == ADDRESS {
                addresses.extend(read_addresses(key, &written, &origin, faults));
            } else {
                overrides.assign(key, &written, origin, faults);
            }
        }
        if !addresses.is_empty() {
            overrides.addresses = addresses;
        }
        overrides
    }

    fn variable(&mut self, name: &OsStr, value: &OsStr, faults: &mut Faults) {
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(VARIABLE_PREFIX) && name != FILE_VARIABLE;
        if !is_ours || is_service_link(&name, &value.to_string_lossy()) {
            return;
        }
        let origin = Origin::Variable(name.to_string());
        let Some(key) = keys::settable().find(|key| key.variable() == name) else {
            let hint = match nearest_variable(&name) {
                Some(near) => format!("did you mean {near}?"),
                None => "unset it; \"ringway defaults\" shows every name".to_owned(),
            };
            return faults.add(origin, format!("unknown variable; {hint}"));
        };
        match value.to_str() {
            Some(text) => self.assign_text(key, text, origin, faults),
            None => faults.add(origin, format!("the value of {} is not UTF-8", key.path)),
        }
    }

    fn setting(&mut self, setting: &str, faults: &mut Faults) {
        let origin = Origin::Set(setting.to_owned());
        let Some((path, text)) = setting.split_once('=') else {
            return faults.add(origin, "has no \"=\"; write --set key=value");
        };
        let path = path.trim();
        let is_in_file = SECTIONS.iter().any(|section| {
            let below = path.strip_prefix(section.path);
            matches!(section.repeats, Repeats::InFile(_))
                && below.is_some_and(|name| name.is_empty() || name.starts_with('.'))
        });
        // Somebody may have written a secret that belongs to a key of this section.
        let origin = if is_in_file { Origin::Set(format!("{path}=…")) } else { origin };
        match keys::settable().find(|key| key.path == path) {
            Some(key) => self.assign_text(key, text.trim(), origin, faults),
            None => {
                // The full path first; then the name alone, as in `--set io=epoll`.
                let near =
                    spelling::nearest(path, keys::settable().map(|key| key.path)).or_else(|| {
                        keys::settable().find(|key| key.name() == path).map(|key| key.path)
                    });
                let hint = match near {
                    Some(near) => format!("did you mean {}?", value::quoted(near)),
                    None => "\"ringway defaults\" prints every key".to_owned(),
                };
                faults.add(origin, format!("unknown key {}; {hint}", value::quoted(path)));
            }
        }
    }

    /// A value outside a file is read as TOML if possible, otherwise as a string.
    fn assign_text(&mut self, key: &'static Key, text: &str, origin: Origin, faults: &mut Faults) {
        let written = match DeValue::parse(text) {
            Ok(written) => written.into_inner(),
            Err(_) => DeValue::String(text.into()),
        };
        self.assign(key, &written, origin, faults);
    }

    fn assign(
        &mut self,
        key: &'static Key,
        written: &DeValue<'_>,
        origin: Origin,
        faults: &mut Faults,
    ) {
        if key.path == ADDRESS {
            self.addresses = read_addresses(key, written, &origin, faults);
            return;
        }
        match value::check(key, written) {
            Ok(value) => {
                self.values.insert(key.path, Assigned { value, origin });
            }
            Err(message) => faults.add(origin, message),
        }
    }
}

/// Searches the full names first, then the names without their section.
fn nearest_variable(name: &str) -> Option<String> {
    let variables: Vec<_> = keys::settable().map(Key::variable).collect();
    let known = variables.iter().map(String::as_str).chain([FILE_VARIABLE]);
    if let Some(near) = spelling::nearest(name, known) {
        return Some(near.to_owned());
    }
    let rest = name.strip_prefix(VARIABLE_PREFIX)?;
    let key = keys::settable().find(|key| key.name().eq_ignore_ascii_case(rest))?;
    Some(key.variable())
}

/// One address, several in a string with commas, or a list of them.
fn read_addresses(
    key: &Key,
    written: &DeValue<'_>,
    origin: &Origin,
    faults: &mut Faults,
) -> Vec<Assigned> {
    let items: Vec<DeValue<'_>> = match written {
        DeValue::String(text) => {
            text.split(',').map(|item| DeValue::String(item.trim().into())).collect()
        }
        DeValue::Array(items) => items.iter().map(|item| item.get_ref().clone()).collect(),
        other => vec![other.clone()],
    };
    if items.is_empty() {
        faults.add(origin.clone(), "leaves no address to listen on; give at least one");
    }
    let mut addresses = Vec::new();
    for item in &items {
        match value::check(key, item) {
            Ok(value) => addresses.push(Assigned { value, origin: origin.clone() }),
            Err(message) => faults.add(origin.clone(), message),
        }
    }
    addresses
}

/// Whether Kubernetes has set this variable: it gives every container `RINGWAY_SERVICE_HOST`,
/// `RINGWAY_PORT`, `RINGWAY_PORT_8080_TCP_ADDR` and the like if a service is named `ringway…`. They
/// are not settings.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| {
        let rest = rest.trim_start_matches(|character: char| character.is_ascii_digit());
        rest.starts_with("_TCP") || rest.starts_with("_UDP") || rest.starts_with("_SCTP")
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
}
