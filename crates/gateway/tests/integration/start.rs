//! What an operator sees when the gateway starts, and when it cannot start.
//!
//! Exit codes: 1 for an error at run time, 2 for a wrong command line or configuration.

use std::{
    fs::{self, File},
    net::TcpListener,
    process::Output,
};

use ringway_acceptor::cores;
use serde_json::Value;

use crate::support::{
    Client, Engine, Gateway, Launch, Request, frames::close, on_each_engine, ringway,
};

on_each_engine!(
    the_log_names_the_engine_and_cores,
    every_listener_is_served,
    the_log_can_be_json,
    a_quiet_log_level_is_kept,
    an_address_in_use_prevents_the_start,
    an_api_address_in_use_prevents_the_start,
    one_core_is_one_thread,
    threads_are_pinned_to_listed_cores,
    an_impossible_configuration_has_exit_code_2,
    a_public_address_is_refused_unless_allowed,
    a_log_on_a_closed_pipe_does_no_harm,
);

#[track_caller]
fn failure(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn the_log_names_the_engine_and_cores(engine: Engine) {
    let gateway = Launch::bare(engine).start();
    let listens = gateway.logs("is listening");
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(listens.contains(&version), "{listens}");
    assert!(listens.contains(&format!("clients=ws://{}", gateway.address)), "{listens}");
    assert!(listens.contains(&format!("private_api=http://{}", gateway.api)), "{listens}");
    let holds = gateway.logs("is serving");
    let count = cores::allowed().unwrap().len();
    assert!(holds.contains(&format!("engine={} cores={count} ", engine.name())), "{holds}");
    assert!(holds.contains("connections_max=") && holds.contains("open_files_max="), "{holds}");
    gateway.logs("anonymous");
    assert_eq!(Client::connect(&gateway).requests(&Request::of("/")).status, 200);
    let log = gateway.log();
    let warnings: Vec<_> = log.iter().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{log:#?}");
    assert!(warnings[0].contains("anonymous clients are allowed"), "{log:#?}");
    assert!(warnings[0].contains("credentials"), "{log:#?}");
    // The port is the one that the kernel chose, not the 0 on the command line.
    assert!(warnings[0].contains(&gateway.address.to_string()), "{log:#?}");
    assert!(log.iter().all(|line| !line.contains(".1:0")), "{log:#?}");
    let said = log.iter().filter(|line| !line.contains("connection has ended"));
    assert_eq!(said.count(), 3, "{log:#?}");
}

fn every_listener_is_served(engine: Engine) {
    let mut others = vec!["127.0.0.2"];
    // Not every machine has IPv6.
    if TcpListener::bind("[::1]:0").is_ok() {
        others.push("[::1]");
    }
    for other in others {
        let gateway = Launch::on(engine).flags(&["--listen", &format!("{other}:0")]).start();
        let line = gateway.logs("is listening");
        let (_, second) = line.split_once(&format!("ws://{other}:")).unwrap();
        let second = format!("{other}:{}", second.split(' ').next().unwrap());
        for address in [gateway.address, second.parse().unwrap()] {
            assert_eq!(Client::connect_to(address).requests(&Request::of("/")).status, 200);
        }
    }
}

fn the_log_can_be_json(engine: Engine) {
    let gateway = Launch::on(engine).set(&["log.format=json"]).start();
    for line in gateway.log() {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    // The values that a log collector searches for are in separate fields.
    let line: Value = serde_json::from_str(&gateway.logs("is listening")).unwrap();
    assert_eq!(line["message"], "ringway is listening");
    assert_eq!(line["clients"], format!("ws://{}", gateway.address));
    let line: Value = serde_json::from_str(&gateway.logs("is serving")).unwrap();
    assert_eq!((&line["cores"], &line["engine"]), (&1.into(), &engine.name().into()));
    assert!(line["connections_max"].is_u64() && line["open_files_max"].is_u64(), "{line}");
}

fn a_quiet_log_level_is_kept(engine: Engine) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let launch = Launch::on(engine).flags(&["--log", "error", "--listen", &address]);
    let text = failure(&launch.output(), 1);
    assert!(!text.contains("INFO") && !text.contains("WARN"), "{text}");
    assert!(text.contains(&address), "{text}");
}

/// SO_REUSEPORT (socket(7)) would let two gateways share a port silently.
fn an_address_in_use_prevents_the_start(engine: Engine) {
    let gateway = Gateway::start(engine);
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [gateway.address, stranger.local_addr().unwrap()] {
        let address = address.to_string();
        let output = ringway(&["--io", engine.flag(), "--listen", &address])
            .args(["--api-listen", "127.0.0.1:0"])
            .output()
            .unwrap();
        let text = failure(&output, 1);
        assert!(text.contains(&format!("cannot listen on {address}")), "{text}");
        assert!(text.to_lowercase().contains("address already in use"), "{text}");
    }
    assert_eq!(Client::connect(&gateway).requests(&Request::of("/")).status, 200);
}

fn an_api_address_in_use_prevents_the_start(engine: Engine) {
    let gateway = Gateway::start(engine);
    let api = gateway.api.to_string();
    let launch =
        ringway(&["--io", engine.flag(), "--listen", "127.0.0.1:0", "--api-listen", &api]).output();
    let text = failure(&launch.unwrap(), 1);
    assert!(text.contains("server.api_listen") && text.contains(&api), "{text}");
}

/// The names of the process's threads that serve clients.
fn core_threads(gateway: &Gateway) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("core-")).collect();
    names.sort();
    names
}

