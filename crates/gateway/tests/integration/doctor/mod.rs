//! `ringway doctor`: its report about simulated hosts and about this one, and its exit codes.
//!
//! Nothing on this host is ever changed.

mod applying;
mod host;

use std::fs;

use host::{Answer, COOKIES, Host, LIMITS, SOMAXCONN};
use serde_json::Value;

use crate::support::ringway;

#[track_caller]
fn hurting(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap();
    let hurting = checks.iter().filter(|check| check["verdict"] == "hurts");
    hurting.map(|check| check["name"].as_str().unwrap()).collect()
}

#[test]
fn a_good_host_has_no_problems() {
    let answer = Host::good().doctor(&[]).ends_with(0).says("nothing hurts");
    for column in ["CHECK", "FOUND", "WANTED", "WHY"] {
        assert!(answer.text.lines().next().unwrap().contains(column), "{}", answer.text);
    }
    // tcp_mem allows 100,000 pages, and each connection takes two.
    answer.says("holds 50000 connections, limited by net.ipv4.tcp_mem");
}

#[test]
fn each_bad_value_is_reported_as_a_problem() {
    let files = LIMITS.replace("524288", "4096");
    let memlock = LIMITS.replace("8388608", "65536");
    let table: [(&str, &str, &str); 11] = [
        ("proc/self/limits", &files, "NOFILE"),
        ("proc/self/limits", &memlock, "memlock"),
        (SOMAXCONN, "128\n", "net.core.somaxconn"),
        (COOKIES, "0\n", "net.ipv4.tcp_syncookies"),
        ("proc/sys/fs/nr_open", "8192\n", "fs.nr_open"),
        ("proc/sys/net/ipv4/tcp_mem", "1000 2000 3000\n", "net.ipv4.tcp_mem"),
        ("proc/sys/net/netfilter/nf_conntrack_max", "1000\n", "net.netfilter.nf_conntrack_max"),
        ("proc/sys/kernel/io_uring_disabled", "2\n", "kernel.io_uring_disabled"),
        ("proc/sys/kernel/osrelease", "5.10.0-made-up\n", "kernel version"),
        ("sys/fs/cgroup/user.slice/memory.max", "33554432\n", "cgroup memory"),
        ("proc/meminfo", "MemAvailable: 32768 kB\n", "memory available"),
    ];
    for (path, text, name) in table {
        let host = Host::good();
        host.says(path, text);
        let answer = host.doctor(&[]).ends_with(1);
        let row = answer.text.lines().find(|line| line.starts_with("HURTS") && line.contains(name));
        assert!(row.is_some(), "{name}: {}", answer.text);
        let last = answer.text.lines().last().unwrap();
        assert!(last.starts_with("hurts: ") && last.contains(name), "{last}");
        let report = host.doctor(&["--json"]).ends_with(1).json();
        assert_eq!(report["verdict"], "hurts");
        assert!(hurting(&report).contains(&name), "{name}: {report:#}");
        let check = report["checks"].as_array().unwrap().iter().find(|one| one["name"] == name);
        assert!(check.unwrap()["mend"].is_string(), "{report:#}");
    }
}

#[test]
fn invalid_content_is_reported_as_unknown() {
    for rubbish in [&b""[..], b"rubbish", b"\xff\xfe\x00", b"-4096", &[b'9'; 300 << 10]] {
        let host = Host::good();
        host.says(SOMAXCONN, rubbish);
        let answer = host.doctor(&[]).ends_with(0).says("unknown: net.core.somaxconn: ");
        assert!(answer.text.len() < 20_000);
    }
}

#[test]
fn an_empty_root_is_unknown() {
    let directory = tempfile::TempDir::new().unwrap();
    let mut command = ringway(&["doctor", "--json", "--root"]);
    command.arg(directory.path());
    let report = Answer::of(command).ends_with(1).json();
    assert_eq!(report["verdict"], "unknown");
    assert_eq!(report["capacity"]["unknown"], serde_json::json!(["NOFILE", "memory"]));
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["verdict"] != "hurts"), "{report:#}");
    assert_eq!(report["capacity"]["limited_by"], "limits.connections_max");
}

