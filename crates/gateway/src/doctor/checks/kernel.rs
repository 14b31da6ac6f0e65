//! Checks of the kernel itself: its version, its restrictions, its paging.

use crate::doctor::{
    checks::Subject,
    finding::{Finding, Verdict},
    io_uring::{SelfTest, without},
};

/// capabilities(7).
const CAP_SYS_ADMIN: u32 = 21;

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

pub(super) fn version(subject: &Subject<'_>) -> Finding {
    let name = "kernel version";
    let wanted = "6.1 for io_uring, better 6.17";
    let why = "6.12 batches wake-ups, 6.17 bounds what one client brings in a turn";
    match subject.host.kernel() {
        Err(reason) => Finding::unknown(name, &reason, wanted, why),
        Ok(found) => {
            let finding = Finding::good(name, format!("{}.{}", found.0, found.1), wanted, why);
            match found {
                _ if without(subject.needs) == Verdict::Good => finding,
                found if found < (6, 1) => {
                    finding.judged(Verdict::Hurts, "a newer kernel, or server.io = \"epoll\"")
                }
                found if found < (6, 17) => finding.judged(Verdict::Advice, "a newer kernel"),
                _ => finding,
            }
        }
    }
}

pub(super) fn io_uring_disabled(subject: &Subject<'_>) -> Finding {
    let key = "kernel.io_uring_disabled";
    let (wanted, why) =
        ("0", "1 limits io_uring to privileged processes and one group, 2 disables it");
    let found = match subject.host.sysctl_number(key) {
        Err(reason) => {
            // The sysctl exists since Linux 6.6; an older kernel cannot disable io_uring this way.
            let is_older = subject.host.kernel().is_ok_and(|version| version < (6, 6));
            return match is_older && !subject.host.sysctl_path(key).exists() {
                true => Finding::good(key, "absent before Linux 6.6", wanted, why),
                false => Finding::unknown(key, &reason, wanted, why),
            };
        }
        Ok(found) => found,
    };
    let finding = Finding::good(key, found, wanted, why);
    let is_privileged = || subject.host.has_capability(CAP_SYS_ADMIN).unwrap_or(false);
    let is_passed = subject.io_uring.self_test == SelfTest::Passed;
    match found {
        0 => finding,
        _ if without(subject.needs) == Verdict::Good => finding,
        1 if is_passed || is_privileged() => finding.judged(
            Verdict::Advice,
            "this user may use it; the gateway's user must be in the group of kernel.io_uring_group",
        ),
        _ => finding.judged(
            Verdict::Hurts,
            "sysctl -w kernel.io_uring_disabled=0, or 1 and kernel.io_uring_group; a decision \
             about the host's security, so --apply leaves it alone",
        ),
    }
}

pub(super) fn seccomp(subject: &Subject<'_>) -> Finding {
    let name = "seccomp";
    let (wanted, why) =
        ("none, or io_uring allowed", "filters of containers often forbid io_uring");
    let mode = match subject.host.field("/proc/self/status", "Seccomp") {
        Err(reason) => return Finding::unknown(name, &reason, wanted, why),
        Ok(mode) => mode,
    };
    if mode == "0" {
        return Finding::good(name, "no filter", wanted, why);
    }
    let finding = |found: &str| Finding::good(name, found, wanted, why);
    match subject.io_uring.self_test {
        SelfTest::Passed => finding("a filter that allows io_uring"),
        SelfTest::Failed(_) => finding("a filter, and io_uring fails").judged(
            without(subject.needs),
            "run with a profile that allows io_uring_setup, _enter and _register",
        ),
        SelfTest::Untried => {
            Finding { verdict: Verdict::Unknown, ..finding("a filter; io_uring was not tested") }
        }
    }
}

/// The gateway's allocator maps memory in large pieces; with "always" the kernel backs each piece
/// with 2 MiB pages, which are resident as a whole (benches/README.md, memory of idle clients).
pub(super) fn huge_pages(subject: &Subject<'_>) -> Finding {
    let name = "transparent huge pages";
    let wanted = "madvise or never";
    let why = "with always, resident memory grows in steps of 2 MiB and says little";
    let text = match subject.host.text(HUGE_PAGES) {
        Err(reason) => return Finding::unknown(name, &reason, wanted, why),
        Ok(text) => text,
    };
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    match chosen.map(|(chosen, _)| chosen) {
        Some("always") => Finding::good(name, "always", wanted, why)
            .judged(Verdict::Advice, format!("echo madvise > {HUGE_PAGES}")),
        Some(chosen @ ("madvise" | "never")) => Finding::good(name, chosen, wanted, why),
        _ => {
            let found = format!("unknown: {HUGE_PAGES} selects no known mode");
            Finding { verdict: Verdict::Unknown, ..Finding::good(name, found, wanted, why) }
        }
    }
}
