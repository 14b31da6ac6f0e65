//! Resolves all sources into one `Config`: it reads the file, merges values by the order of their
//! sources, uses the default for other keys, and checks the relations between keys. It never
//! prints.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::{
    config::{
        Config, HistoryTopic, Hook, Listener, Route,
        error::{ConfigError, Faults, Origin},
        file::{self, Tables},
        hooks,
        keys::{self, Key},
        read, routes,
        source::{ADDRESS, Assigned, Overrides, Sources, Values},
        table::SECTIONS,
        topics, value,
    },
    limits,
};

impl Config {
    /// Reads all sources; the file is read again at each call. The error lists every fault, one on
    /// each line, with its place.
    ///
    /// ```
    /// use ringway::config::{Config, Sources};
    /// let settings = vec!["limits.handshake_timout=5s".to_owned()];
    /// let error = Config::load(&Sources { settings, ..Sources::default() }).unwrap_err();
    /// assert!(error.to_string().ends_with("did you mean \"limits.handshake_timeout\"?"));
    /// ```
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        load_tables(sources).map(|(config, _)| config)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::load(&Sources::default()).expect("the defaults are in range; a test loads them")
    }
}

/// The configuration, and the values and origins that it was read from.
pub(super) fn load_tables(sources: &Sources) -> Result<(Config, Tables), ConfigError> {
    let mut faults = Faults::default();
    let file = match &sources.file {
        Some(path) => read_file(path, &mut faults),
        None => Tables::default(),
    };
    resolve(file, sources, faults)
}

fn read_file(path: &Path, faults: &mut Faults) -> Tables {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => file::parse(&name, &text, faults),
        Err(error) => {
            faults.add(Origin::File(name.into()), format!("cannot be read: {error}"));
            Tables::default()
        }
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limits::CONFIG_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limits::CONFIG_FILE_BYTES_MAX {
        return Err(io::Error::other("it has more than 1 MiB; is this the right file?"));
    }
    Ok(text)
}

/// One configuration from a file's values and the other sources.
pub(super) fn resolve(
    file: Tables,
    sources: &Sources,
    mut faults: Faults,
) -> Result<(Config, Tables), ConfigError> {
    let overrides = Overrides::read(sources, &mut faults);
    let tables = merge(file, overrides);
    let config = Config::read(&tables);
    check_listeners(&config, &tables, &mut faults);
    topics::check(tables.each(HistoryTopic::SECTION), &mut faults);
    routes::check(tables.each(Route::SECTION), &mut faults);
    hooks::check(tables.each(Hook::SECTION), &mut faults);
    for section in SECTIONS {
        for values in tables.of(section) {
            section.keys.iter().for_each(|key| check_relation(key, values, &tables, &mut faults));
        }
    }
    faults.check()?;
    Ok((config, tables))
}

/// Addresses from outside the file replace its listeners; other listener keys from outside apply to
/// every listener.
fn merge(mut tables: Tables, overrides: Overrides) -> Tables {
    let listeners = tables.repeated.entry(Listener::SECTION.path).or_default();
    if !overrides.addresses.is_empty() {
        let listener = |address: &Assigned| Values::from([(ADDRESS, address.clone())]);
        *listeners = overrides.addresses.iter().map(listener).collect();
    }
    if listeners.is_empty() {
        listeners.push(Values::new());
    }
    for (path, assigned) in overrides.values {
        if Listener::SECTION.keys.iter().any(|key| key.path == path) {
            for listener in &mut *listeners {
                listener.insert(path, assigned.clone());
            }
        } else {
            tables.once.insert(path, assigned);
        }
    }
    tables
}

fn origin(values: &Values, path: &str) -> Origin {
    values.get(path).map_or(Origin::Default, |assigned| assigned.origin.clone())
}

fn check_listeners(config: &Config, tables: &Tables, faults: &mut Faults) {
    let listeners = tables.each(Listener::SECTION);
    let origins = listeners.iter().map(|listener| origin(listener, ADDRESS));
    if listeners.len() as u64 > limits::LISTENERS_MAX {
        let message = format!(
            "listener: there are {} sections; at most {} are allowed",
            listeners.len(),
            limits::LISTENERS_MAX
        );
        faults.add(origin(&listeners[limits::LISTENERS_MAX as usize], ADDRESS), message);
    }
    let mut taken = Vec::new();
    if config.server.api_socket.is_empty() {
        let (key, address) = ("server.api_listen", config.server.api_listen);
        let origin = origin(&tables.once, key);
        let what = format!("{key} = \"{address}\"");
        if let Some(message) = config.api_exposure(&what, address) {
            faults.add(origin.clone(), message);
        }
        taken.push((address, key, origin));
    }
    for (listener, origin) in config.listeners.iter().zip(origins) {
        let address = listener.address;
        // Port 0 becomes a different port each time.
        let twin = taken.iter().find(|(other, ..)| *other == address && address.port() != 0);
        if let Some((_, key, twin_origin)) = twin {
            let message = format!(
                "listener.address = \"{address}\" is taken by {key} ({twin_origin}); \
                 give each its own address or port"
            );
            // If the address is a default, the other one is at fault, because somebody wrote it.
            let origin = if origin == Origin::Default { twin_origin } else { &origin };
            faults.add(origin.clone(), message);
        }
        let what = format!("listener.address = \"{address}\"");
        if let Some(message) = config.exposure(&what, address) {
            faults.add(origin.clone(), message);
        }
        taken.push((address, ADDRESS, origin));
    }
}

/// Reports a value that is greater than another key allows.
fn check_relation(key: &Key, values: &Values, tables: &Tables, faults: &mut Faults) {
    for (greater, why) in key.at_most {
        let greater = keys::find(greater).expect("a test finds the keys that bound others");
        let (Some(less), Some(more)) =
            (read::assigned(key, values), read::assigned(greater, &tables.once))
        else {
            continue;
        };
        if less.value.as_integer() <= more.value.as_integer() {
            continue;
        }
        let message = format!(
            "{} = {} is more than {} = {}, which {why}; lower the first or raise the second",
            key.path,
            value::text(&key.kind, &less.value),
            greater.path,
            value::text(&greater.kind, &more.value),
        );
        // If one value is a default, the other one is at fault, because somebody wrote it.
        let is_written = less.origin != Origin::Default;
        faults.add(if is_written { less.origin } else { more.origin }, message);
    }
}