/// A host whose descriptors or memory are unknown is not reported as good.
#[test]
fn without_descriptors_or_memory_no_capacity_is_given() {
    let answer = Answer::of(ringway(&["doctor", "--root", "/nonexistent"])).ends_with(1);
    let answer = answer.says("holds at most ").says("; NOFILE and memory are unknown\n");
    assert_eq!(answer.text.lines().last(), Some("unknown: NOFILE, memory"));

    for (path, name) in [("proc/self/limits", "NOFILE"), ("proc/meminfo", "memory")] {
        let host = Host::good();
        fs::remove_file(host.path(path)).unwrap();
        let answer = host.doctor(&[]).ends_with(1).says("holds at most 50000 connections");
        assert!(!answer.text.contains("nothing hurts"), "{}", answer.text);
        answer.says(&format!("; {name} is unknown\n"));
        host.says(SOMAXCONN, "128\n");
        host.doctor(&[]).ends_with(1).says(&format!("; {name} is unknown\n")).says("hurts: ");
    }

    let host = Host::good();
    fs::remove_file(host.path("proc/sys/fs/file-nr")).unwrap();
    let answer = host.doctor(&[]).ends_with(0).says("unknown how many open");
    assert!(!answer.text.contains(" 0 open"), "{}", answer.text);
}

#[test]
fn the_configuration_sets_the_capacity_wanted() {
    let host = Host::good();
    host.doctor(&["--set", "limits.connections_max=50000"]).ends_with(0).says("(50000 wanted)");
    let more = ["--set", "limits.connections_max=50001"];
    host.doctor(&more).ends_with(1).says("hurts: net.ipv4.tcp_mem");

    host.says("ringway.toml", "[[listener]]\naddress = \"127.0.0.1:1\"\nbacklog = 9000\n");
    let file = host.path("ringway.toml");
    let flags = ["--config", file.to_str().unwrap()];
    host.doctor(&flags).ends_with(1).says("at least 9000").says("hurts: net.core.somaxconn");

    host.says(SOMAXCONN, "9000\n");
    host.doctor(&flags).ends_with(0);
    // io_uring is not needed if it is not requested.
    host.says("proc/sys/kernel/io_uring_disabled", "2\n");
    host.doctor(&["--set", "server.io=epoll"]).ends_with(0);
}

#[test]
fn a_wrong_command_line_or_configuration_has_exit_code_2() {
    let host = Host::good();
    host.doctor(&["--apply", "--undo"]).ends_with(2).complains("--undo");
    host.doctor(&["--aply"]).ends_with(2).complains("--apply");
    host.doctor(&["--set", "limits.conections_max=5"]).ends_with(2).complains("connections_max");
    host.doctor(&["--config", "/nowhere/ringway.toml"]).ends_with(2).complains("cannot be read");
}

#[test]
fn the_help_has_examples_and_exit_codes() {
    let help = Answer::of(ringway(&["doctor", "--help"])).ends_with(0);
    let help = help.says("EXAMPLES").says("EXIT STATUS").says("--dry-run").says("--undo");
    assert!(!help.text.contains("--root"), "{}", help.text);
}

/// Whatever the state of this host, the report is complete and consistent.
#[test]
fn this_host_is_examined() {
    let answer = Answer::of(ringway(&["doctor", "--json"]));
    let report = answer.json();
    let hurting = hurting(&report);
    assert_eq!(answer.code, i32::from(report["verdict"] == "hurts"), "{report:#}");
    assert!(hurting.is_empty() || answer.code == 1, "{report:#}");

    let checks = report["checks"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    for name in ["kernel version", "NOFILE", "net.core.somaxconn", "memory available"] {
        assert_ne!(check(name)["verdict"], "unknown", "{report:#}");
    }
    // The doctor tests the ring, so the verdict is known.
    assert_ne!(check("io_uring self-test")["verdict"], "unknown", "{report:#}");
    assert!(
        checks.iter().filter(|one| one["name"].as_str().unwrap().starts_with("io_uring ")).count()
            > 8
    );

    let capacity = &report["capacity"];
    let connections = capacity["connections"].as_u64().unwrap();
    let files: u64 = check("NOFILE")["found"].as_str().unwrap().parse().unwrap_or(u64::MAX);
    assert!(connections > 0 && connections < files, "{capacity:#}");
    let bounds = capacity["bounds"].as_array().unwrap();
    assert!(bounds.len() >= 4, "{capacity:#}");
    assert!(bounds.iter().all(|bound| bound["connections"].as_u64().unwrap() >= connections));
    assert_eq!(bounds[0]["name"], capacity["limited_by"]);
}

#[test]
fn a_dry_run_on_this_host_changes_nothing() {
    let somaxconn = || fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let before = somaxconn();
    let flags = ["doctor", "--apply", "--dry-run", "--set", "listener.backlog=60000"];
    Answer::of(ringway(&flags)).ends_with(0).says("+net.core.somaxconn = 60000");
    assert_eq!(somaxconn(), before);
}
