//! What the configuration promises as a whole: the printed defaults are the
//! defaults, every key can be set from everywhere, later sources win, and each
//! fault says where it is and how to mend it. Parts have their tests beside them.

use std::collections::BTreeSet;

use super::error::Faults;
use super::keys::{KEYS, Key, Kind};
use super::value::default_text;
use super::*;
use crate::limits::{Bound, Preset};

/// A configuration from the text of a file that is called `ringway.toml`.
fn load(text: &str, sources: &Sources) -> Result<Config, String> {
    let mut faults = Faults::default();
    let file = file::parse("ringway.toml", text, &mut faults);
    resolve::resolve(file, sources, faults).map_err(|error| error.to_string())
}

fn from_file(text: &str) -> Result<Config, String> {
    load(text, &Sources::default())
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    let environment = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    Sources {
        environment,
        ..Sources::default()
    }
}

fn settings(settings: &[&str]) -> Sources {
    let settings = settings
        .iter()
        .map(|setting| (*setting).to_owned())
        .collect();
    Sources {
        settings,
        ..Sources::default()
    }
}

fn flags(flags: &[(&'static str, &'static str, &str)]) -> Sources {
    let flag = |&(name, key, value): &(&'static str, &'static str, &str)| {
        let value = value.to_owned();
        Flag { name, key, value }
    };
    Sources {
        flags: flags.iter().map(flag).collect(),
        ..Sources::default()
    }
}

/// A value that the key may have and that is not its default, as TOML.
fn another_value(key: &Key) -> String {
    let number = |bound: &Bound, unit: &str| {
        // The largest target does not fit in the default head.
        let smallest =
            bound.default == Preset::Exactly(bound.most) || key.path == "limits.target_bytes_max";
        let value = if smallest { bound.least } else { bound.most };
        if unit.is_empty() {
            value.to_string()
        } else {
            format!("\"{value}{unit}\"")
        }
    };
    match &key.kind {
        Kind::Duration(bound) => number(bound, "ms"),
        Kind::Size(bound) => number(bound, "B"),
        Kind::Count(bound) | Kind::PowerOfTwo(bound) => number(bound, ""),
        Kind::Switch(default) => (!default).to_string(),
        Kind::Word(words, default) => {
            format!("{:?}", words.iter().find(|word| *word != default).unwrap())
        }
        Kind::Address(_) => "\"127.0.0.1:9999\"".to_owned(),
        Kind::Networks(_) => "[\"10.0.0.0/8\"]".to_owned(),
        Kind::Cores => "\"0,2-3\"".to_owned(),
    }
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let text = defaults_text();
    assert_eq!(from_file(&text), Ok(Config::default()));

    let mut faults = Faults::default();
    let read = file::parse("defaults", &text, &mut faults);
    let printed: BTreeSet<_> = read
        .values
        .keys()
        .chain(read.listeners.iter().flat_map(|one| one.keys()))
        .collect();
    assert_eq!(printed.len(), KEYS.len(), "each key is printed");
    for key in KEYS {
        assert!(
            text.contains(&format!("# [{}]\n", key.variable())),
            "{}",
            key.path
        );
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "lines are short"
    );
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
            assert_eq!(
                by_variable.as_ref(),
                Ok(&by_file),
                "{} = {value}",
                key.variable()
            );
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
            Kind::Duration(bound) => (bound, "ms"),
            Kind::Size(bound) => (bound, "B"),
            Kind::Count(bound) | Kind::PowerOfTwo(bound) => (bound, ""),
            _ => continue,
        };
        let result = |value: u64| {
            let mut given = vec![format!("{}={value}{unit}", key.path)];
            match key.path {
                "limits.target_bytes_max" => given.push("limits.header_bytes_max=64KiB".into()),
                "limits.header_bytes_max" => given.push("limits.target_bytes_max=256".into()),
                _ => {}
            }
            let given: Vec<_> = given.iter().map(String::as_str).collect();
            load("", &settings(&given))
        };
        assert!(result(bound.least).is_ok(), "{} at its least", key.path);
        assert!(result(bound.most).is_ok(), "{} at its most", key.path);
        let above = result(bound.most + 1).unwrap_err();
        assert!(
            above.contains("is out of range; it may be from "),
            "{above}"
        );
        if bound.least > 0 {
            let below = result(bound.least - 1).unwrap_err();
            assert!(
                below.contains("is out of range; it may be from "),
                "{below}"
            );
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
    let listener = |port: u16, backlog| Listener {
        address: ([127, 0, 0, 1], port).into(),
        backlog,
    };
    assert_eq!(first(&sources), (Io::Uring, vec![listener(1, 9)]));

    sources.environment = environment(&[
        ("RINGWAY_SERVER_IO", "epoll"),
        ("RINGWAY_LISTENER_ADDRESS", "127.0.0.1:2,127.0.0.1:3"),
        ("PATH", "/bin"),
    ])
    .environment;
    assert_eq!(
        first(&sources),
        (Io::Epoll, vec![listener(2, 4096), listener(3, 4096)])
    );

    sources.settings = settings(&[
        "server.io=uring",
        "server.io=auto",
        "listener.address=[\"127.0.0.1:4\", \"127.0.0.1:5\"]",
        "listener.backlog=7",
    ])
    .settings;
    assert_eq!(
        first(&sources),
        (Io::Auto, vec![listener(4, 7), listener(5, 7)])
    );

    sources.flags = flags(&[
        ("--io", "server.io", "epoll"),
        ("--listen", "listener.address", "127.0.0.1:6"),
        ("--listen", "listener.address", "127.0.0.1:7"),
    ])
    .flags;
    assert_eq!(
        first(&sources),
        (Io::Epoll, vec![listener(6, 7), listener(7, 7)])
    );
}

