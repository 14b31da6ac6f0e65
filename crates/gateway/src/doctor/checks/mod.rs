//! All checks of `ringway doctor`, in the order in which they are printed.
//!
//! A check reads one value and reports it; it changes nothing.

mod kernel;
mod network;
mod process;
#[cfg(test)]
mod tests;

use crate::doctor::{
    capacity::Capacity,
    finding::{Finding, Verdict},
    host::Host,
    io_uring::{self, IoUring},
    needs::Needs,
    wanted,
};

/// The input of a check.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The host.
    pub host: &'a Host,
    /// What the configuration requires of the host.
    pub needs: &'a Needs,
    /// The host's capacity.
    pub capacity: &'a Capacity,
    /// The io_uring features of its kernel.
    pub io_uring: &'a IoUring,
}

type Check = fn(&Subject<'_>) -> Finding;

const CHECKS: [Check; 20] = [
    kernel::version,
    kernel::io_uring_disabled,
    kernel::seccomp,
    kernel::huge_pages,
    process::open_files,
    process::nr_open,
    process::locked_memory,
    process::memory_available,
    process::memory_of_group,
    network::accept_queue,
    network::syn_queue,
    network::syn_cookies,
    network::socket_memory,
    network::receive_buffers,
    network::send_buffers,
    network::receive_buffer_cap,
    network::send_buffer_cap,
    network::port_range,
    network::time_wait_reuse,
    network::tracking,
];

/// Runs all checks.
pub fn all(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings: Vec<_> = CHECKS.iter().map(|check| check(subject)).collect();
    findings.extend(io_uring::findings(subject.io_uring, subject.needs));
    findings
}

/// A sysctl of the file: a value below the requirement hurts, and below the advice it is advice.
fn lower_bound(subject: &Subject<'_>, key: &str, why: &str) -> Finding {
    let wanted = wanted::of(key, subject.needs);
    let text = format!("at least {}", wanted.least);
    match subject.host.sysctl_number(key) {
        Err(reason) => Finding::unknown(key, &reason, text, why),
        Ok(found) => {
            let finding = Finding::good(key, found, text, why);
            let mend = format!("ringway doctor --apply, or sysctl -w {key}={}", wanted.least);
            if found < wanted.needed {
                finding.judged(Verdict::Hurts, mend)
            } else if found < wanted.least {
                finding.judged(Verdict::Advice, mend)
            } else {
                finding
            }
        }
    }
}

/// A bound of the capacity: a value below the wanted connections hurts.
fn bounded(subject: &Subject<'_>, name: &str, finding: Finding, mend: &str) -> Finding {
    match subject.capacity.bound(name) {
        Some(bound) if bound.connections < subject.needs.connections => {
            finding.judged(Verdict::Hurts, mend)
        }
        _ => finding,
    }
}
