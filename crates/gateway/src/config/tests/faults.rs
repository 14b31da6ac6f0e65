//! Each fault names its place and its fix, word for word.
//!
//! Valid configurations are tested in `mod` and `sources`.

use crate::config::{
    Config, Sources, bound_of,
    tests::{environment, flags, from_file, load, settings},
};

/// The fault of a number out of its range, with the reason for the range.
fn because(fault: &str) -> String {
    let key = fault.split(' ').nth(1).unwrap();
    format!("{fault} ({})", bound_of(key).reason)
}

#[test]
fn all_faults_of_a_file_are_reported_with_their_lines() {
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
ringway.toml:9:11: listener.backlog = 0 is out of range; it may be from 1 to 65535 (the kernel lowers it to net.core.somaxconn, which is 4096 unless it was tuned)
ringway.toml:11:11: listener.address = "localhost:80" is not an IP address and a port; write them like "127.0.0.1:8080" or "[::1]:8080", without a host name
ringway.toml:13: unknown key "handshake_timout" in [limits]; did you mean "handshake_timeout"?
ringway.toml:14:21: limits.handshake_timeout = 10 has no unit; write "10s" for seconds or "10ms" for milliseconds
ringway.toml:15:20: limits.target_bytes_max = "8KiB" is more than limits.header_bytes_max = "1KiB", which includes it; lower the first or raise the second
ringway.toml:16: unknown key "queue_bytes_max" in [limits]; did you mean "queue_bytes_max" in [clients]?
ringway.toml:17: unknown key "frobnicate" in [limits]; its keys are connections_max, memory_bytes, connections_per_address_max, connections_per_address_exempt, connections_per_client_max, messages_per_second_max, bytes_per_second_max, publishes_per_second_max, burst_time, fast_sender, errors_max, errors_window, handshake_timeout, header_bytes_max, header_fields_max, target_bytes_max, keep_alive_timeout, requests_per_connection_max
ringway.toml:18:34: limits.connections_per_address_exempt = ["10.0.0.0/33"] has "10.0.0.0/33", which is not a network; write an address and a prefix length, such as "10.0.0.0/8"
ringway.toml:19: unknown section [websocket.deflat]; did you mean [websocket.deflate]?
ringway.toml:22:9: websocket.deflate.level = 10 is out of range; it may be from 1 to 9 (1 is the fastest and 9 the smallest; an edge tends to run out of cores before bytes)
ringway.toml:23:11: websocket.deflate.enabled = "yes" is not a switch; write true or false, without quotes
ringway.toml:24: unknown section [limit]; did you mean [limits]?"#;
    let found = from_file(text).unwrap_err();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected);
}