#[test]
fn a_file_says_all_its_faults_by_line() {
    let text = r#"[server]
io = "urin"
cores = "3-1"
api_listen = "127.0.0.1:8080"
receive_buffers = 1000
[[listener]]
address = "127.0.0.1:8080"
[[listener]]
backlog = 0
[[listener]]
address = "localhost:80"
[limits]
handshake_timout = "10s"
handshake_timeout = 10
header_bytes_max = "1KiB"
queue_bytes_max = 12
frobnicate = 1
connections_per_address_exempt = ["10.0.0.0/33"]
[websocket.deflat]
level = 3
[websocket.deflate]
level = 10
enabled = "yes"
[limit]
x = 1
"#;
    let expected = r#"ringway.toml:2:6: server.io = "urin" is not one of "auto", "uring", "epoll"; did you mean "uring"?
ringway.toml:3:9: server.cores = "3-1" is not a choice of cores: 3-1 runs backwards
ringway.toml:5:19: server.receive_buffers = 1000 is not a power of two; write 512 or 1024
ringway.toml:7:11: listener.address = "127.0.0.1:8080" is taken by server.api_listen (ringway.toml:4:14); give each its own address or port
ringway.toml:8: [[listener]] has no address; add one such as address = "127.0.0.1:8080"
ringway.toml:9:11: listener.backlog = 0 is out of range; it may be from 1 to 65535
ringway.toml:11:11: listener.address = "localhost:80" is not an IP address and a port; write them like "127.0.0.1:8080" or "[::1]:8080", without a host name
ringway.toml:13: unknown key "handshake_timout" in [limits]; did you mean "handshake_timeout"?
ringway.toml:14:21: limits.handshake_timeout = 10 has no unit; write "10s" for seconds or "10ms" for milliseconds
ringway.toml:15:20: limits.target_bytes_max = 8192 is more than limits.header_bytes_max = 1024, which includes it; lower the first or raise the second
ringway.toml:16: unknown key "queue_bytes_max" in [limits]; did you mean "queue_bytes_max" in [websocket]?
ringway.toml:17: unknown key "frobnicate" in [limits]; its keys are connections_max, connections_per_address_max, connections_per_address_exempt, handshake_timeout, header_bytes_max, header_fields_max, target_bytes_max, keep_alive_timeout, requests_per_connection_max
ringway.toml:18:34: limits.connections_per_address_exempt = ["10.0.0.0/33"] has "10.0.0.0/33", which is not a network; write an address and a prefix length, such as "10.0.0.0/8"
ringway.toml:19: unknown section [websocket.deflat]; did you mean [websocket.deflate]?
ringway.toml:22:9: websocket.deflate.level = 10 is out of range; it may be from 1 to 9
ringway.toml:23:11: websocket.deflate.enabled = "yes" is not a switch; write true or false, without quotes
ringway.toml:24: unknown section [limit]; did you mean [limits]?"#;
    let found = from_file(text).unwrap_err();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected);
}

