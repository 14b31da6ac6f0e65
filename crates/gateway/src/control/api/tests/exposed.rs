//! The exposition follows its grammar:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::{HashMap, HashSet};

use axum::http::Method;
use ringway_http::HttpError;
use serde_json::json;

use crate::{
    control::api::{
        exposition,
        routes::router,
        tests::{api, ask},
    },
    refusal::Refusal,
};

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A sample: its name, its labels as written, its value.
#[track_caller]
fn sample(line: &str) -> (&str, &str, u64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match series.split_once('{') {
        None => (series, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').unwrap()),
    };
    assert!(is_name(name), "{line}");
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (label, value) = label.split_once('=').unwrap();
        let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        assert!(is_name(label) && !value.contains(['"', '\\', '\n']), "{line}");
    }
    (name, labels, value.parse().unwrap())
}

/// All samples by name and labels, after a check of the grammar.
#[track_caller]
fn parse(text: &str) -> HashMap<(String, String), u64> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut families) = (HashMap::new(), HashSet::new());
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let (name, words) = help.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        assert!(name.starts_with("ringway_") && words.ends_with('.'), "{help}");
        assert!(families.insert(name), "{name} is listed twice");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert_eq!(kind, if name.ends_with("_total") { "counter" } else { "gauge" }, "{name}");
        let mut is_empty = true;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (own, labels, value) = sample(line);
            assert_eq!(own, name);
            let series = (name.to_owned(), labels.to_owned());
            assert_eq!(samples.insert(series, value), None, "{line} is listed twice");
            is_empty = false;
        }
        assert!(!is_empty, "{name} has no sample");
    }
    samples
}

#[tokio::test]
async fn every_counter_is_exposed_once() {
    let api = api();
    api.broker.directory.arrive("bob");
    api.broker.directory.fall_behind("bob");
    for core in &api.metrics {
        core.sessions.long_poll.add(3);
        core.refused.of(Refusal::Full).add(1);
        core.refused.of(Refusal::AddressFull).add(2);
        core.refuse(Refusal::Timeout);
        core.refuse(Refusal::Http(HttpError::Chunk));
        core.refuse(Refusal::Http(HttpError::Host));
        core.deliveries.add(5);
    }
    let router = router(api.clone());
    for data in 0..3 {
        let body = json!({ "to": ["ann", "bob"], "data": data }).to_string();
        let fields = [("content-type", "application/json"), ("idempotency-key", "k")];
        ask(&router, &Method::POST, "/v1/notify", &fields[..2 - (data % 2)], body).await;
    }
    // Reads the log, so that it is indexed.
    ask(&router, &Method::GET, "/v1/topics/news/history", &[], "").await;
    let samples = parse(&exposition::text(&api));
    for (name, labels, value) in [
        ("ringway_engine", "engine=\"epoll\"", 1),
        ("ringway_sessions", "transport=\"long-poll\"", 6),
        ("ringway_sessions", "transport=\"sse\"", 0),
        ("ringway_refused_total", "reason=\"full\"", 2),
        ("ringway_refused_total", "reason=\"address_full\"", 4),
        ("ringway_refused_total", "reason=\"no_descriptor\"", 0),
        ("ringway_refused_requests_total", "reason=\"timeout\"", 2),
        ("ringway_refused_requests_total", "reason=\"malformed\"", 4),
        ("ringway_deliveries_total", "", 10),
        // The third request reused the key of the first, with other data.
        ("ringway_events_total", "route=\"api\"", 2),
        ("ringway_events_total", "route=\"client\"", 0),
        ("ringway_head_sequence", "", 2),
        ("ringway_first_sequence", "", 1),
        ("ringway_history_events", "", 2),
        ("ringway_known_clients", "", 2),
        ("ringway_lagging_connections", "", 1),
    ] {
        let series = (name.to_owned(), labels.to_owned());
        assert_eq!(samples.get(&series), Some(&value), "{name} {labels}");
    }
    for component in ["history", "index", "directory", "receipts", "idempotency"] {
        let labels = format!("component=\"{component}\"");
        assert!(samples[&("ringway_memory_bytes".to_owned(), labels)] > 0, "{component}");
    }
}
