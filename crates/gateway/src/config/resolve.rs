//! From all sources to one `Config`: the file is read, values are merged by the
//! order of their sources, what no source sets takes its default, and the
//! relations between keys are checked. It never prints.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;
use toml::{Table, Value};

use crate::{
    config::{
        Config, Reach,
        error::{ConfigError, Faults, Origin},
        file::{self, FileValues},
        keys::{self, Key, LISTENER},
        source::{ADDRESS, Assigned, Overrides, Sources, Values},
        table::KEYS,
        topics, units, value,
    },
    limits,
};

impl Config {
    /// Reads all sources, of which the file is read anew. The error holds every
    /// fault that was found, one a line, each with its place.
    ///
    /// ```
    /// use ringway::config::{Config, Sources};
    /// let settings = vec!["limits.handshake_timout=5s".to_owned()];
    /// let error = Config::load(&Sources { settings, ..Sources::default() }).unwrap_err();
    /// assert!(error.to_string().ends_with("did you mean \"limits.handshake_timeout\"?"));
    /// ```
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut faults = Faults::default();
        let file = match &sources.file {
            Some(path) => read_file(path, &mut faults),
            None => FileValues::default(),
        };
        resolve(file, sources, faults)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::load(&Sources::default()).expect("the defaults are in range; a test loads them")
    }
}

