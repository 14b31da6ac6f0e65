//! The printed defaults are the defaults, every key can be set from everywhere
//! and to either end of its range, and later sources win.

use std::collections::BTreeSet;

use crate::{
    config::{
        error::Faults,
        keys::{Key, Kind},
        table::KEYS,
        tests::{environment, flags, from_file, load, settings},
        value::default_text,
        *,
    },
    limits::{Bound, Preset},
};

/// Keys of which the most is more than the default of the key that bounds them.
const OF_ANOTHER: [&str; 3] =
    ["limits.target_bytes_max", "websocket.message_bytes_max", "http.poll_wait"];

/// A value that the key may have and that is not its default, as TOML.
fn another_value(key: &Key) -> String {
    let number = |bound: &Bound, unit: &str| {
        let smallest =
            bound.default == Preset::Exactly(bound.most) || OF_ANOTHER.contains(&key.path);
        let value = if smallest { bound.least } else { bound.most };
        if unit.is_empty() { value.to_string() } else { format!("\"{value}{unit}\"") }
    };
    match &key.kind {
        Kind::Duration(bound) | Kind::WholeSeconds(bound) => number(bound, "ms"),
        Kind::Size(bound) => number(bound, "B"),
        Kind::Count(bound) | Kind::PowerOfTwo(bound) => number(bound, ""),
        Kind::Switch(default) => (!default).to_string(),
        Kind::Word(words, default) => {
            format!("{:?}", words.iter().find(|word| *word != default).unwrap())
        }
        Kind::Address(_) => "\"127.0.0.1:9999\"".to_owned(),
        Kind::Networks(_) => "[\"10.0.0.0/8\"]".to_owned(),
        Kind::Patterns(_) => "[\"news\", \"chat.*\"]".to_owned(),
        Kind::Pattern => "\"news\"".to_owned(),
        Kind::Origins => "[\"https://example.org\", \"*\"]".to_owned(),
        Kind::Hosts => "[\"ringway.internal\"]".to_owned(),
        Kind::Cores => "\"0,2-3\"".to_owned(),
    }
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let text = defaults_text();
    assert_eq!(from_file(&text), Ok(Config::default()));

    let mut faults = Faults::default();
    let read = file::parse("defaults", &text, &mut faults);
    let printed: BTreeSet<_> =
        read.values.keys().chain(read.listeners.iter().flat_map(|one| one.keys())).collect();
    assert_eq!(printed.len(), KEYS.len(), "each key is printed");
    for key in KEYS {
        assert!(text.contains(&format!("# [{}]\n", key.variable())), "{}", key.path);
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "lines are short");
}

#[test]
fn every_key_is_set_by_file_by_variable_and_by_set_alike() {
    for key in KEYS {
        let toml = another_value(key);
        let bare = toml.trim_matches('"');
        let section = keys::find_section(key.section()).unwrap().header();
        let address = match key.path {
            "listener.backlog" => "address = \"127.0.0.1:8080\"\n",
            _ => "",
        };
        let text = format!("{section}\n{address}{} = {toml}\n", key.name());
        let by_file = from_file(&text).unwrap();
        assert_ne!(by_file, Config::default(), "{} takes effect", key.path);

        for value in [bare, &toml] {
            let by_variable = load("", &environment(&[(&key.variable(), value)]));
            assert_eq!(by_variable.as_ref(), Ok(&by_file), "{} = {value}", key.variable());
            let by_set = load("", &settings(&[&format!("{}={value}", key.path)]));
            assert_eq!(by_set.as_ref(), Ok(&by_file), "--set {}={value}", key.path);
        }

        // And back: the default as a text from a later source undoes the file.
        let undone = settings(&[&format!("{}={}", key.path, default_text(&key.kind))]);
        assert_eq!(load(&text, &undone), Ok(Config::default()), "{}", key.path);
    }
}

