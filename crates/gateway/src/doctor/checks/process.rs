//! Checks of what a process may use: descriptors, locked memory, memory.
//!
//! They examine this process, whose limits its children inherit; a service has the limits of its
//! unit.

use ringway_acceptor::uring::probe;

use crate::doctor::{
    checks::{Subject, bounded, lower_bound},
    finding::{Finding, Verdict},
    io_uring::without,
    memory,
};

/// capabilities(7).
const CAP_IPC_LOCK: u32 = 14;

pub(super) fn open_files(subject: &Subject<'_>) -> Finding {
    let name = "NOFILE";
    let files = subject.needs.descriptors();
    let wanted = format!("hard limit of at least {files}");
    let why = "a connection is a descriptor; this is the limit here, a unit has its own";
    match subject.host.hard_limit("Max open files") {
        Err(reason) => Finding::unknown(name, &reason, wanted, why),
        Ok(limit) => {
            let mend = format!("LimitNOFILE={files} in the unit, or ulimit -Hn {files}");
            bounded(subject, name, Finding::good(name, limit, wanted, why), &mend)
        }
    }
}

pub(super) fn nr_open(subject: &Subject<'_>) -> Finding {
    lower_bound(subject, "fs.nr_open", "the highest NOFILE that a process can be given")
}

pub(super) fn locked_memory(subject: &Subject<'_>) -> Finding {
    let name = "memlock";
    let bytes = probe::locked_bytes(subject.needs.cores);
    let wanted = format!("at least {bytes}");
    let why = "the kernel counts io_uring's rings against it";
    let limit = match subject.host.hard_limit("Max locked memory") {
        Err(reason) => return Finding::unknown(name, &reason, wanted, why),
        Ok(limit) => limit,
    };
    let finding = Finding::good(name, limit, wanted, why);
    if limit.number() >= bytes || without(subject.needs) == Verdict::Good {
        return finding;
    }
    let mend = format!("LimitMEMLOCK={bytes} in the unit, or ulimit -l {}", bytes.div_ceil(1024));
    match subject.host.has_capability(CAP_IPC_LOCK) {
        Ok(true) => finding.judged(
            Verdict::Advice,
            format!("not counted for this user, who has CAP_IPC_LOCK; for others {mend}"),
        ),
        _ => finding.judged(Verdict::Hurts, mend),
    }
}

pub(super) fn memory_available(subject: &Subject<'_>) -> Finding {
    let name = "memory available";
    let (wanted, why) = (wanted_memory(subject), "for sockets, waiting messages and the history");
    match memory::available(subject.host) {
        Err(reason) => Finding::unknown(name, &reason, wanted, why),
        Ok(bytes) => {
            let finding = Finding::good(name, format!("{} MiB", bytes >> 20), wanted, why);
            bounded(subject, name, finding, "more memory, or a lower history.bytes_max")
        }
    }
}

pub(super) fn memory_of_group(subject: &Subject<'_>) -> Finding {
    let name = "cgroup memory";
    let wanted = format!("no limit, or {}", wanted_memory(subject));
    let why = "at the limit the kernel kills the gateway; socket buffers count as well";
    match memory::group_limit(subject.host) {
        Err(reason) => Finding::unknown(name, &reason, wanted, why),
        Ok(None) => Finding::good(name, "no limit", wanted, why),
        Ok(Some(limit)) => {
            let found = format!("{} MiB ({})", limit.bytes >> 20, limit.file);
            let finding = Finding::good(name, found, wanted, why);
            bounded(subject, name, finding, "raise MemoryMax= or the container's limit")
        }
    }
}

fn wanted_memory(subject: &Subject<'_>) -> String {
    let needs = subject.needs;
    let of_connections = needs.connections.saturating_mul(subject.capacity.connection_bytes);
    let bytes = needs.fixed_bytes.saturating_add(of_connections);
    format!("at least {} MiB", bytes.div_ceil(1 << 20))
}
