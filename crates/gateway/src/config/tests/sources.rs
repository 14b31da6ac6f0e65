//! The printed defaults are the defaults, every source can set every key to either end of its
//! range, and later sources win.

use crate::config::{
    error::Faults,
    keys::{Change, Key, Kind, Repeats, all, settable},
    settings::Settings,
    table::SECTIONS,
    tests::{environment, flags, from_file, load, settings},
    value::{default_text, text},
    *,
};

/// A value that the key may have and that is not its default, as TOML.
fn another_value(key: &Key) -> String {
    let number = |bound: &Bound| {
        // A key that another key bounds by its default may not have its maximum.
        let is_least = bound.default == Preset::Exactly(bound.most) || !key.at_most.is_empty();
        text(&key.kind, &((if is_least { bound.least } else { bound.most }) as i64).into())
    };
    match &key.kind {
        Kind::Switch(default) => (!default).to_string(),
        Kind::Word(words, default) => {
            format!("{:?}", words.iter().find(|word| *word != default).unwrap())
        }
        Kind::Address(_) => "\"127.0.0.1:9999\"".to_owned(),
        Kind::Balance(_) => "\"hash(ip)\"".to_owned(),
        Kind::Networks(_) => "[\"10.0.0.0/8\"]".to_owned(),
        Kind::Patterns(_) => "[\"news\", \"chat.*\"]".to_owned(),
        Kind::Pattern(_) => "\"news\"".to_owned(),
        Kind::Text(example)
        | Kind::OptionalText(example)
        | Kind::HookUrl(example)
        | Kind::Path(example) => format!("{example:?}"),
        Kind::Words(_, example) | Kind::FieldNames(example) | Kind::Upstreams(example) => {
            format!("[{example:?}]")
        }
        Kind::Origins => "[\"https://example.org\", \"*\"]".to_owned(),
        Kind::Hosts => "[\"ringway.internal\"]".to_owned(),
        Kind::Cores => "\"0,2-3\"".to_owned(),
        kind => number(kind.bound().unwrap()),
    }
}

/// A file that sets this key, and the keys that its section requires.
fn file_with(key: &Key, toml: &str) -> String {
    let section = keys::find_section(key.section()).unwrap();
    let needed = match section.repeats {
        Repeats::Each(needed) if needed != key.name() => "address = \"127.0.0.1:8080\"\n",
        Repeats::InFile("pattern") if key.name() == "pattern" => "events_max = 1\n",
        Repeats::InFile("pattern") => "pattern = \"a\"\n",
        Repeats::InFile("name") if key.name() != "name" => "name = \"a\"\n",
        Repeats::InFile("algorithms") if key.name() == "algorithms" => "secret_env = \"A\"\n",
        Repeats::InFile("algorithms") => "algorithms = [\"ES256\"]\n",
        Repeats::InFile("certificate_file") if key.name() != "certificate_file" => {
            "certificate_file = \"a\"\n"
        }
        Repeats::InFile("path") if key.name() == "path" => "upstream = \"ws://[::1]:1\"\n",
        Repeats::InFile("path") if key.name() == "upstream" => "path = \"/a\"\n",
        Repeats::InFile("path") => "path = \"/a\"\nupstream = \"ws://[::1]:1\"\n",
        Repeats::InFile("url") if key.name() == "url" => "events = [\"connect\"]\n",
        Repeats::InFile("url") if key.name() == "events" => "url = \"http://a/\"\n",
        Repeats::InFile("url") => "url = \"http://a/\"\nevents = [\"connect\"]\n",
        _ => "",
    };
    format!("{}\n{needed}{} = {toml}\n", section.header(), key.name())
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let text = defaults_text();
    assert_eq!(from_file(&text), Ok(Config::default()));

    let read = file::parse("defaults", &text, &mut Faults::default());
    for section in SECTIONS {
        assert!(text.contains(&section.header()), "{}", section.path);
        for key in section.keys {
            let line = format!("\n{} = ", key.name());
            let is_printed = match section.repeats {
                Repeats::InFile(_) => text.contains(&line.replace('\n', "\n# ")),
                _ => {
                    text.contains(&format!("# [{}]{line}", key.variable()))
                        && read.of(section).iter().all(|values| values.contains_key(key.path))
                }
            };
            assert!(is_printed, "{}", key.path);
        }
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "lines are short");
}

#[test]
fn every_key_is_set_by_file_by_variable_and_by_set_alike() {
    for key in all() {
        let toml = another_value(key);
        let bare = toml.trim_matches('"');
        let text = file_with(key, &toml);
        let by_file = from_file(&text).unwrap();
        assert_ne!(by_file, Config::default(), "{} takes effect", key.path);
        let setting = format!("{}={toml}", key.path);
        let is_settable = settable().any(|one| one.path == key.path);
        let Some(default) = default_text(&key.kind).filter(|_| is_settable) else {
            let refused = load("", &settings(&[&setting])).unwrap_err();
            assert!(refused.contains("unknown key"), "{refused}");
            continue;
        };

        for value in [bare, &toml] {
            let by_variable = load("", &environment(&[(&key.variable(), value)]));
            assert_eq!(by_variable.as_ref(), Ok(&by_file), "{} = {value}", key.variable());
            let by_set = load("", &settings(&[&format!("{}={value}", key.path)]));
            assert_eq!(by_set.as_ref(), Ok(&by_file), "--set {}={value}", key.path);
        }
        let checked = check(&settings(&[&setting])).unwrap();
        let is_shown = |line: &str| {
            line.starts_with(&format!("{} = ", key.name()))
                && line.ends_with(&format!(" # --set {setting}"))
        };
        assert!(checked.lines().any(is_shown), "{checked}");

        // The reverse: a later source with the default as text overrides the file.
        let undone = settings(&[&format!("{}={default}", key.path)]);
        assert_eq!(load(&text, &undone), Ok(Config::default()), "{}", key.path);
    }
}