#[test]
fn every_end_of_every_range_is_allowed_and_nothing_beyond() {
    for key in KEYS {
        let (bound, unit) = match &key.kind {
            Kind::Duration(bound) | Kind::WholeSeconds(bound) => (bound, "ms"),
            Kind::Size(bound) => (bound, "B"),
            Kind::Count(bound) | Kind::PowerOfTwo(bound) => (bound, ""),
            _ => continue,
        };
        let result = |value: u64| {
            let mut given = vec![format!("{}={value}{unit}", key.path)];
            let room = match key.path {
                "limits.target_bytes_max" => Some("limits.header_bytes_max=64KiB"),
                "limits.header_bytes_max" => Some("limits.target_bytes_max=256"),
                "websocket.message_bytes_max" => Some("history.bytes_max=1GiB"),
                "history.bytes_max" => Some("websocket.message_bytes_max=125"),
                "http.poll_wait" => Some("http.poll_wait_max=1h"),
                "http.poll_wait_max" => Some("http.poll_wait=0s"),
                _ => None,
            };
            given.extend(room.map(str::to_owned));
            let given: Vec<_> = given.iter().map(String::as_str).collect();
            load("", &settings(&given))
        };
        assert!(result(bound.least).is_ok(), "{} at its least", key.path);
        assert!(result(bound.most).is_ok(), "{} at its most", key.path);
        let above = result(bound.most + 1).unwrap_err();
        assert!(above.contains("is out of range; it may be from "), "{above}");
        if bound.least > 0 {
            let below = result(bound.least - 1).unwrap_err();
            assert!(below.contains("is out of range; it may be from "), "{below}");
        }
    }
}

#[test]
fn later_sources_win() {
    let file = "[server]\nio = \"uring\"\n[[listener]]\naddress = \"127.0.0.1:1\"\nbacklog = 9\n";
    let mut sources = Sources::default();
    let first = |sources: &Sources| {
        let config = load(file, sources).unwrap();
        (config.server.io, config.listeners)
    };
    let listener =
        |port: u16, backlog| Listener { address: ([127, 0, 0, 1], port).into(), backlog };
    assert_eq!(first(&sources), (Io::Uring, vec![listener(1, 9)]));

    sources.environment = environment(&[
        ("RINGWAY_SERVER_IO", "epoll"),
        ("RINGWAY_LISTENER_ADDRESS", "127.0.0.1:2,127.0.0.1:3"),
        ("PATH", "/bin"),
    ])
    .environment;
    assert_eq!(first(&sources), (Io::Epoll, vec![listener(2, 4096), listener(3, 4096)]));

    sources.settings = settings(&[
        "server.io=uring",
        "server.io=auto",
        "listener.address=[\"127.0.0.1:4\", \"127.0.0.1:5\"]",
        "listener.backlog=7",
    ])
    .settings;
    assert_eq!(first(&sources), (Io::Auto, vec![listener(4, 7), listener(5, 7)]));

    sources.flags = flags(&[
        ("--io", "server.io", "epoll"),
        ("--listen", "listener.address", "127.0.0.1:6"),
        ("--listen", "listener.address", "127.0.0.1:7"),
    ])
    .flags;
    assert_eq!(first(&sources), (Io::Epoll, vec![listener(6, 7), listener(7, 7)]));
}

#[test]
fn what_kubernetes_sets_beside_a_service_is_passed_over() {
    let sources = environment(&[
        ("RINGWAY_SERVICE_HOST", "10.0.0.1"),
        ("RINGWAY_SERVICE_PORT", "8080"),
        ("RINGWAY_SERVICE_PORT_HTTP", "8080"),
        ("RINGWAY_PORT", "tcp://10.0.0.1:8080"),
        ("RINGWAY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("RINGWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("RINGWAY_API_PORT_8081_TCP_PROTO", "tcp"),
    ]);
    assert_eq!(load("", &sources), Ok(Config::default()));
    for key in KEYS {
        let name = key.variable();
        assert!(!source::is_service_link(&name, "tcp://10.0.0.1:8080"), "{name} is a setting");
    }
}
