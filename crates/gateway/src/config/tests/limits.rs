//! Each limit has a finite default, a metric, a word in the log and a test; ARCHITECTURE.md lists
//! them.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    broker::crowding::UsedUp,
    config::{bound::Preset, keys},
    rates::PauseReason,
    refusal::{EndReason, ErrorClass, ErrorCode},
};

/// Numbers that limit no client, or that shape another limit.
const NO_LIMITS: [&str; 46] = [
    // The process and its sockets.
    "server.drain_time",
    "server.max_connection_age",
    "server.receive_buffers",
    "server.receive_buffer_bytes",
    "listener.backlog",
    "socket.defer_accept",
    "socket.notsent_lowat_bytes",
    "socket.keepalive_idle",
    "socket.keepalive_interval",
    "socket.keepalive_probes",
    "socket.user_timeout",
    "socket.receive_buffer_bytes",
    "socket.send_buffer_bytes",
    "socket.busy_poll_us",
    // Servers behind the gateway.
    "route.connect_timeout",
    "route.response_timeout",
    "route.failures_max",
    "route.eject_time",
    "route.slow_start",
    "route.connections_max",
    // What is agreed with a client.
    "tls.ticket_lifetime",
    "websocket.deflate.level",
    "websocket.deflate.memory_level",
    "websocket.deflate.server_window_bits_max",
    "websocket.deflate.client_window_bits_max",
    "websocket.ping_interval",
    "auth.jwks_refresh",
    "auth.leeway",
    "http.retry",
    // The end of a connection, which has the reason for which it is closed.
    "websocket.close_timeout",
    // What the application is asked for, and how long its answer counts.
    "hook.timeout",
    "hook.in_flight_max",
    "hook.cache_time",
    "hook.batch_max",
    "hook.queue_max",
    // What a client asks for is reduced to it.
    "clients.last_events_max",
    "http.poll_wait",
    "http.poll_wait_max",
    "http.poll_bytes_max",
    // What is kept; what leaves is reported as a gap.
    "history.events_max",
    "history.bytes_max",
    "history.age_max",
    "history.topic.events_max",
    "history.topic.age_max",
    // The times over which rates and errors are counted.
    "limits.burst_time",
    "limits.errors_window",
];

/// The cells of a row: the metric, the word in the log, the test.
struct Row {
    metric: String,
    word: String,
    test: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table, by key.
fn table() -> BTreeMap<String, Row> {
    let document = fs::read_to_string(root().join("../../ARCHITECTURE.md")).unwrap();
    let (_, section) = document.split_once("\n### Limits\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> =
                line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let [_, key, metric, word, test, _] = cells[..] else { panic!("{line}") };
            let [metric, word, test] = [metric, word, test].map(str::to_owned);
            (key.to_owned(), Row { metric, word, test })
        })
        .collect()
}

/// The text of all files of Rust below a folder.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Whether a metric of this family may have this reason.
fn has_reason(family: &str, reason: &str) -> bool {
    match family {
        "ringway_ended_total" => EndReason::ALL.iter().any(|one| one.as_str() == reason),
        "ringway_refused_requests_total" => {
            ErrorClass::ALL.iter().any(|one| one.as_str() == reason)
        }
        "ringway_refused_commands_total" => ErrorCode::ALL.iter().any(|one| one.as_str() == reason),
        "ringway_paused_total" => PauseReason::ALL.iter().any(|one| one.as_str() == reason),
        "ringway_refused_events_total" => UsedUp::ALL.iter().any(|one| one.label() == reason),
        // Their reasons are written in the exposition.
        "ringway_refused_total" | "ringway_closed_total" => {
            let path = root().join("src/control/api/exposition.rs");
            fs::read_to_string(path).unwrap().contains(&format!("(\"{reason}\", |core|"))
        }
        _ => false,
    }
}

/// Whether the sampled log lines have this word as a reason.
fn is_logged(word: &str) -> bool {
    let families = [
        "ringway_ended_total",
        "ringway_refused_requests_total",
        "ringway_refused_commands_total",
        "ringway_paused_total",
    ];
    families.into_iter().any(|family| has_reason(family, word))
        || UsedUp::ALL.iter().any(|used_up| used_up.key() == word)
}

#[test]
fn each_limit_is_finite_and_has_a_metric_a_log_line_and_a_test() {
    let table = table();
    let mut tests = String::new();
    sources(&root().join("tests"), &mut tests);
    sources(&root().join("src"), &mut tests);
    sources(&root().join("../hub/tests"), &mut tests);
    for key in keys::all().filter(|key| key.kind.bound().is_some()) {
        let path = key.path;
        let Some(Row { metric, word, test }) = table.get(path) else {
            assert!(
                NO_LIMITS.contains(&path),
                "{path}: add it to the table of limits in ARCHITECTURE.md, or to NO_LIMITS"
            );
            continue;
        };
        let is_absent = matches!(key.kind.bound().unwrap().default, Preset::Absent(_));
        assert!(!is_absent, "{path} is not bounded by default");
        let (family, label) = metric.split_once('{').unwrap_or_else(|| panic!("{path}"));
        let reason = label.split('"').nth(1).unwrap_or_else(|| panic!("{path}: {label}"));
        assert!(has_reason(family, reason), "{path}: there is no metric {metric}");
        assert!(is_logged(word), "{path}: no log line has the reason {word}");
        assert!(tests.contains(&format!("fn {test}(")), "{path}: there is no test {test}");
    }
    let is_key = |path: &str| keys::find(path).is_some();
    let unknown = table.keys().map(String::as_str).chain(NO_LIMITS).find(|path| !is_key(path));
    assert_eq!(unknown, None, "not a key");
}