#[test]
fn a_single_fault_says_where_and_how_to_mend_it() {
    let unit = "(B, KiB, MiB or GiB), such as \"64KiB\"";
    let sections = "[server], [[listener]], [websocket], [websocket.deflate], [limits], [log]";
    let each = "listener is a section for each of several; write [[listener]], with two brackets";
    let table = [
        ("[limits]\nhandshake_timeout = 10s", "2:21: string values must be quoted, expected literal string".to_owned()),
        ("[server]\n[server]", "2:2: duplicate key".to_owned()),
        ("io = \"epoll\"", "1: unknown key \"io\" outside every section; did you mean \"io\" in [server]?".to_owned()),
        ("frobnicate = 1", format!("1: unknown key \"frobnicate\" outside every section; the sections are {sections}")),
        ("[cluster]", format!("1: unknown section [cluster]; the sections are {sections}")),
        ("[[limit]]", "1: unknown section [limit]; did you mean [limits]?".to_owned()),
        ("\"limits.header_bytes_max\" = 1", format!("1: unknown key \"limits.header_bytes_max\" outside every section; the sections are {sections}")),
        ("[listener]\naddress = \"127.0.0.1:1\"", format!("1: {each}")),
        ("listener = []", format!("1: {each}")),
        ("listener = [1]", "1: [[listener]] holds sections, not values".to_owned()),
        ("[[log]]", "1: log is a section; write [log]".to_owned()),
        ("server = 3", "1: server is a section; write [server]".to_owned()),
        ("limits.header_fields_max = -1", "1:28: limits.header_fields_max = -1 is out of range; it may be from 16 to 256".to_owned()),
        ("limits.header_fields_max = \"64\"", "1:28: limits.header_fields_max = \"64\" is not a whole number; write one without quotes".to_owned()),
        ("limits.header_fields_max = 99999999999999999999", "1:28: limits.header_fields_max = 99999999999999999999 is out of range; it may be from 16 to 256".to_owned()),
        ("limits.header_bytes_max = \"16KB\"", format!("1:27: limits.header_bytes_max = \"16KB\" is not a size; write bytes, or a whole number and a unit {unit}")),
        ("limits.header_bytes_max = 1.5", format!("1:27: limits.header_bytes_max = 1.5 is not a size; write bytes, or a whole number and a unit {unit}")),
        ("limits.header_bytes_max = \"1GiB\"", "1:27: limits.header_bytes_max = \"1GiB\" is out of range; it may be from \"1KiB\" to \"64KiB\"".to_owned()),
        ("limits.connections_max = \"all\"", "1:26: limits.connections_max = \"all\" is not a whole number; write one without quotes, or \"auto\"".to_owned()),
        ("limits.connections_max = 0", "1:26: limits.connections_max = 0 is out of range; it may be from 1 to 16777216, or \"auto\"".to_owned()),
        ("server.drain_time = \"20\"", "1:21: server.drain_time = \"20\" has no unit; write \"20s\" for seconds or \"20ms\" for milliseconds".to_owned()),
        ("server.drain_time = \"2 days\"", "1:21: server.drain_time = \"2 days\" is not a duration; write a whole number and a unit (ms, s, m or h), such as \"10s\"".to_owned()),
        ("server.drain_time = true", "1:21: server.drain_time = true is not a duration; write a whole number and a unit (ms, s, m or h), such as \"10s\"".to_owned()),
        ("server.drain_time = \"2h\"", "1:21: server.drain_time = \"2h\" is out of range; it may be from \"0s\" to \"1h\"".to_owned()),
        ("server.io = 1", "1:13: server.io = 1 is not a word; write one of \"auto\", \"uring\", \"epoll\"".to_owned()),
        ("limits.connections_per_address_exempt = [1]", "1:41: limits.connections_per_address_exempt = [1] is not a list of strings".to_owned()),
        (
            "[[listener]]\naddress = \"[::]:80\"",
            "2:11: listener.address = \"[::]:80\" can be reached from other machines, and clients need no credentials; listen on 127.0.0.1 behind a proxy that asks for them, or set server.allow_anonymous_on_public_address = true".to_owned(),
        ),
        (
            "[[listener]]\naddress = \"127.0.0.1:80\"\n[[listener]]\naddress = \"127.0.0.1:80\"",
            "4:11: listener.address = \"127.0.0.1:80\" is taken by listener.address (ringway.toml:2:11); give each its own address or port".to_owned(),
        ),
        ("server.api_listen = \"127.0.0.1:8080\"", "1:21: listener.address = \"127.0.0.1:8080\" is taken by server.api_listen (ringway.toml:1:21); give each its own address or port".to_owned()),
    ];
    for (text, expected) in table {
        let found = from_file(text).unwrap_err();
        assert_eq!(found, format!("ringway.toml:{expected}"), "{text}");
    }
}