fn read_file(path: &Path, faults: &mut Faults) -> FileValues {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => file::parse(&name, &text, faults),
        Err(error) => {
            faults.add(Origin::File(name.into()), format!("cannot be read: {error}"));
            FileValues::default()
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
    file: FileValues,
    sources: &Sources,
    mut faults: Faults,
) -> Result<Config, ConfigError> {
    let overrides = Overrides::read(sources, &mut faults);
    let listeners = merge_listeners(file.listeners, &overrides);
    let mut values = file.values;
    values.extend(overrides.values);

    let mut document = Table::new();
    for key in KEYS.iter().filter(|key| !key.is_of_listener()) {
        insert(&mut document, key, value_of(key, &values).value);
    }
    let tables = listeners.iter().map(|listener| Value::Table(listener_table(listener)));
    document.insert(LISTENER.to_owned(), Value::Array(tables.collect()));
    let tables = file.topics.iter().map(|topic| Value::Table(topics::document(topic)));
    let history = document.get_mut("history").and_then(Value::as_table_mut);
    history
        .expect("it has keys of its own")
        .insert("topic".to_owned(), Value::Array(tables.collect()));
    let config: Config = Value::Table(document)
        .try_into()
        .expect("the table of keys and Config agree; a test loads every key");

    check_listeners(&config, &listeners, &values, &mut faults);
    check_relations(&config, &values, &mut faults);
    topics::check(&config.history, &file.topics, &mut faults);
    faults.check()?;
    Ok(config)
}

/// Addresses from outside the file replace its listeners; other keys of a
/// listener that come from outside hold for every listener.
fn merge_listeners(from_file: Vec<Values>, overrides: &Overrides) -> Vec<Values> {
    let mut listeners = from_file;
    if !overrides.addresses.is_empty() {
        let listener = |address: &Assigned| Values::from([(ADDRESS, address.clone())]);
        listeners = overrides.addresses.iter().map(listener).collect();
    }
    if listeners.is_empty() {
        listeners.push(Values::new());
    }
    for (path, assigned) in &overrides.values {
        if keys::find(path).is_some_and(Key::is_of_listener) {
            for listener in &mut listeners {
                listener.insert(path, assigned.clone());
            }
        }
    }
    listeners
}

fn listener_table(values: &Values) -> Table {
    KEYS.iter()
        .filter(|key| key.is_of_listener())
        .map(|key| (key.name().to_owned(), value_of(key, values).value))
        .collect()
}

/// The value that was set, or the default.
fn value_of(key: &Key, values: &Values) -> Assigned {
    if let Some(assigned) = values.get(key.path) {
        return assigned.clone();
    }
    let text = value::default_text(&key.kind);
    let written = DeValue::parse(&text).expect("a default is TOML");
    let value = value::check(key, written.get_ref()).expect("a default is in range");
    Assigned { value, origin: Origin::Default }
}

fn insert(document: &mut Table, key: &Key, value: Value) {
    let mut table = document;
    for section in key.section().split('.') {
        table = table
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .expect("a section is no key");
    }
    table.insert(key.name().to_owned(), value);
}

fn check_listeners(config: &Config, listeners: &[Values], values: &Values, faults: &mut Faults) {
    let origin = |values: &Values, path| {
        values.get(path).map_or(Origin::Default, |assigned| assigned.origin.clone())
    };
    let origins = listeners.iter().map(|listener| origin(listener, ADDRESS));
    if listeners.len() as u64 > limits::LISTENERS_MAX {
        let message = format!(
            "listener: {} of them; there may be at most {}",
            listeners.len(),
            limits::LISTENERS_MAX
        );
        faults.add(origin(&listeners[limits::LISTENERS_MAX as usize], ADDRESS), message);
    }
    let mut taken =
        vec![(config.server.api_listen, "server.api_listen", origin(values, "server.api_listen"))];
    for (listener, origin) in config.listeners.iter().zip(origins) {
        let address = listener.address;
        // Port 0 is a different port each time.
        let twin = taken.iter().find(|(other, ..)| *other == address && address.port() != 0);
        if let Some((_, key, twin_origin)) = twin {
            let message = format!(
                "listener.address = \"{address}\" is taken by {key} ({twin_origin}); \
                 give each its own address or port"
            );
            // The default cannot be at fault when the other one was written.
            let origin = if origin == Origin::Default { twin_origin } else { &origin };
            faults.add(origin.clone(), message);
        }
        if Reach::of(address) == Reach::OtherMachines
            && !config.server.allow_anonymous_on_public_address
        {
            let message = format!(
                "listener.address = \"{address}\" can be reached from other machines, and \
                 clients need no credentials; listen on 127.0.0.1 behind a proxy that asks for \
                 them, or set server.allow_anonymous_on_public_address = true"
            );
            faults.add(origin.clone(), message);
        }
        taken.push((address, ADDRESS, origin));
    }
}

/// One key bounds another one: the lesser and the greater, each with its value, and why.
type Relation = ([(&'static str, String); 2], &'static str);

fn check_relations(config: &Config, values: &Values, faults: &mut Faults) {
    let Config { limits, websocket, history, http, .. } = config;
    let mut broken: Vec<Relation> = Vec::new();
    if limits.target_bytes_max > limits.header_bytes_max {
        let lesser = ("limits.target_bytes_max", limits.target_bytes_max.to_string());
        let greater = ("limits.header_bytes_max", limits.header_bytes_max.to_string());
        broken.push(([lesser, greater], "includes it"));
    }
    if websocket.message_bytes_max as u64 > history.bytes_max {
        let lesser = ("websocket.message_bytes_max", websocket.message_bytes_max.to_string());
        let greater = ("history.bytes_max", history.bytes_max.to_string());
        broken.push(([lesser, greater], "must have room for it"));
    }
    if http.poll_wait > http.poll_wait_max {
        let shown = |wait: Duration| value::quoted(&units::duration_text(wait.as_millis() as u64));
        let lesser = ("http.poll_wait", shown(http.poll_wait));
        let greater = ("http.poll_wait_max", shown(http.poll_wait_max));
        broken.push(([lesser, greater], "bounds it"));
    }
    for ([(lesser, less), (greater, more)], why) in broken {
        // The default cannot be at fault when the other one was written.
        let origin = [lesser, greater]
            .iter()
            .find_map(|path| values.get(path))
            .map_or(Origin::Default, |assigned| assigned.origin.clone());
        let message = format!(
            "{lesser} = {less} is more than {greater} = {more}, which {why}; lower the first or \
             raise the second"
        );
        faults.add(origin, message);
    }
}
