//! Servers as shell scripts: which output counts, when, and what an error quotes.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ringway_testbed::{Gateway, Launch, Server, Signal, address_after};

const LIMIT: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Server {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Server::start(command).unwrap()
}

/// The output of a gateway that starts.
const SERVES: &str = "echo 'INFO is listening on ws://127.0.0.1:9; api http://127.0.0.1:8' >&2; \
                      echo 'INFO is serving' >&2; ";

#[test]
fn addresses_are_found_in_the_output_of_servers() {
    for line in [
        "listens on ws://127.0.0.1:4711",
        "INFO a ws://127.0.0.1:4711; api b",
        "ws://127.0.0.1:4711/",
        r#"{"url":"ws://127.0.0.1:4711","a":1}"#,
    ] {
        assert_eq!(address_after(line, "ws://"), "127.0.0.1:4711".parse().ok(), "{line}");
    }
    assert_eq!(address_after("ws://nowhere", "ws://"), None);
    assert_eq!(address_after("http://127.0.0.1:1", "ws://"), None);
}

#[test]
fn a_server_is_found_by_its_address_and_ends_when_dropped() {
    let mut server = shell("echo first; echo listens on ws://127.0.0.1:9 >&2; exec sleep 60");
    assert_eq!(server.announces(LIMIT).unwrap(), "127.0.0.1:9".parse().unwrap());
    assert_eq!(server.output().lines()[0], "first");
    assert!(server.resident_bytes().unwrap() > 0 && server.descriptors().unwrap() > 0);
    assert!(server.processor_time().unwrap() < LIMIT);
    let folder = format!("/proc/{}", server.pid());
    drop(server);
    assert!(!Path::new(&folder).exists());
}

#[test]
fn the_error_of_a_failed_start_quotes_the_server() {
    let began = Instant::now();
    let error = shell("echo no such thing >&2; exit 3").announces(LIMIT).unwrap_err().to_string();
    assert!(error.contains("no such thing") && error.contains('3'), "{error}");
    // A child that keeps the pipe open must not delay the error.
    let error = shell("sleep 8 & echo left >&2; exit 4").announces(LIMIT).unwrap_err().to_string();
    assert!(error.contains("left") && error.contains('4'), "{error}");
    assert!(began.elapsed() < Duration::from_secs(8));
    let missing = Server::start(Command::new("/nonexistent")).unwrap_err().to_string();
    assert!(missing.contains("/nonexistent"), "{missing}");
}

#[test]
fn a_silent_server_is_awaited_no_longer_than_the_limit() {
    let mut server = shell("exec sleep 60");
    let error = server.announces(Duration::from_millis(200)).unwrap_err().to_string();
    assert!(error.contains("did not say"), "{error}");
    assert!(server.ends(Duration::ZERO).unwrap().is_none());
}

#[test]
fn a_server_is_stopped_with_sigterm_and_judged_by_its_status() {
    let ends_with = |status: u8| {
        let mut server =
            shell(&format!("trap 'exit {status}' TERM; echo ready; while :; do sleep 0.05; done"));
        server.says("ready", LIMIT).unwrap();
        server.stop(LIMIT)
    };
    ends_with(0).unwrap();
    let error = ends_with(5).unwrap_err().to_string();
    assert!(error.contains('5') && error.contains("ready"), "{error}");
    let mut server = shell("echo bye; exit 0");
    server.ends(LIMIT).unwrap().unwrap();
    assert!(server.stop(LIMIT).unwrap_err().to_string().contains("by itself"));
    let mut stuck = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    stuck.output().wait_for("ready", LIMIT).unwrap();
    let error = stuck.stop(Duration::from_millis(200)).unwrap_err().to_string();
    assert!(error.contains("still running"), "{error}");
}

#[test]
fn a_gateway_has_both_addresses_once_it_is_ready() {
    let gateway = Gateway::watch(shell(&format!("{SERVES} exec sleep 60"))).unwrap();
    assert_eq!(gateway.echo_url(), "ws://127.0.0.1:9/echo");
    assert_eq!(gateway.api, "127.0.0.1:8".parse().unwrap());
    gateway.signal(Signal::TERM).unwrap();
    assert!(gateway.stop().is_err());
}

#[test]
fn a_launch_uses_its_own_ports_and_ignores_the_shell() {
    let launch = Launch::after("ulimit -n 64", Path::new("ringway"));
    let command = launch.set(&["a.b=1"]).flags(&["--quiet"]).into_command();
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    assert!(words[1].starts_with("ulimit -n 64; exec"), "{words:?}");
    assert_eq!(words[3..7].join(" "), "--listen 127.0.0.1:0 --api-listen 127.0.0.1:0");
    assert_eq!(words[7..].join(" "), "--set a.b=1 --quiet");
}

#[test]
fn the_output_of_a_server_can_be_closed() {
    let server = shell("trap '' PIPE; while echo line; do sleep 0.02; done; exit 7");
    server.output().wait_for("line", LIMIT).unwrap();
    server.output().close_after_next_line();
    assert!(server.output().wait_for_end(LIMIT));
    let mut server = server;
    assert_eq!(server.ends(LIMIT).unwrap().unwrap().code(), Some(7));
}
