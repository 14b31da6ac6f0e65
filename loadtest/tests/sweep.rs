//! `sweep` against a server whose capacity is known.

#![forbid(unsafe_code)]

mod servers;

use std::time::Duration;

use servers::{json, run};

#[test]
fn a_known_capacity_is_found() {
    let address = servers::of_capacity(2000, Duration::from_millis(20));
    let url = format!("ws://{address}/");
    let words = ["sweep", "--url", &url, "-c", "16", "--p99", "150ms", "--from", "500"];
    let more = ["--step", "2s", "--settle", "200ms", "--drain", "2s", "-q", "--json"];
    let output = run(&[&words[..], &more].concat());
    let found = json(&output);
    let steps = found["steps"].as_array().unwrap();
    let highest = found["details"]["highest_rate_per_s"].as_f64();
    let highest = highest.unwrap_or_else(|| panic!("{steps:#?}"));
    assert!((1600.0..=2400.0).contains(&highest), "{highest}: {steps:#?}");
    assert_eq!(output.status.code(), Some(0), "{found:#}");
    let last = steps.last().unwrap();
    assert!(last["confirms"] == true && last["passed"] == true, "{last:#}");
    assert_eq!((&last["rate_asked"], &found["rate_asked"]), (&highest.into(), &highest.into()));
    assert!(found["latency_us"]["p99"].as_f64().unwrap() <= 150e3, "{found:#}");
    let too_much = steps.iter().find(|step| step["limit"] == "server").unwrap();
    let said = too_much["why"].to_string();
    assert!(said.contains("p99") || said.contains("came back"), "{said}");
}

#[test]
fn a_bound_is_not_reported_as_a_limit_and_the_curve_is_drawn() {
    let url = format!("ws://{}/", servers::plain());
    let words = ["sweep", "--url", &url, "-c", "2", "--p99", "1s", "--from", "100", "--to", "200"];
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("sweep.html");
    let more = ["--step", "300ms", "--settle", "50ms", "--html", page.to_str().unwrap()];
    let output = run(&[&words[..], &more].concat());
    let page = std::fs::read_to_string(page).unwrap();
    for part in ["Latency by rate", "p99 allowed", "<h2>Steps</h2>", "confirmed"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("highest    200/s") && table.contains("no rate up to --to"), "{table}");
    assert!(table.contains("   1.00 s |-----") && table.contains('*'), "{table}");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_server_that_is_always_late_has_no_rate() {
    let url = format!("ws://{}/", servers::of_capacity(5, Duration::ZERO));
    let words = ["sweep", "--url", &url, "-c", "1", "--p99", "50ms", "--from", "40"];
    let more = ["--step", "400ms", "--settle", "10ms", "--drain", "200ms", "--tries", "1"];
    let output = run(&[&words[..], &more, &["-q", "--json"]].concat());
    let found = json(&output);
    assert_eq!(found["details"]["highest_rate_per_s"], serde_json::Value::Null, "{found:#}");
    // Echoes that are missing at the end of a step's drain are lost.
    let has_lost = found["ledger"]["lost"] != 0;
    assert_eq!(output.status.code(), Some(if has_lost { 5 } else { 1 }), "{found:#}");
}

#[test]
fn a_server_with_its_own_message_format_is_swept() {
    let url = format!("ws://{}/", servers::of_language("say "));
    let words = ["sweep", "--url", &url, "-c", "2", "--p99", "1s", "--from", "100", "--to", "100"];
    let more = ["--step", "300ms", "--settle", "10ms", "--drain", "200ms", "--tries", "1", "-q"];
    let rate_with = |message: &[&str]| {
        let found = json(&run(&[&words[..], &more, &["--json"], message].concat()));
        found["details"]["highest_rate_per_s"].as_f64()
    };
    assert_eq!(rate_with(&["--message", "say {stamp}{body}"]), Some(100.0));
    assert_eq!(rate_with(&[]), None);
}
