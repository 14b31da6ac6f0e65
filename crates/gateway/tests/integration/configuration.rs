//! `ringway check` and `ringway defaults`, and which source of a setting wins at run time.
//!
//! The effect of each key is tested elsewhere.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Output, Stdio},
};

use tempfile::TempDir;

use crate::support::{Client, Engine, Launch, Request, on_each_engine, ringway};

on_each_engine!(
    later_sources_win,
    a_configuration_file_takes_effect,
    an_invalid_file_prevents_the_start,
    an_invalid_variable_prevents_the_start,
);

/// A temporary configuration file, and its directory, which is deleted with it.
fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ringway.toml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn check(text: &str) -> (Output, PathBuf) {
    let (_directory, path) = file(text);
    (ringway(&["check"]).arg(&path).output().unwrap(), path)
}

/// Standard error of a run that ended with exit code 2.
#[track_caller]
fn refusal(output: Output) -> String {
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    text
}

#[test]
fn a_good_file_is_ok() {
    let (output, path) = check("[limits]\nhandshake_timeout = \"5s\"\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with(&format!("{}: ok\n", path.display())), "{text}");
    assert!(text.contains("127.0.0.1:8080") && text.contains("anonymous"), "{text}");
    assert!(output.stderr.is_empty());
}

#[test]
fn an_unknown_key_is_reported_with_the_nearest_key_and_its_line() {
    let (output, path) = check("[limits]\n\nhandshake_timout = \"5s\"\n");
    let wanted = format!(
        "{}:3: unknown key \"handshake_timout\" in [limits]; did you mean \"handshake_timeout\"?\n",
        path.display()
    );
    assert_eq!(refusal(output), wanted);
}

#[test]
fn every_fault_of_a_file_is_reported_with_its_line() {
    let (output, path) = check("[limit]\n[log]\nlevel = \"loud\"\n[server]\nio = 7\nwait = true\n");
    let text = refusal(output);
    for line in [1, 3, 5, 6] {
        assert!(text.contains(&format!("{}:{line}:", path.display())), "line {line}: {text}");
    }
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn a_missing_file_and_invalid_toml_are_refused() {
    let (output, path) = check("[limits\n");
    assert!(refusal(output).contains(&format!("{}:1:", path.display())));
    let output = ringway(&["check", "/nowhere/ringway.toml"]).output().unwrap();
    assert!(refusal(output).contains("/nowhere/ringway.toml: cannot be read"));
}

/// `ringway defaults | ringway check /dev/stdin`
#[test]
fn the_printed_defaults_are_a_valid_file() {
    let defaults = ringway(&["defaults"]).output().unwrap();
    assert_eq!(defaults.status.code(), Some(0));
    let mut check = ringway(&["check", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(&defaults.stdout).unwrap();
    let output = check.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.starts_with(b"/dev/stdin: ok\n"), "{output:?}");
}

#[test]
fn the_help_describes_the_command_line() {
    let help = ringway(&["--help"]).output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for wanted in ["--config", "--listen", "--set", "RINGWAY_", "EXIT STATUS"] {
        assert!(text.contains(wanted), "no {wanted} in {text}");
    }
    let version = ringway(&["--version"]).output().unwrap();
    assert_eq!(version.stdout, format!("ringway {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    let text = refusal(ringway(&["--lisen", "127.0.0.1:0"]).output().unwrap());
    assert!(text.contains("--listen"), "{text}");
}

const VARIABLE: &str = "RINGWAY_LIMITS_REQUESTS_PER_CONNECTION_MAX";

/// How many requests a connection may carry.
#[track_caller]
fn requests_allowed(launch: Launch) -> u32 {
    let gateway = launch.start();
    let mut client = Client::connect(&gateway);
    let mut count = 0;
    loop {
        count += 1;
        if client.requests(&Request::of("/")).field("Connection") == Some("close") {
            return count;
        }
    }
}

/// Defaults, file, environment variables, `--set`, flags.
fn later_sources_win(engine: Engine) {
    let (_directory, path) = file("[limits]\nrequests_per_connection_max = 2\n");
    let path = path.to_str().unwrap();
    let launch = || Launch::on(engine).flags(&["--config", path]);
    let setting = ["limits.requests_per_connection_max=4"];
    assert_eq!(requests_allowed(launch()), 2);
    assert_eq!(requests_allowed(launch().variable(VARIABLE, "3")), 3);
    assert_eq!(requests_allowed(launch().variable(VARIABLE, "3").set(&setting)), 4);
    let by_variable = Launch::on(engine).variable("RINGWAY_CONFIG", path);
    assert_eq!(requests_allowed(by_variable), 2);
    // A flag beats `--set`: the engine is still that of the flag.
    let other = if engine == Engine::Uring { "epoll" } else { "uring" };
    let gateway = Launch::on(engine).set(&[&format!("server.io={other}")]).start();
    assert!(gateway.logs("is serving").contains(engine.name()));
}

fn a_configuration_file_takes_effect(engine: Engine) {
    let (_directory, path) = file(&format!(
        "[server]\nio = \"{}\"\napi_listen = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.2:0\"\n",
        engine.flag()
    ));
    let gateway = Launch::of_file(&path).start();
    assert!(gateway.logs("is listening").contains(", ws://127.0.0.2:"));
    assert!(gateway.logs("is serving").contains(engine.name()));
    Client::upgrade(&gateway);
}

fn an_invalid_file_prevents_the_start(engine: Engine) {
    let (_directory, path) = file("[server]\ndrain_tme = \"1s\"\n");
    let launch = Launch::on(engine).flags(&["--config", path.to_str().unwrap()]);
    let text = refusal(launch.output());
    assert!(text.contains(&format!("{}:2: unknown key", path.display())), "{text}");
    assert!(text.contains("did you mean \"drain_time\"?"), "{text}");
}

fn an_invalid_variable_prevents_the_start(engine: Engine) {
    let unknown = Launch::on(engine).variable("RINGWAY_LIMITS_HANDSHAKE_TIMOUT", "5s");
    let text = refusal(unknown.output());
    assert!(text.contains("did you mean RINGWAY_LIMITS_HANDSHAKE_TIMEOUT?"), "{text}");
    let text = refusal(Launch::on(engine).variable(VARIABLE, "many").output());
    assert!(text.contains(VARIABLE), "{text}");
}