#[test]
fn a_fault_outside_the_file_names_its_source() {
    let table = [
        (
            environment(&[("RINGWAY_LIMITS_HANDSHAKE_TIMOUT", "5s")]),
            "RINGWAY_LIMITS_HANDSHAKE_TIMOUT: unknown variable; did you mean RINGWAY_LIMITS_HANDSHAKE_TIMEOUT?",
        ),
        (
            environment(&[("RINGWAY_COMFIG", "x")]),
            "RINGWAY_COMFIG: unknown variable; did you mean RINGWAY_CONFIG?",
        ),
        (
            environment(&[("RINGWAY_WORKERS", "5")]),
            "RINGWAY_WORKERS: unknown variable; unset it; \"ringway defaults\" shows every name",
        ),
        (
            environment(&[("RINGWAY_HANDSHAKE_TIMEOUT", "5s")]),
            "RINGWAY_HANDSHAKE_TIMEOUT: unknown variable; did you mean RINGWAY_LIMITS_HANDSHAKE_TIMEOUT?",
        ),
        (
            environment(&[("RINGWAY_LISTENER_PORT", "80")]),
            "RINGWAY_LISTENER_PORT: unknown variable; unset it; \"ringway defaults\" shows every name",
        ),
        (
            environment(&[("RINGWAY_SERVER_DRAIN_TIME", "5")]),
            "RINGWAY_SERVER_DRAIN_TIME: server.drain_time = 5 has no unit; write \"5s\" for seconds or \"5ms\" for milliseconds",
        ),
        (
            settings(&["limits.handshake_timout=5s"]),
            "--set limits.handshake_timout=5s: unknown key \"limits.handshake_timout\"; did you mean \"limits.handshake_timeout\"?",
        ),
        (
            settings(&["io=epoll"]),
            "--set io=epoll: unknown key \"io\"; did you mean \"server.io\"?",
        ),
        (
            settings(&["limits=1"]),
            "--set limits=1: unknown key \"limits\"; \"ringway defaults\" prints every key",
        ),
        (
            settings(&["log.level"]),
            "--set log.level: has no \"=\"; write --set key=value",
        ),
        (
            settings(&["listener.address=[]"]),
            "--set listener.address=[]: leaves no address to listen on; give at least one",
        ),
        (
            flags(&[("--io", "server.io", "kqueue")]),
            "--io kqueue: server.io = \"kqueue\" is not one of \"auto\", \"uring\", \"epoll\"",
        ),
        (
            flags(&[("--listen", "listener.address", "0.0.0.0:80")]),
            "--listen 0.0.0.0:80: listener.address = \"0.0.0.0:80\" can be reached from other machines, and clients need no credentials; listen on 127.0.0.1 behind a proxy that asks for them, or set server.allow_anonymous_on_public_address = true",
        ),
    ];
    for (sources, expected) in table {
        assert_eq!(load("", &sources).unwrap_err(), expected);
    }
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
        assert!(
            !source::is_service_link(&name, "tcp://10.0.0.1:8080"),
            "{name} is a setting"
        );
    }
}

#[test]
fn a_public_address_is_served_when_the_config_says_so_and_a_warning_says_it() {
    let text = "[server]\nallow_anonymous_on_public_address = true\n\
                api_listen = \"0.0.0.0:8081\"\n[[listener]]\naddress = \"0.0.0.0:80\"\n";
    let config = from_file(text).unwrap();
    assert_eq!(
        config.warnings(),
        [
            "anonymous clients are allowed: whoever can reach 0.0.0.0:80 may connect without \
             credentials",
            "server.api_listen = \"0.0.0.0:8081\" can be reached from other machines, and the \
             API asks for no credentials; let a firewall keep clients away from it",
        ]
    );
    assert_eq!(Config::default().warnings().len(), 1);
}

