//! `--apply`, `--dry-run` and `--undo` on simulated hosts: nothing is lowered, nothing is lost, and
//! an interrupted run can be completed or undone.

use std::{fs, os::unix::fs::symlink};

use rustix::fs::{FlockOperation, flock};

use super::host::{CONF, COOKIES, Host, RECORD, SOMAXCONN};

const LOCK: &str = "var/lib/ringway/doctor.lock";
const NR_OPEN: &str = "proc/sys/fs/nr_open";

/// A host with one sysctl that is too low, one that is off, and one that is better than
/// recommended.
fn lacking() -> Host {
    let host = Host::good();
    host.says(SOMAXCONN, "128\n");
    host.says(COOKIES, "0\n");
    host.says(NR_OPEN, "2000000000\n");
    host
}

/// The settings of the written file, without comments.
fn settings(host: &Host) -> Vec<String> {
    let text = host.text(CONF).unwrap();
    let is_setting = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(is_setting).map(str::to_owned).collect()
}

fn assert_untouched(host: &Host) {
    assert_eq!((host.number(SOMAXCONN), host.number(COOKIES)), (128, 0));
    assert_eq!((host.text(CONF), host.text(RECORD)), (None, None));
}

#[test]
fn a_dry_run_shows_the_difference_and_changes_nothing() {
    let host = lacking();
    for flags in [&["--dry-run"][..], &["--apply", "--dry-run"]] {
        let answer = host.doctor(flags).ends_with(0);
        let answer = answer.says("-net.core.somaxconn = 128\n+net.core.somaxconn = 4096\n");
        let answer = answer.says("-net.ipv4.tcp_syncookies = 0\n+net.ipv4.tcp_syncookies = 1\n");
        let answer = answer.says("--- /dev/null\n+++ /etc/sysctl.d/60-ringway.conf\n");
        assert!(!answer.text.contains("nr_open"), "{}", answer.text);
        assert_untouched(&host);
    }
    let steps = &host.doctor(&["--dry-run", "--json"]).ends_with(0).json()["steps"];
    assert_eq!(steps[0]["set"]["key"], "net.core.somaxconn");
    Host::good().doctor(&["--dry-run"]).ends_with(0).says("nothing to change");
}

#[test]
fn undo_restores_the_applied_values() {
    let host = lacking();
    host.doctor(&[]).ends_with(1);
    host.doctor(&["--apply"]).ends_with(0).says("net.core.somaxconn: 128 -> 4096");
    assert_eq!((host.number(SOMAXCONN), host.number(COOKIES)), (4096, 1));
    // A value that is already better is not touched, and not lowered by the file after a restart.
    assert_eq!(host.number(NR_OPEN), 2_000_000_000);
    assert_eq!(settings(&host), ["net.core.somaxconn = 4096", "net.ipv4.tcp_syncookies = 1"]);
    assert!(host.text(RECORD).unwrap().contains("128"));
    host.doctor(&[]).ends_with(0).says("nothing hurts");

    let answer = host.doctor(&["--undo", "--dry-run"]).ends_with(0);
    answer.says("-net.core.somaxconn = 4096\n+net.core.somaxconn = 128\n").says("+++ /dev/null");
    assert_eq!(host.number(SOMAXCONN), 4096);

    host.doctor(&["--undo"]).ends_with(0).says("net.core.somaxconn: 4096 -> 128");
    assert_untouched(&host);
    host.doctor(&["--undo"]).ends_with(0).says("nothing to undo");
    assert_untouched(&host);
}

#[test]
fn a_second_apply_keeps_the_first_values() {
    let host = lacking();
    host.doctor(&["--apply"]).ends_with(0);
    host.doctor(&["--apply"]).ends_with(0).says("nothing to change");
    host.doctor(&["--apply", "--set", "listener.backlog=8000"]).ends_with(0).says("4096 -> 8000");
    assert_eq!(settings(&host), ["net.core.somaxconn = 8000", "net.ipv4.tcp_syncookies = 1"]);
    host.doctor(&["--undo"]).ends_with(0);
    assert_untouched(&host);
}