/// Settings with which no other key prevents this key from having either end of its range.
fn room_for(key: &Key) -> Vec<String> {
    let above = key.at_most.iter().map(|(greater, _)| {
        let greater = keys::find(greater).unwrap();
        (greater, greater.kind.bound().unwrap().most)
    });
    let bounded_by = |other: &&Key| other.at_most.iter().any(|(greater, _)| *greater == key.path);
    let below = settable().filter(bounded_by);
    let below = below.map(|lesser| (lesser, lesser.kind.bound().unwrap().least));
    above
        .chain(below)
        .map(|(key, number)| format!("{}={}", key.path, text(&key.kind, &(number as i64).into())))
        .collect()
}

#[test]
fn the_ends_of_every_range_are_allowed_and_nothing_beyond_them() {
    let mut seen = 0;
    for key in all() {
        let Some(bound) = key.kind.bound() else { continue };
        seen += 1;
        let result = |value: u64| {
            let value = text(&key.kind, &(value as i64).into());
            let room = room_for(key);
            let room: Vec<_> = room.iter().map(String::as_str).collect();
            (value.clone(), load(&file_with(key, &value), &settings(&room)))
        };
        for end in [bound.least, bound.most] {
            let (value, found) = result(end);
            assert!(found.is_ok(), "{} = {value}: {found:?}", key.path);
        }
        for beyond in [bound.least.checked_sub(1), Some(bound.most + 1)].into_iter().flatten() {
            let (value, refused) = result(beyond);
            let refused = refused.unwrap_err();
            let ends = [bound.least, bound.most].map(|end| text(&key.kind, &(end as i64).into()));
            let said = format!(
                ": {} = {value} is out of range; it may be from {} to {}",
                key.path, ends[0], ends[1]
            );
            assert!(refused.contains(&said), "{refused}");
            assert!(refused.ends_with(&format!(" ({})", bound.reason)), "{refused}");
        }
    }
    assert!(seen > 40, "most keys are numbers");
}

/// The message names the key that bounds another one, with both values and the reason.
#[test]
fn no_key_exceeds_a_bound_set_by_another_key() {
    let mut seen = 0;
    for (key, (greater, why)) in all().flat_map(|key| key.at_most.iter().map(move |one| (key, one)))
    {
        seen += 1;
        let greater = keys::find(greater).unwrap();
        let most = bound_of(key.path).most.min(bound_of(greater.path).most) as i64;
        let (more, less) = (text(&key.kind, &most.into()), text(&greater.kind, &(most / 2).into()));
        let refused =
            load(&file_with(key, &more), &settings(&[&format!("{}={less}", greater.path)]));
        let said = format!(
            "{} = {more} is more than {} = {less}, which {why}; lower the first or raise the second",
            key.path, greater.path
        );
        let refused = refused.unwrap_err();
        assert!(refused.contains(&said), "{refused}\n{said}");
    }
    assert_eq!(seen, 5);
}

/// Replacing a configuration changes the keys that the table marks as live, and no others.
#[test]
fn only_live_keys_are_replaced_at_run_time() {
    let running = Settings::from_config(&Config::default());
    let mut live = Vec::new();
    for key in settable() {
        let setting = format!("{}={}", key.path, another_value(key));
        let next = Settings::from_config(&load("", &settings(&[&setting])).unwrap());
        let replaced = running.replaced_by(&next);
        match key.change {
            Change::Live => {
                assert_ne!(next, running, "{}", key.path);
                assert_eq!(replaced, next, "{}", key.path);
                live.push(key.path);
            }
            Change::Restart => assert_eq!(replaced, running, "{}", key.path),
        }
    }
    assert!(live.len() > 20 && live.len() < settable().count() / 2, "{live:?}");
}

/// Otherwise a replaced value could exceed the current value of the key that bounds it.
#[test]
fn keys_that_bound_each_other_are_replaced_together() {
    for (key, (greater, _)) in all().flat_map(|key| key.at_most.iter().map(move |one| (key, one))) {
        assert_eq!(key.change, keys::find(greater).unwrap().change, "{}", key.path);
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
    let listener = |port: u16, backlog| Listener {
        address: ([127, 0, 0, 1], port).into(),
        backlog,
        speaks_tls: false,
        proxy_protocol: false,
    };
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
fn the_variables_that_kubernetes_sets_for_a_service_are_ignored() {
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
    for key in settable() {
        let name = key.variable();
        assert!(!source::is_service_link(&name, "tcp://10.0.0.1:8080"), "{name} is a setting");
    }
}
