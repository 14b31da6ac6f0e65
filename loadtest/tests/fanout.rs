//! `ringway-loadtest fanout` against relays that each have one fault, and against one without a
//! fault: the ledger must show exactly that fault.
//!
//! It never asserts a time that a busy machine could exceed.

#[path = "fanout/relay.rs"]
mod relay;

use std::{process::Command, time::Duration};

use relay::{Fault, Relay};
use serde_json::Value;

/// The output of a run.
struct Run {
    status: i32,
    report: Value,
    stderr: String,
}

fn run(arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway-loadtest"))
        .args(["fanout", "--json", "--quiet", "--threads", "2", "--drain", "2s"])
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Run { status: output.status.code().unwrap(), report, stderr }
}

impl Run {
    fn ledger(&self, name: &str) -> u64 {
        self.report["ledger"][name].as_u64().unwrap_or_else(|| panic!("{name}: {}", self.stderr))
    }

    fn detail(&self, name: &str) -> f64 {
        let value = &self.report["details"][name];
        value.as_f64().unwrap_or_else(|| panic!("{name}: {}", self.report))
    }

    fn errors(&self, reason: &str) -> u64 {
        self.report["errors"][reason].as_u64().unwrap_or_default()
    }

    /// Compares the ledger with the server's faults: lost, doubled, reordered and corrupted.
    #[track_caller]
    fn has(&self, faults: [u64; 4]) {
        let names = ["lost", "doubled", "reordered", "corrupted"];
        assert_eq!(names.map(|name| self.ledger(name)), faults, "{}", self.report);
        assert_eq!(self.ledger("sent"), self.ledger("received") + self.ledger("lost"));
        // On a busy machine a run may be invalid, and then says so.
        let expected = match (&self.report["valid"], faults) {
            (Value::Bool(false), [0, 0, 0, 0]) => 3,
            (_, [0, 0, 0, 0]) if self.report["errors"].as_object().unwrap().is_empty() => 0,
            (_, [0, 0, 0, 0]) => 1,
            _ => 5,
        };
        assert_eq!(self.status, expected, "{}", self.report);
    }
}

/// A run with ten subscribers, and a hundred events per second for one second.
fn run_open(relay: &Relay, scheme: &str) -> Run {
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url(scheme, "/publish"));
    let load = ["-c", "10", "--rate", "100", "-d", "1s", "--size", "80"];
    run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat())
}

#[test]
fn a_good_relay_has_a_clean_ledger() {
    let relay = Relay::start(Fault::None);
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("ws", "/publish"));
    for more in [&["--pipeline", "4", "--publishers", "3"][..], &["--binary", "--size", "20000"]] {
        let load = ["--url", &url, "--publish-url", &publish, "-c", "20", "--closed", "-d", "1s"];
        let run = run(&[&load[..], more].concat());
        run.has([0; 4]);
        assert_eq!(run.status, 0);
        let events = run.detail("events");
        assert!(events > 3.0, "{}", run.report);
        assert_eq!(run.ledger("sent") as f64, 20.0 * events);
        assert_eq!(run.detail("events_complete"), events);
        // Each event is acknowledged, but some too late to be counted.
        assert!((run.detail("publisher_messages") - events).abs() <= 12.0, "{}", run.report);
        assert!(run.detail("spread_us_max") >= run.detail("spread_us_p50"));
        assert!(run.report["latency_us"]["p50"].as_f64().unwrap() > 0.0);
        assert_eq!(run.report["rate_asked"], Value::Null);
    }
}

#[test]
fn an_open_loop_publishes_at_the_requested_rate() {
    let relay = Relay::start(Fault::None);
    let run = run_open(&relay, "ws");
    run.has([0; 4]);
    assert_eq!(run.detail("events") + run.detail("events_behind"), 100.0);
    assert_eq!(run.report["rate_asked"], 1000.0);
    assert_eq!(run.detail("foreign_events"), 0.0);
    // In the timeline, events count as the deliveries that they owe.
    for name in ["sent", "received"] {
        let points = run.report["timeline"].as_array().unwrap().iter();
        let sum: u64 = points.map(|point| point[name].as_u64().unwrap()).sum();
        assert_eq!(sum, run.ledger(name), "{}", run.report);
    }
}