#[test]
fn a_value_changed_by_somebody_else_is_left_alone() {
    let host = lacking();
    host.doctor(&["--apply"]).ends_with(0);
    host.says(SOMAXCONN, "65535\n");
    let answer = host.doctor(&["--undo"]).ends_with(0);
    answer.says("kept").says("net.core.somaxconn: it is now 65535, which ringway did not set");
    assert_eq!((host.number(SOMAXCONN), host.number(COOKIES)), (65_535, 0));
    assert_eq!((host.text(CONF), host.text(RECORD)), (None, None));
    host.doctor(&["--undo"]).ends_with(0).says("nothing to undo");
}

/// In a container the kernel rejects changes of sysctls, even by root. Here the sysctl is a number
/// of the real kernel that nobody can set.
#[test]
fn a_value_that_the_kernel_refuses_is_reported_and_the_others_are_set() {
    let host = lacking();
    fs::remove_file(host.path(SOMAXCONN)).unwrap();
    symlink("/proc/sys/kernel/cap_last_cap", host.path(SOMAXCONN)).unwrap();
    let before = host.number(SOMAXCONN);
    let answer = host.doctor(&["--apply"]).ends_with(1);
    answer.says("REFUSED  net.core.somaxconn: ").says("tcp_syncookies: 0 -> 1");
    assert_eq!((host.number(SOMAXCONN), host.number(COOKIES)), (before, 1));
    let report = host.doctor(&["--apply", "--json"]).ends_with(1).json();
    assert_eq!(report["done"][0]["outcome"], "refused", "{report:#}");

    host.doctor(&["--undo"]).ends_with(0);
    assert_eq!((host.number(SOMAXCONN), host.number(COOKIES)), (before, 0));
    assert_eq!((host.text(CONF), host.text(RECORD)), (None, None));
}

/// If something cannot be restored, the undo can be repeated.
#[test]
fn a_refused_undo_keeps_the_old_value() {
    let host = lacking();
    host.doctor(&["--apply"]).ends_with(0);
    let last_cap = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    let record = host.text(RECORD).unwrap().replace("4096", last_cap.trim());
    host.says(RECORD, record);
    fs::remove_file(host.path(SOMAXCONN)).unwrap();
    symlink("/proc/sys/kernel/cap_last_cap", host.path(SOMAXCONN)).unwrap();

    host.doctor(&["--undo"]).ends_with(1).says("REFUSED  net.core.somaxconn");
    assert_eq!((host.number(COOKIES), host.text(CONF)), (0, None));
    assert!(host.text(RECORD).unwrap().contains("128"));

    fs::remove_file(host.path(SOMAXCONN)).unwrap();
    host.says(SOMAXCONN, last_cap);
    host.doctor(&["--undo"]).ends_with(0);
    assert_untouched(&host);
}

#[test]
fn a_file_that_cannot_be_written_is_reported_and_the_values_are_set() {
    let host = lacking();
    host.says("etc/sysctl.d", "not a directory");
    let answer = host.doctor(&["--apply"]).ends_with(1);
    answer.says("REFUSED  /etc/sysctl.d/60-ringway.conf").says("tcp_syncookies: 0 -> 1");
    assert_eq!(host.number(COOKIES), 1);
    host.doctor(&["--undo"]).ends_with(0);
    assert_eq!((host.number(SOMAXCONN), host.number(COOKIES)), (128, 0));
}

#[test]
fn nothing_is_changed_if_the_old_values_cannot_be_saved() {
    let host = lacking();
    host.says("var/lib/ringway", "not a directory");
    host.doctor(&["--apply"]).ends_with(1).complains("nothing was changed");
    assert_eq!((host.number(SOMAXCONN), host.text(CONF)), (128, None));
}

/// The record is written first, so an interrupted run leaves a record.
#[test]
fn an_interrupted_apply_can_be_finished_or_undone() {
    let interrupted = || {
        let host = lacking();
        host.doctor(&["--apply"]).ends_with(0);
        fs::remove_file(host.path(CONF)).unwrap();
        host.says(COOKIES, "0\n");
        host
    };
    let host = interrupted();
    host.doctor(&["--undo"]).ends_with(0);
    assert_untouched(&host);

    let host = interrupted();
    host.doctor(&["--apply"]).ends_with(0).says("tcp_syncookies: 0 -> 1").says("written");
    assert_eq!(settings(&host), ["net.core.somaxconn = 4096", "net.ipv4.tcp_syncookies = 1"]);
    host.doctor(&["--undo"]).ends_with(0);
    assert_untouched(&host);
}