#[test]
fn a_single_fault_says_where_it_is_and_how_to_correct_it() {
    let unit = "(B, KiB, MiB or GiB), such as \"64KiB\"";
    let sections = "[server], [[server.api_key]], [[listener]], [socket], [tls], [[tls.certificate]], [websocket], [websocket.deflate], [clients], \
                     [auth], [[auth.key]], [[hook]], \
                     [history], [[history.topic]], [http], [cors], [[route]], [limits], [log]";
    let each = "listener is a list of sections; write [[listener]], with two brackets";
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
        ("limits.header_fields_max = -1", because("1:28: limits.header_fields_max = -1 is out of range; it may be from 16 to 256")),
        ("limits.header_fields_max = \"64\"", "1:28: limits.header_fields_max = \"64\" is not a whole number; write one without quotes".to_owned()),
        ("limits.header_fields_max = 99999999999999999999", because("1:28: limits.header_fields_max = 99999999999999999999 is out of range; it may be from 16 to 256")),
        ("limits.header_bytes_max = \"16KB\"", format!("1:27: limits.header_bytes_max = \"16KB\" is not a size; write bytes, or a whole number and a unit {unit}")),
        ("limits.header_bytes_max = 1.5", format!("1:27: limits.header_bytes_max = 1.5 is not a size; write bytes, or a whole number and a unit {unit}")),
        ("limits.header_bytes_max = \"1GiB\"", because("1:27: limits.header_bytes_max = \"1GiB\" is out of range; it may be from \"1KiB\" to \"64KiB\"")),
        ("limits.connections_max = \"all\"", "1:26: limits.connections_max = \"all\" is not a whole number; write one without quotes, or \"auto\"".to_owned()),
        ("limits.connections_max = 0", because("1:26: limits.connections_max = 0 is out of range; it may be from 1 to 16777216, or \"auto\"")),
        ("server.drain_time = \"20\"", "1:21: server.drain_time = \"20\" has no unit; write \"20s\" for seconds or \"20ms\" for milliseconds".to_owned()),
        ("server.drain_time = \"2 days\"", "1:21: server.drain_time = \"2 days\" is not a duration; write a whole number and a unit (ms, s, m or h), such as \"10s\"".to_owned()),
        ("server.drain_time = true", "1:21: server.drain_time = true is not a duration; write a whole number and a unit (ms, s, m or h), such as \"10s\"".to_owned()),
        ("server.drain_time = \"2h\"", because("1:21: server.drain_time = \"2h\" is out of range; it may be from \"0s\" to \"1h\"")),
        ("socket.defer_accept = \"1500ms\"", "1:23: socket.defer_accept = \"1500ms\" is not a whole number of seconds, in which the kernel counts; write \"1s\" or \"2s\"".to_owned()),
        ("socket.keepalive_idle = 30", "1:25: socket.keepalive_idle = 30 has no unit; write \"30s\" for seconds or \"30ms\" for milliseconds".to_owned()),
        ("socket.keepalive_interval = \"10h\"", because("1:29: socket.keepalive_interval = \"10h\" is out of range; it may be from \"1s\" to \"9h\", or \"auto\"")),
        ("socket.notsent_lowat = 1", "1: unknown key \"notsent_lowat\" in [socket]; its keys are nodelay, defer_accept, notsent_lowat_bytes, keepalive_idle, keepalive_interval, keepalive_probes, user_timeout, receive_buffer_bytes, send_buffer_bytes, busy_poll_us".to_owned()),
        ("server.io = 1", "1:13: server.io = 1 is not a word; write one of \"auto\", \"uring\", \"epoll\"".to_owned()),
        ("http.poll_wait = \"61s\"", "1:18: http.poll_wait = \"61s\" is more than http.poll_wait_max = \"1m\", which bounds it; lower the first or raise the second".to_owned()),
        ("http.poll_wait_max = \"24s\"", "1:22: http.poll_wait = \"25s\" is more than http.poll_wait_max = \"24s\", which bounds it; lower the first or raise the second".to_owned()),
        ("history.bytes_max = \"1000KiB\"", "1:21: websocket.message_bytes_max = \"1MiB\" is more than history.bytes_max = \"1000KiB\", which must have room for it; lower the first or raise the second".to_owned()),
        ("clients.slow_reader = \"gaps\"", "1:23: clients.slow_reader = \"gaps\" is not one of \"gap\", \"close\"; did you mean \"gap\"?".to_owned()),
        ("clients.may_notify = true", "1:22: clients.may_notify = true is not a list of names; write [\"news\", \"chat.*\"]".to_owned()),
        ("clients.may_notify = [1]", "1:22: clients.may_notify = [1] is not a list of strings".to_owned()),
        ("clients.may_publish = [\"*.chat\"]", "1:23: clients.may_publish = [\"*.chat\"] has \"*.chat\", which has a \"*\" that is not at its end; write a name, or the beginning of names and \"*\", such as \"chat.*\"".to_owned()),
        ("clients.may_subscribe = [\"\"]", "1:25: clients.may_subscribe = [\"\"] has \"\", which is empty; write a name, or the beginning of names and \"*\", such as \"chat.*\"".to_owned()),
        ("cors.allowed_origins = 1", "1:24: cors.allowed_origins = 1 is not a list of origins; write [\"https://example.org\"], or \"*\" for every one".to_owned()),
        ("cors.allowed_origins = \"https://example.org/\"", "1:24: cors.allowed_origins = \"https://example.org/\" has \"https://example.org/\" is not an origin: write \"*\", or scheme://host or scheme://host:port in lower case, without a path and without the port that the scheme has by default; a host may begin with \"*.\", which stands for all its subdomains".to_owned()),
        ("limits.connections_per_address_exempt = [1]", "1:41: limits.connections_per_address_exempt = [1] is not a list of strings".to_owned()),
        (
            "[[listener]]\naddress = \"[::]:80\"",
            "2:11: listener.address = \"[::]:80\" can be reached from other machines, and clients need no credentials; add an [[auth.key]], listen on 127.0.0.1 behind a proxy that asks for credentials, or set server.allow_anonymous_on_public_address = true".to_owned(),
        ),
        (
            "[[listener]]\naddress = \"127.0.0.1:80\"\n[[listener]]\naddress = \"127.0.0.1:80\"",
            "4:11: listener.address = \"127.0.0.1:80\" is taken by listener.address (ringway.toml:2:11); give each its own address or port".to_owned(),
        ),
        (
            "server.api_listen = \"0.0.0.0:81\"",
            "1:21: server.api_listen = \"0.0.0.0:81\" can be reached from other machines, and the private API asks for no key; add a [[server.api_key]], listen on 127.0.0.1, or set server.api_socket".to_owned(),
        ),
        ("[[hook]]\nurl = \"http://a/\"", "2:7: [[hook]] has no events; add some such as hook.events = [\"connect\"]".to_owned()),
        ("[[hook]]\nurl = \"a\"\nevents = [\"connect\"]", "2:7: hook.url = \"a\" begins with neither http:// nor https:// nor unix:; write one such as \"http://127.0.0.1:3000/ringway\" or \"unix:/run/app.sock:/ringway\"".to_owned()),
        ("[[hook]]\nurl = \"http://a/\"\nevents = [\"request\"]\n[[hook]]\nurl = \"http://b/\"\nevents = [\"connect\", \"request\"]", "6:10: hook.events: \"request\" is in another [[hook]], too (ringway.toml:3:10); one application decides it".to_owned()),
        ("[[hook]]\nurl = \"http://a/\"\nwaits = false\nevents = [\"connect\", \"request\"]", "4:10: hook.events: \"request\" needs an answer, so hook.waits cannot be false".to_owned()),
        ("[[hook]]\nurl = \"http://a/\"\nevents = [\"connect\"]\nheaders = [\"a b\"]", "4:11: hook.headers = [\"a b\"] has \"a b\", which is not the name of a header field".to_owned()),
        ("[[route]]\npath = \"/a\"\nupstream = \"ws://[::1]:1\"\nbalance = \"hash(header:a b)\"", "4:11: route.balance = \"hash(header:a b)\" is not a way to choose a server; write \"round_robin\", \"least_connections\", \"hash(client)\", \"hash(ip)\" or \"hash(header:NAME)\"".to_owned()),
        ("[[route]]\npath = \"/\"\nhost = \"a:80\"\nupstream = \"http://[::1]:1\"", "3:8: route.host = \"a:80\" is not a host name without a port, such as \"chat.example.org\"".to_owned()),
        ("[[route]]\npath = \"/a\"\nhost = \"b\"\nupstream = \"http://[::1]:1\"\n[[route]]\npath = \"/a\"\nupstream = \"http://[::1]:1\"\n[[route]]\npath = \"/a\"\nhost = \"B\"\nupstream = \"http://[::1]:1 weight=3\"", "9:8: route.path = \"/a\" is there twice for host = \"b\" (ringway.toml:2:8); write all its servers in one section".to_owned()),
        ("[[route]]\npath = \"/a\"\nsend_host = \"a b\"\nupstream = \"http://[::1]:1\"", "3:13: route.send_host = \"a b\" is not a host".to_owned()),
        ("[[server.api_key]]\nname = \"a\"\nscopes = []", "3:10: server.api_key.scopes = [] is empty; write one or more of \"publish\", \"read\", \"admin\"".to_owned()),
        ("server.api_listen = \"127.0.0.1:8080\"", "1:21: listener.address = \"127.0.0.1:8080\" is taken by server.api_listen (ringway.toml:1:21); give each its own address or port".to_owned()),
    ];
    for (text, expected) in table {
        let found = from_file(text).unwrap_err();
        assert_eq!(found, format!("ringway.toml:{expected}"), "{text}");
    }
}