#[test]
fn messages_are_echoed_on_other_connections_during_a_fan_out() {
    let relay = Relay::start(Fault::None);
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("ws", "/publish"));
    let load = ["--url", &url, "--publish-url", &publish, "-c", "10", "--rate", "50", "-d", "1s"];
    let echo = ["--echo-url", &relay.url("ws", "/echo"), "--echo-rate", "100"];
    let run = run(&[&load[..], &echo, &["--echo-connections", "3"]].concat());
    assert_eq!(run.detail("echo_sent"), 100.0, "{}", run.report);
    assert_eq!(run.detail("echo_received"), 100.0);
    // The ledger includes deliveries and echoes.
    assert_eq!(run.ledger("sent") as f64, 100.0 + 10.0 * run.detail("events"));
    run.has([0; 4]);
    let [p50, p99] = ["echo_us_p50", "echo_us_p99"].map(|name| run.detail(name));
    assert!(0.0 < p50 && p50 <= p99 && run.detail("echo_own_delay_us_p99") > 0.0, "{}", run.report);
    // The latencies of deliveries do not include those of echoes.
    let deliveries = run.report["latency_us"]["count"].as_f64().unwrap();
    assert_eq!(deliveries, 10.0 * run.detail("events"));
}

#[test]
fn an_echo_that_does_not_come_back_is_in_the_ledger() {
    let relay = Relay::start(Fault::None);
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("ws", "/publish"));
    let load = ["--url", &url, "--publish-url", &publish, "-c", "2", "--rate", "50", "-d", "300ms"];
    // The relay does not echo at this path.
    let run = run(&[&load[..], &["--echo-url", &relay.url("ws", "/join")]].concat());
    assert_eq!((run.status, run.detail("echo_received")), (5, 0.0), "{}", run.report);
    assert_eq!(run.ledger("lost") as f64, run.detail("echo_sent"));
}

#[test]
fn each_fault_is_counted_by_its_kind() {
    let relay = Relay::start(Fault::Drops(10));
    run_open(&relay, "ws").has([relay.faults(), 0, 0, 0]);
    assert!(relay.faults() >= 8);
    let relay = Relay::start(Fault::Doubles(10));
    run_open(&relay, "http").has([0, relay.faults(), 0, 0]);
    let relay = Relay::start(Fault::Corrupts(10));
    run_open(&relay, "ws").has([0, 0, 0, relay.faults()]);
    let relay = Relay::start(Fault::Reorders(7));
    run_open(&relay, "ws").has([0, 0, relay.faults(), 0]);
}

#[test]
fn a_closed_loop_goes_on_when_a_delivery_is_lost() {
    let relay = Relay::start(Fault::Drops(5));
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("ws", "/publish"));
    let load = ["-c", "5", "--closed", "-d", "2500ms"];
    let run = run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat());
    run.has([relay.faults(), 0, 0, 0]);
    assert!(run.detail("stalls") >= 1.0);
    assert!(run.detail("events") >= 6.0, "{}", run.report);
}

#[test]
fn a_slow_subscriber_shows_in_the_spread() {
    let relay = Relay::start(Fault::Slow(Duration::from_millis(30)));
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("ws", "/publish"));
    let load = ["-c", "10", "--rate", "20", "-d", "1s"];
    let run = run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat());
    run.has([0; 4]);
    assert!(run.detail("spread_us_p50") > 29_000.0, "{}", run.report);
    assert!(run.report["latency_us"]["max"].as_f64().unwrap() > 29_000.0);
}

#[test]
fn a_lost_subscriber_is_owed_the_events_that_it_misses() {
    let relay = Relay::start(Fault::Closes(30));
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("ws", "/publish"));
    let load = ["-c", "10", "--rate", "100", "-d", "2s"];
    let run = run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat());
    assert_eq!(run.errors("closed_1011"), 1, "{}", run.report);
    let lost = run.ledger("lost");
    // The subscriber returns after a second, and receives the rest.
    assert!((50..180).contains(&lost), "{}", run.report);
    run.has([lost, 0, 0, 0]);
    // Events that were in transit when it left were published before, so they are not counted here.
    let away = run.detail("deliveries_due_while_away");
    assert!(away <= lost as f64 && away > 50.0, "{}", run.report);
    assert_eq!(run.report["connections_open"], 10);
}

