//! The profile for containers: in the format of runc and Docker, and no wider than documented.
//!
//! An integration test of the gateway checks that the gateway runs under it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::files::text;

pub fn groups() -> Vec<Vec<String>> {
    let profile: Value = serde_json::from_str(&text("seccomp/ringway.json")).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(profile["defaultErrnoRet"], 1, "EPERM, as Docker has it");
    let groups = profile["syscalls"].as_array().unwrap().iter();
    groups
        .map(|group| {
            assert_eq!(group["action"], "SCMP_ACT_ALLOW");
            assert!(!group["comment"].as_str().unwrap().is_empty());
            let names = group["names"].as_array().unwrap().iter();
            names.map(|name| name.as_str().unwrap().to_owned()).collect()
        })
        .collect()
}

#[test]
fn each_name_is_listed_once_and_in_order() {
    let groups = groups();
    for group in &groups {
        assert!(group.is_sorted(), "{group:?}");
    }
    let all: Vec<_> = groups.concat();
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn it_allows_io_uring_and_only_calls_that_a_gateway_needs() {
    let all = groups().concat();
    for name in ["io_uring_setup", "io_uring_enter", "io_uring_register", "epoll_wait", "accept4"] {
        assert!(all.iter().any(|allowed| allowed == name), "{name}");
    }
    let dangerous = [
        "bpf",
        "chroot",
        "clone_newuser",
        "init_module",
        "keyctl",
        "kexec_load",
        "mknod",
        "mount",
        "open_by_handle_at",
        "perf_event_open",
        "personality",
        "pivot_root",
        "process_vm_writev",
        "ptrace",
        "reboot",
        "setns",
        "unlink",
        "unlinkat",
        "unshare",
        "userfaultfd",
    ];
    for name in dangerous {
        assert!(!all.iter().any(|allowed| allowed == name), "{name}");
    }
}
