//! The gateway under the system call filter that `tuning/seccomp/ringway.json` gives to containers,
//! but here a call that the filter does not name kills the process at once.
//!
//! A process inherits the filter of the thread that starts it (seccomp(2)), so a separate thread
//! starts the gateway.

use std::{collections::BTreeSet, fs, thread};

use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};
use serde_json::{Value, json};

use crate::support::{
    Application, Client, Engine, Gateway, Launch, Member, Request,
    frames::{BINARY, FIN, close, frame},
    on_each_engine,
};

on_each_engine!(the_gateway_needs_no_more_than_its_profile);

const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tuning/seccomp/ringway.json");

/// Calls that only x86-64 has; elsewhere the container's runtime ignores them.
const OF_X86_64: [&str; 9] =
    ["access", "arch_prctl", "dup2", "epoll_wait", "open", "poll", "readlink", "stat", "time"];

/// Calls that the test makes to start the process, before it is the gateway.
const OF_STARTING: [&str; 2] = ["dup2", "dup3"];

/// The profile as a filter of `seccompiler`.
fn filter() -> BpfProgram {
    let profile: Value = serde_json::from_str(&fs::read_to_string(PROFILE).unwrap()).unwrap();
    let groups = profile["syscalls"].as_array().unwrap();
    let names: BTreeSet<&str> = groups
        .iter()
        .flat_map(|group| group["names"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .chain(OF_STARTING)
        .filter(|name| cfg!(target_arch = "x86_64") || !OF_X86_64.contains(name))
        .collect();
    let rules: Vec<Value> = names.iter().map(|name| json!({ "syscall": name })).collect();
    let filter = json!({
        "mismatch_action": "kill_process",
        "match_action": "allow",
        "filter": rules,
    });
    let text = json!({ "gateway": filter }).to_string();
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let mut filters = compile_from_json(text.as_bytes(), arch).unwrap();
    filters.remove("gateway").unwrap()
}

fn the_gateway_needs_no_more_than_its_profile(engine: Engine) {
    let filter = filter();
    let launch = Launch::bare(engine).set(&["socket.notsent_lowat_bytes=16KiB"]);
    let confined = thread::spawn(move || {
        apply_filter(&filter).unwrap();
        launch.spawn()
    });
    let mut gateway = Gateway::watch(confined.join().unwrap());
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    // proc_pid_status(5): 2 means that a filter is active.
    assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
    assert!(gateway.logs("is serving").contains(engine.name()));

    // More bytes than the sockets' buffers hold, and a file.
    let mut echo = Client::upgrade(&gateway);
    let message = vec![7; 8 << 20];
    let mut stream = echo.stream();
    let frames = frame(FIN | BINARY, &message);
    let sender = thread::spawn(move || std::io::Write::write_all(&mut stream, &frames));
    echo.receives_binary(&message);
    sender.join().unwrap().unwrap();
    assert_eq!(Client::connect(&gateway).requests(&Request::of("/ringway.js")).status, 200);

    // Events from a client and from the application, also to other cores.
    let mut members: Vec<_> =
        (0..8).map(|number| Member::joins(&gateway, &format!("member-{number}"))).collect();
    for member in &mut members {
        member.subscribes("news");
    }
    members[0].publishes("1", "news", "from a client");
    let event = json!({ "topic": "news", "data": "from the application" }).to_string();
    assert_eq!(Application::of(&gateway).posts("/v1/publish", event).status, 200);
    for member in &mut members {
        member.receives_event("from a client");
        member.receives_event("from the application");
    }
    assert!(gateway.metric("ringway_connections") >= 9);

    echo.sends(close(1000, ""));
    echo.receives_close(1000);
    drop((echo, members));
    gateway.signal("HUP");
    gateway.logs("SIGHUP");
    gateway.signal("TERM");
    assert_eq!(gateway.ends().code(), Some(0));
}