#[test]
fn a_relay_that_dies_is_distinguished_from_one_that_works() {
    let relay = Relay::start(Fault::Dies(40));
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("ws", "/publish"));
    let load = ["-c", "10", "--rate", "100", "-d", "3s"];
    let run = run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat());
    let has_lost = run.ledger("lost") > 0;
    assert!(if has_lost { run.status == 5 } else { matches!(run.status, 1 | 3) }, "{}", run.stderr);
    assert!(run.errors("not_connected") > 0, "{}", run.report);
    assert!(run.errors("connect_refused") > 0, "{}", run.report);
    let ended = run.errors("ended_without_close") + run.errors("reset");
    assert!(ended >= 11, "{}", run.report);
    assert_eq!(run.report["connections_open"], 0);
    assert!(run.ledger("received") >= 300, "{}", run.report);
}

#[test]
fn refused_events_are_not_owed() {
    let relay = Relay::start(Fault::Refuses(5));
    let run = run_open(&relay, "http");
    run.has([0; 4]);
    assert_eq!(run.errors("publish_status_500"), relay.faults(), "{}", run.report);
    assert_eq!(run.report["errors"].as_object().unwrap().len(), 1, "{}", run.report);
    assert_eq!(run.ledger("sent") as f64, 10.0 * run.detail("events"));
    assert_eq!(run.detail("events_incomplete"), 0.0);
    assert!(run.detail("publish_ack_us_p50") > 0.0);
}

#[test]
fn connections_that_end_after_one_request_are_no_failure() {
    let relay = Relay::start(Fault::ClosesAfterResponses);
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("http", "/publish?by={n}"));
    let load = ["-c", "5", "--publishers", "2", "--closed", "-d", "1s", "--message", "{stamp}"];
    let run = run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat());
    run.has([0; 4]);
    assert_eq!(run.status, 0, "{}", run.report);
    assert!(run.detail("events") > 3.0);
}

#[test]
fn an_event_without_a_response_is_owed() {
    let relay = Relay::start(Fault::Hangs(30));
    let run = run_open(&relay, "http");
    run.has([0; 4]);
    assert_eq!(run.errors("publish_unanswered"), 1, "{}", run.report);
    assert_eq!(run.ledger("sent") as f64, 10.0 * run.detail("events"));
}

#[test]
fn late_subscribers_are_awaited() {
    let relay = Relay::start(Fault::JoinsLate(Duration::from_millis(700)));
    let (url, publish) = (relay.url("ws", "/join"), relay.url("ws", "/publish"));
    let load = ["-c", "4", "--rate", "50", "-d", "1s", "--hello", "join {n}"];
    let run = run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat());
    run.has([0; 4]);
    assert_eq!(run.detail("events_incomplete"), 0.0, "{}", run.report);
}

#[test]
fn subscribers_may_read_a_stream() {
    let relay = Relay::start(Fault::None);
    let (url, publish) = (relay.url("http", "/stream?n={n}"), relay.url("http", "/publish"));
    let load = ["--subscribe-by", "sse", "-c", "10", "--rate", "100", "-d", "1s"];
    let run = run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat());
    run.has([0; 4]);
    assert_eq!(run.ledger("sent") as f64, 10.0 * run.detail("events"));
    assert_eq!(run.report["connections_open"], 10);
}

#[test]
fn a_stream_that_ends_is_a_failure() {
    let relay = Relay::start(Fault::Closes(30));
    let (url, publish) = (relay.url("http", "/stream"), relay.url("ws", "/publish"));
    let load = ["--subscribe-by", "sse", "-c", "5", "--rate", "100", "-d", "2s"];
    let run = run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat());
    assert_eq!(run.errors("stream_ended"), 1, "{}", run.report);
    let lost = run.ledger("lost");
    assert!((50..180).contains(&lost), "{}", run.report);
    run.has([lost, 0, 0, 0]);
}

