//! The systemd units: they verify, the service is as restricted as it claims, its filter allows the
//! system calls that the gateway was seen to make, and the socket has a name that the gateway
//! knows.
//!
//! It never starts a unit.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{
    files::{path, run, text},
    seccomp,
};

const UNIT: &str = "systemd/ringway.service";
const SOCKET: &str = "systemd/ringway.socket";

/// The highest result allowed from `systemd-analyze security`: 0 is closed, 10 is open.
const EXPOSURE_MAX: f64 = 2.0;

/// The values of a key of the service, in order.
fn values(key: &str) -> Vec<String> {
    values_of(UNIT, key)
}

fn values_of(unit: &str, key: &str) -> Vec<String> {
    let text = text(unit);
    let found = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    found.map(str::to_owned).collect()
}

#[test]
fn it_verifies() {
    // The check requires that the program exists, so the unit names one that does.
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("ringway.service");
    let program = std::env::current_exe().unwrap().display().to_string();
    let [start] = &values("ExecStart")[..] else { panic!("one ExecStart") };
    let (installed, _) = start.split_once(' ').unwrap();
    fs::write(&unit, text(UNIT).replace(installed, &program)).unwrap();
    let socket = folder.path().join("ringway.socket");
    fs::write(&socket, text(SOCKET)).unwrap();
    let verify = run(Command::new("systemd-analyze").arg("verify").args([&unit, &socket]));
    let Some(output) = verify else { return };
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let about_it: Vec<_> = told.lines().filter(|line| line.contains("ringway.")).collect();
    assert!(output.status.success() && about_it.is_empty(), "{told}");
}

/// The gateway's integration tests (`inherited`) pass sockets under these names.
#[test]
fn the_socket_has_a_name_that_the_gateway_knows() {
    assert_eq!(values_of(SOCKET, "FileDescriptorName"), ["clients"]);
    assert!(text(SOCKET).contains("FileDescriptorName=api and Service=ringway.service"));
    // The gateway itself accepts, and its own unit starts it.
    assert_eq!(values_of(SOCKET, "Accept"), [""; 0]);
    assert_eq!(values_of(SOCKET, "Service"), [""; 0]);
}

#[test]
fn the_unit_is_sandboxed() {
    let security = run(Command::new("systemd-analyze")
        .args(["security", "--no-pager", "--offline=true"])
        .arg(path(UNIT)));
    let Some(output) = security else { return };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((_, rest)) = told.split_once("Overall exposure level for ringway.service: ") else {
        // Versions before 251 cannot check a file.
        return assert!(!output.status.success(), "{told}");
    };
    let level: f64 = rest.split_whitespace().next().unwrap().parse().unwrap();
    assert!(level <= EXPOSURE_MAX, "{told}");
}

/// Collects the calls of a set such as `@io-event`, with the sets in it.
fn members(set: &str, found: &mut BTreeSet<String>) -> Option<()> {
    let command = run(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", set]));
    let output = command?;
    assert!(output.status.success(), "{set} is no set of this systemd");
    let told = String::from_utf8(output.stdout).unwrap();
    for name in told.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#')) {
        if name.starts_with('@') {
            members(name, found)?;
        } else if !name.is_empty() {
            found.insert(name.to_owned());
        }
    }
    Some(())
}

#[test]
fn its_filter_allows_the_calls_of_the_gateway() {
    let mut allowed = BTreeSet::new();
    for value in values("SystemCallFilter") {
        let (denies, names) = match value.strip_prefix('~') {
            Some(names) => (true, names),
            None => (false, value.as_str()),
        };
        let mut named = BTreeSet::new();
        for name in names.split_whitespace() {
            if !name.starts_with('@') {
                named.insert(name.to_owned());
            } else if members(name, &mut named).is_none() {
                return;
            }
        }
        if denies {
            allowed.retain(|name| !named.contains(name));
        } else {
            allowed.extend(named);
        }
    }
    // The calls that it was seen to make, and their substitutes; not those of runc.
    for name in seccomp::groups()[..2].concat() {
        assert!(allowed.contains(&name), "SystemCallFilter= forbids {name}");
    }
    assert!(!allowed.contains("mount") && !allowed.contains("setuid"), "{allowed:?}");
}

/// server.drain_time is 20 s by default, and half a second of grace follows it.
#[test]
fn it_leaves_time_to_drain() {
    let [time] = &values("TimeoutStopSec")[..] else { panic!("one TimeoutStopSec") };
    let seconds: u32 = time.strip_suffix('s').unwrap().parse().unwrap();
    assert!(seconds > 20 + 5, "{time}");
    assert_eq!(values("ExecReload"), [""; 0], "the gateway does not read its configuration again");
}