#[test]
fn a_fault_in_another_source_names_that_source() {
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
        (settings(&["log.level"]), "--set log.level: has no \"=\"; write --set key=value"),
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
            "--listen 0.0.0.0:80: listener.address = \"0.0.0.0:80\" can be reached from other machines, and clients need no credentials; add an [[auth.key]], listen on 127.0.0.1 behind a proxy that asks for credentials, or set server.allow_anonymous_on_public_address = true",
        ),
    ];
    for (sources, expected) in table {
        assert_eq!(load("", &sources).unwrap_err(), expected);
    }
}

#[test]
fn lists_are_bounded() {
    let addresses: Vec<_> = (1..=65).map(|port| format!("127.0.0.1:{port}")).collect();
    let addresses = addresses.join(",");
    let error = load("", &environment(&[("RINGWAY_LISTENER_ADDRESS", &addresses)]));
    assert!(
        error.unwrap_err().ends_with(": listener: there are 65 sections; at most 64 are allowed")
    );

    let networks = vec!["10.0.0.0/8"; 65].join(",");
    let networks = [("RINGWAY_LIMITS_CONNECTIONS_PER_ADDRESS_EXEMPT", networks.as_str())];
    let error = load("", &environment(&networks)).unwrap_err();
    assert!(error.ends_with(" has more than 64 networks; join some"));

    let names = vec!["a"; 1025].join(",");
    let error = load("", &environment(&[("RINGWAY_CLIENTS_MAY_NOTIFY", &names)])).unwrap_err();
    assert!(error.ends_with(" has more than 1024 names; join some that begin alike with \"*\""));
    let origins = vec!["https://a"; 65].join(",");
    let error = load("", &environment(&[("RINGWAY_CORS_ALLOWED_ORIGINS", &origins)])).unwrap_err();
    assert!(error.ends_with(" has more than 64 origins; write \"*\" for every one"));
}