#[test]
fn files_of_others_are_not_touched() {
    let host = lacking();
    host.says(CONF, "net.core.somaxconn = 1024\n");
    host.doctor(&["--apply"]).ends_with(1).complains("was not written by ringway");
    assert_eq!(host.number(SOMAXCONN), 128);
    assert_eq!(host.text(CONF).unwrap(), "net.core.somaxconn = 1024\n");
    assert_eq!(host.text(RECORD), None);

    let host = lacking();
    let foreign = "{\"sysctls\":{\"kernel.panic\":{\"before\":\"0\",\"set\":\"1\"}}}";
    host.says("proc/sys/kernel/panic", "1\n");
    for record in [foreign, "rubbish", ""] {
        host.says(RECORD, record);
        for task in ["--apply", "--undo", "--dry-run"] {
            host.doctor(&[task]).ends_with(1).complains("doctor-undo.json");
        }
        assert_eq!(host.text(RECORD).unwrap(), record);
    }
    assert_eq!((host.number(SOMAXCONN), host.number("proc/sys/kernel/panic")), (128, 1));
}

/// Anybody who can write to the record's directory can put other files there.
#[test]
fn an_endless_file_is_neither_read_nor_awaited() {
    let host = lacking();
    host.says(RECORD, "");
    fs::remove_file(host.path(RECORD)).unwrap();
    symlink("/dev/zero", host.path(RECORD)).unwrap();
    for task in ["--apply", "--undo", "--dry-run"] {
        host.doctor(&[task]).ends_with(1).complains("it is a symbolic link");
    }
    host.has_fifo(RECORD);
    for task in ["--apply", "--undo", "--dry-run"] {
        host.doctor(&[task]).ends_with(1).complains("it is not a regular file");
    }
    fs::remove_file(host.path(RECORD)).unwrap();

    host.has_fifo(CONF);
    host.doctor(&["--apply"]).ends_with(1).complains("60-ringway.conf: it is not a regular file");
    host.doctor(&["--undo"]).ends_with(0).says("kept").says("it is not a regular file");
    host.doctor(&["--dry-run"]).ends_with(0);
    fs::remove_file(host.path(CONF)).unwrap();

    host.has_fifo(SOMAXCONN);
    host.doctor(&[]).says("unknown: net.core.somaxconn: it is not a regular file");
    host.doctor(&["--apply"]).ends_with(0).says("kept").says("it is not a regular file");
    assert_eq!(host.number(COOKIES), 1);
}

#[test]
fn one_doctor_at_a_time_changes_a_host() {
    let host = lacking();
    host.says(LOCK, "");
    let lock = fs::File::open(host.path(LOCK)).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    for task in ["--apply", "--undo"] {
        host.doctor(&[task]).ends_with(1).complains("another doctor is running");
        host.doctor(&[task, "--dry-run"]).ends_with(0);
    }
    host.doctor(&[]).says("CHECK");
    assert_untouched(&host);
    // A process that another test is just starting may also hold the descriptor, until its exec.
    flock(&lock, FlockOperation::Unlock).unwrap();
    host.doctor(&["--apply"]).ends_with(0);
    host.doctor(&["--undo"]).ends_with(0);
    assert_untouched(&host);
}

#[test]
fn only_root_may_apply() {
    let host = lacking();
    let status = "Uid:\t0\t1000\t1000\t1000\nCapEff:\t0\nSeccomp:\t0\nCpus_allowed_list:\t0\n";
    host.says("proc/self/status", status);
    for task in ["--apply", "--undo"] {
        host.doctor(&[task]).ends_with(1).complains("user 1000; try it with sudo");
    }
    assert_untouched(&host);
    host.doctor(&["--dry-run"]).ends_with(0).says("+net.core.somaxconn = 4096");
}