fn one_core_is_one_thread(engine: Engine) {
    let gateway = Launch::bare(engine).flags(&["--cores", "1"]).start();
    let line = gateway.logs("is serving");
    let first = cores::allowed().unwrap()[0];
    assert!(line.contains(&format!("cores=1 core_numbers={first} ")), "{line}");
    assert_eq!(core_threads(&gateway), [format!("core-{first}\n")]);
}

fn threads_are_pinned_to_listed_cores(engine: Engine) {
    let allowed = cores::allowed().unwrap();
    // Written as a range if there are two adjacent cores: 0-1.
    let list = match *allowed {
        [first, second, ..] if second == first + 1 => format!("{first}-{second}"),
        [first, ..] => format!("{first},"),
        [] => unreachable!("this test runs on a core"),
    };
    let gateway = Launch::bare(engine).flags(&["--cores", &list]).start();
    let threads = core_threads(&gateway);
    assert_eq!(threads.len(), if list.contains('-') { 2 } else { 1 }, "{threads:?}");
    // proc_pid_status(5): each thread may run only on its own core.
    let tasks = fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    for task in tasks.map(|task| task.unwrap().path()) {
        let name = fs::read_to_string(task.join("comm")).unwrap();
        if let Some(core) = name.trim().strip_prefix("core-") {
            let status = fs::read_to_string(task.join("status")).unwrap();
            assert!(status.contains(&format!("Cpus_allowed_list:\t{core}\n")), "{status}");
        }
    }
    assert_eq!(Client::connect(&gateway).requests(&Request::of("/")).status, 200);
}

fn an_impossible_configuration_has_exit_code_2(engine: Engine) {
    for (flags, wanted) in [
        (&["--cores", "0"][..], "--cores 0"),
        (&["--cores", "all"], "--cores all"),
        (&["--cores", "3-1"], "--cores 3-1"),
        (&["--cores", "0,0"], "--cores 0,0"),
        (&["--set", "limits.handshake_timeout=5"], "limits.handshake_timeout"),
        (&["--set", "limits.handshake_timeout=1ms"], "limits.handshake_timeout"),
        (&["--set", "limits.handshake_timout=5s"], "did you mean \"limits.handshake_timeout\"?"),
        (&["--set", "nonsense"], "--set nonsense"),
        (&["--listen", "localhost"], "--listen localhost"),
        (&["--log", "loud"], "--log loud"),
    ] {
        let text = failure(&Launch::bare(engine).flags(flags).output(), 2);
        assert!(text.contains(wanted), "{wanted:?} is not in {text}");
    }
    // The gateway finds out only at run time that this machine does not have a core.
    let text = failure(&Launch::bare(engine).flags(&["--cores", "0,1023"]).output(), 1);
    assert!(text.contains("server.cores") && text.contains("1023"), "{text}");
    let text = failure(&Launch::bare(engine).flags(&["--cores", "1024"]).output(), 1);
    assert!(text.contains("server.cores") && text.contains("1024"), "{text}");
}

fn a_public_address_is_refused_unless_allowed(engine: Engine) {
    let public = ["--io", engine.flag(), "--listen", "0.0.0.0:0", "--api-listen", "127.0.0.1:0"];
    let text = failure(&ringway(&public).output().unwrap(), 2);
    assert!(text.contains("server.allow_anonymous_on_public_address = true"), "{text}");
}

/// The log names the engine, and warns of a fallback from io_uring.
#[test]
fn the_engine_is_chosen_by_default() {
    let gateway = Launch::without_engine().start();
    let line = gateway.logs("is serving");
    let engine = if line.contains("engine=io_uring ") { Engine::Uring } else { Engine::Epoll };
    if engine == Engine::Epoll {
        gateway.logs("io_uring cannot be used, so epoll serves");
    }
    let metrics = String::from_utf8(gateway.api("/metrics").body).unwrap();
    let label = format!("ringway_engine{{engine=\"{}\"}} 1", engine.name());
    assert!(metrics.contains(&label), "{metrics}");
}

/// The process that reads the log may die before the gateway does.
fn a_log_on_a_closed_pipe_does_no_harm(engine: Engine) {
    let mut gateway = Launch::on(engine).set(&["server.drain_time=8s"]).start();
    let mut client = Client::upgrade(&gateway);
    gateway.loses_its_log();
    gateway.signal("TERM");
    client.receives_close(1001);
    client.sends(close(1001, ""));
    client.receives_end();
    drop(client);
    assert_eq!(gateway.ends().code(), Some(0));
}

#[test]
fn an_error_on_a_closed_pipe_keeps_its_exit_code() {
    let table: [(&[&str], i32); 3] = [
        (&["--set", "server.nothing=1"], 2),
        (&["check", "/nowhere.toml"], 2),
        (&["--cores", "1023-1023", "--api-listen", "127.0.0.1:0"], 1),
    ];
    for (arguments, code) in table {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let status = ringway(arguments).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