#[test]
fn an_unreadable_file_is_a_single_fault() {
    let sources = Sources { file: Some("/nonexistent/ringway.toml".into()), ..Sources::default() };
    assert_eq!(
        Config::load(&sources).unwrap_err().to_string(),
        "/nonexistent/ringway.toml: cannot be read: No such file or directory (os error 2)"
    );
    let sources = Sources { file: Some("/dev/zero".into()), ..Sources::default() };
    assert_eq!(
        Config::load(&sources).unwrap_err().to_string(),
        "/dev/zero: cannot be read: it has more than 1 MiB; is this the right file?"
    );
}

#[test]
fn a_topic_must_keep_less_than_the_history() {
    let topic = |lines: &str| format!("[[history.topic]]\n{lines}");
    let table = [
        (
            topic("events_max = 5"),
            "1: [[history.topic]] has no pattern; add one such as pattern = \"news.*\"",
        ),
        (
            topic("pattern = \"a*b\""),
            "2:11: history.topic.pattern = \"a*b\" has a \"*\" that is not at its end; write a name, or the beginning of names and \"*\", such as \"chat.*\"",
        ),
        (
            topic("pattern = 5"),
            "2:11: history.topic.pattern = 5 is not a string; write a name, or the beginning of names and \"*\", such as \"chat.*\"",
        ),
        (
            topic("pattern = \"a\""),
            "1: [[history.topic]] has only its pattern; add events_max or age_max",
        ),
        (
            topic("pattern = \"a\"\nevents_max = 0"),
            "3:14: history.topic.events_max = 0 is out of range; it may be from 1 to 16777216 (a topic cannot keep more than the history)",
        ),
        (
            topic("pattern = \"a\"\nevents = 5\nage_max = \"1m\""),
            "3: unknown key \"events\" in [[history.topic]]; its keys are pattern, events_max, age_max",
        ),
        (
            topic("pattern = \"a\"\nevents_max = 100001"),
            "3:14: history.topic.events_max = 100001 is more than history.events_max = 100000, which bounds every topic; lower the first or raise the second",
        ),
        (
            topic("pattern = \"a\"\nage_max = \"6m\""),
            "3:11: history.topic.age_max = \"6m\" is more than history.age_max = \"5m\", which bounds every topic; lower the first or raise the second",
        ),
        (
            topic(
                "pattern = \"a*\"\nevents_max = 1\n[[history.topic]]\npattern = \"ab\"\nevents_max = 1",
            ),
            "5:11: history.topic.pattern = \"ab\" is never used: \"a*\" (ringway.toml:2:11) matches all its topics first; write the narrower pattern first",
        ),
        (
            "[history.topic]\npattern = \"a\"".to_owned(),
            "1: history.topic is a list of sections; write [[history.topic]], with two brackets",
        ),
        (
            "[[history.topics]]\npattern = \"a\"".to_owned(),
            "1: unknown section [history.topics]; did you mean [[history.topic]]?",
        ),
    ];
    for (text, expected) in table {
        let found = from_file(&text).unwrap_err();
        assert!(found.starts_with("ringway.toml:"), "{found}");
        assert_eq!(found, format!("ringway.toml:{expected}"), "{text}");
    }
    let one = |number| topic(&format!("pattern = \"{number}\"\nevents_max = 1\n"));
    assert!(from_file(&(100..164).map(one).collect::<String>()).is_ok());
    let found = from_file(&(100..165).map(one).collect::<String>()).unwrap_err();
    assert!(
        found.ends_with("history.topic: there are 65 sections; at most 64 are allowed"),
        "{found}"
    );
}