#[test]
fn port_zero_may_be_listened_on_twice() {
    let address = "127.0.0.1:0,127.0.0.1:0";
    let sources = environment(&[
        ("RINGWAY_LISTENER_ADDRESS", address),
        ("RINGWAY_SERVER_API_LISTEN", "127.0.0.1:0"),
    ]);
    assert_eq!(load("", &sources).unwrap().listeners.len(), 2);
}

#[test]
fn lists_are_bounded() {
    let addresses: Vec<_> = (1..=65).map(|port| format!("127.0.0.1:{port}")).collect();
    let addresses = addresses.join(",");
    let error = load(
        "",
        &environment(&[("RINGWAY_LISTENER_ADDRESS", &addresses)]),
    );
    assert!(
        error
            .unwrap_err()
            .ends_with(": listener: 65 of them; there may be at most 64")
    );

    let networks = vec!["10.0.0.0/8"; 65].join(",");
    let networks = [(
        "RINGWAY_LIMITS_CONNECTIONS_PER_ADDRESS_EXEMPT",
        networks.as_str(),
    )];
    let error = load("", &environment(&networks)).unwrap_err();
    assert!(error.ends_with(" has more than 64 networks; join some"));
}

#[test]
fn connections_fit_in_the_descriptors() {
    let limits = |text: &str| from_file(text).unwrap().limits;
    let auto = limits("");
    assert_eq!(auto.connections_max_within(896), Ok(896));
    assert_eq!(auto.connections_max_within(u64::MAX), Ok(16_777_216));
    assert_eq!(
        auto.connections_max_within(0).unwrap_err().to_string(),
        "the limit of open files leaves no room for connections; raise it (LimitNOFILE= in the \
         unit, ulimit -n in a shell)"
    );
    let given = limits("limits.connections_max = 1000");
    assert_eq!(given.connections_max_within(1000), Ok(1000));
    assert_eq!(
        given.connections_max_within(896).unwrap_err().to_string(),
        "limits.connections_max = 1000, but the limit of open files leaves room for 896; raise \
         it (LimitNOFILE= in the unit, ulimit -n in a shell) by 104 or lower \
         limits.connections_max"
    );
}

#[test]
fn check_says_what_would_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ringway.toml");
    std::fs::write(&path, "[server]\ncores = \"5-5\"\n").unwrap();
    let mut sources = environment(&[("RINGWAY_LOG_LEVEL", "warn"), ("PATH", "/bin")]);
    sources.file = Some(path.clone());
    let text = check(&sources).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(format!("{}: ok", path.display()).as_str())
    );
    let expected = [
        "  listen       127.0.0.1:8080, backlog 4096",
        "  private API  127.0.0.1:8081",
        "  engine       io auto, wait adaptive, cores 5, 1024 receive buffers of 4KiB (4MiB) on each",
        "  websocket    messages to 1MiB (/echo 16MiB), queues to 64KiB, idle 2m, close 5s",
        "  deflate      level 1, memory level 8, no context takeover, window bits 15 (server) and 15 (client)",
        "  limits       connections as NOFILE allows (1024 an address), handshake 10s, keep-alive 1m, heads to 16KiB and 64 fields, targets to 8KiB",
        "  drain        over 20s after SIGTERM",
        "  environment  RINGWAY_LOG_LEVEL",
        "  warning      anonymous clients are allowed: whoever can reach 127.0.0.1:8080 may connect without credentials",
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault() {
    let sources = Sources {
        file: Some("/nonexistent/ringway.toml".into()),
        ..Sources::default()
    };
    assert_eq!(
        Config::load(&sources).unwrap_err().to_string(),
        "/nonexistent/ringway.toml: cannot be read: No such file or directory (os error 2)"
    );
    let sources = Sources {
        file: Some("/dev/zero".into()),
        ..Sources::default()
    };
    assert_eq!(
        Config::load(&sources).unwrap_err().to_string(),
        "/dev/zero: cannot be read: it has more than 1 MiB; is this the right file?"
    );
}