#[test]
fn subscribers_may_poll_by_cursor_or_by_tag() {
    let relay = Relay::start(Fault::None);
    let (url, publish) = (relay.url("http", "/poll"), relay.url("http", "/publish"));
    let load = ["--url", &url, "--publish-url", &publish, "--subscribe-by", "long-poll"];
    for pace in [&["--closed", "--pipeline", "3"][..], &["--rate", "200", "--publishers", "2"]] {
        for cursor in [&["--cursor", "at"][..], &[]] {
            let run = run(&[&load[..], &["-c", "10", "-d", "1s"], pace, cursor].concat());
            run.has([0; 4]);
            assert_eq!(run.ledger("sent") as f64, 10.0 * run.detail("events"));
        }
    }
}

#[test]
fn polls_continue_on_another_connection() {
    let relay = Relay::start(Fault::ClosesAfterResponses);
    let (url, publish) = (relay.url("http", "/poll"), relay.url("ws", "/publish"));
    let load = ["--subscribe-by", "long-poll", "--cursor", "at", "-c", "5", "-d", "1s"];
    let paced = ["--url", &url, "--publish-url", &publish, "--rate", "50"];
    let run = run(&[&paced[..], &load].concat());
    run.has([0; 4]);
    assert_eq!(run.ledger("sent") as f64, 5.0 * run.detail("events"));
}

#[test]
fn a_missing_path_is_named() {
    let relay = Relay::start(Fault::None);
    let (url, publish) = (relay.url("http", "/nowhere"), relay.url("ws", "/publish"));
    let load = ["--subscribe-by", "long-poll", "-c", "2", "-d", "1s"];
    let run = run(&[&["--url", &url, "--publish-url", &publish], &load[..]].concat());
    assert_eq!(run.status, 4, "{}", run.stderr);
    for said in ["subscribe_status_404", "subscribers received `what`"] {
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
}

#[test]
fn a_wrong_template_is_reported_before_the_measurement() {
    let relay = Relay::start(Fault::None);
    let (url, publish) = (relay.url("ws", "/join"), relay.url("ws", "/publish"));
    let load = ["--url", &url, "--publish-url", &publish, "-c", "2", "-d", "1s"];
    let unheard = run(&[&load[..], &["--hello", "hi"]].concat());
    assert_eq!((unheard.status, &unheard.report), (4, &Value::Null));
    assert!(unheard.stderr.contains("no event reached any subscriber"), "{}", unheard.stderr);
    assert!(unheard.stderr.contains("publishers received `taken`"), "{}", unheard.stderr);
    for (wrong, why) in [
        (["--message", "hello"], "{stamp}"),
        (["--size", "33"], "34"),
        (["--publishers", "65536"], "65535"),
    ] {
        let refused = run(&[&load[..], &wrong].concat());
        assert_eq!(refused.status, 2);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}

#[test]
fn a_request_may_have_an_event_on_each_line() {
    let relay = Relay::start(Fault::None);
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("http", "/publish"));
    let arguments = ["--url", &url, "-c", "5", "--publish-url", &publish, "-d", "300ms"];
    let bulk = ["--closed", "--bulk", "20", "--publishers", "2", "--pipeline", "40"];
    let run = run(&[&arguments[..], &bulk].concat());
    run.has([0, 0, 0, 0]);
    let events = run.detail("events");
    assert!(events >= 40.0 && events % 20.0 == 0.0, "{events}");
    assert_eq!(run.ledger("received") as f64, 5.0 * events);
}

#[test]
fn a_refused_request_takes_all_of_its_events_with_it() {
    let relay = Relay::start(Fault::Refuses(7));
    let (url, publish) = (relay.url("ws", "/subscribe"), relay.url("http", "/publish"));
    let arguments = ["--url", &url, "-c", "3", "--publish-url", &publish, "-d", "300ms"];
    let run = run(&[&arguments[..], &["--closed", "--bulk", "10"]].concat());
    assert!(run.errors("publish_status_500") > 0, "{}", run.report);
    run.has([0, 0, 0, 0]);
    assert_eq!(run.ledger("received") as f64, 3.0 * run.detail("events"));
}
