//! Checks of the network: queues before a connection is accepted, socket memory, ports, firewall.

use crate::doctor::{
    capacity::BUSY_PAGES,
    checks::{Subject, bounded, lower_bound},
    finding::{Finding, Verdict},
};

/// The size of one receive.
const RECEIVE_MAX_WANTED: u64 = 128 << 10;

/// The size of one send from a backlog.
const SEND_MAX_WANTED: u64 = 256 << 10;

/// Ports for other programs on this host that open connections.
const PORTS_WANTED: u64 = 10_000;

pub(super) fn accept_queue(subject: &Subject<'_>) -> Finding {
    let why = "caps listener.backlog; a client that does not fit tries again after a second";
    lower_bound(subject, "net.core.somaxconn", why)
}

/// tcp(7): the kernel uses this value only if SYN cookies are off.
pub(super) fn syn_queue(subject: &Subject<'_>) -> Finding {
    let key = "net.ipv4.tcp_max_syn_backlog";
    let least = subject.needs.backlog;
    let wanted = format!("at least {least}, or cookies");
    let why = "handshakes under way; of no effect while tcp_syncookies is on";
    match subject.host.sysctl_number(key) {
        Err(reason) => Finding::unknown(key, &reason, wanted, why),
        Ok(found) => {
            let finding = Finding::good(key, found, wanted, why);
            match subject.host.sysctl_number("net.ipv4.tcp_syncookies") {
                Ok(0) if found < least => {
                    finding.judged(Verdict::Hurts, format!("sysctl -w {key}={least}"))
                }
                _ => finding,
            }
        }
    }
}

pub(super) fn syn_cookies(subject: &Subject<'_>) -> Finding {
    let why = "without them a flood of SYNs locks clients out";
    lower_bound(subject, "net.ipv4.tcp_syncookies", why)
}

pub(super) fn socket_memory(subject: &Subject<'_>) -> Finding {
    let key = "net.ipv4.tcp_mem";
    let pages = subject.needs.connections.saturating_mul(BUSY_PAGES);
    let wanted = format!("second figure at least {pages}");
    let why = "pages of all sockets together; past it the kernel keeps buffers small";
    match subject.host.sysctl_numbers::<3>(key) {
        Err(reason) => Finding::unknown(key, &reason, wanted, why),
        Ok(found) => {
            let mend = format!("sysctl -w {key}=\"{} {pages} {}\"", pages / 4 * 3, pages / 2 * 3);
            bounded(subject, key, Finding::good(key, listed(&found), wanted, why), &mend)
        }
    }
}

pub(super) fn receive_buffers(subject: &Subject<'_>) -> Finding {
    let why = "the last figure bounds the bytes from a client that the gateway has not read";
    buffers(subject, "net.ipv4.tcp_rmem", RECEIVE_MAX_WANTED, why)
}

pub(super) fn send_buffers(subject: &Subject<'_>) -> Finding {
    let why = "the last figure bounds what the kernel holds for a client that reads slowly";
    buffers(subject, "net.ipv4.tcp_wmem", SEND_MAX_WANTED, why)
}

fn buffers(subject: &Subject<'_>, key: &str, least: u64, why: &str) -> Finding {
    let wanted = format!("last figure at least {least}");
    match subject.host.sysctl_numbers::<3>(key) {
        Err(reason) => Finding::unknown(key, &reason, wanted, why),
        Ok(found) => {
            let finding = Finding::good(key, listed(&found), wanted, why);
            let [smallest, start, most] = found;
            if most >= least {
                return finding;
            }
            let mend = format!("sysctl -w {key}=\"{smallest} {} {least}\"", start.min(least));
            finding.judged(Verdict::Advice, mend)
        }
    }
}

pub(super) fn receive_buffer_cap(subject: &Subject<'_>) -> Finding {
    let why = "silently caps socket.receive_buffer_bytes; no effect if that is not set";
    buffer_cap(subject, "net.core.rmem_max", subject.needs.receive_buffer, why)
}

pub(super) fn send_buffer_cap(subject: &Subject<'_>) -> Finding {
    let why = "silently caps socket.send_buffer_bytes; no effect if that is not set";
    buffer_cap(subject, "net.core.wmem_max", subject.needs.send_buffer, why)
}

/// socket(7), SO_RCVBUF and SO_SNDBUF: the requested value is capped, then doubled.
fn buffer_cap(subject: &Subject<'_>, key: &str, asked: Option<u64>, why: &str) -> Finding {
    let Some(least) = asked else { return any(subject, key, why) };
    let wanted = format!("at least {least}");
    match subject.host.sysctl_number(key) {
        Err(reason) => Finding::unknown(key, &reason, wanted, why),
        Ok(found) => {
            let finding = Finding::good(key, found, wanted, why);
            let mend = format!("sysctl -w {key}={least}");
            if found < least { finding.judged(Verdict::Hurts, mend) } else { finding }
        }
    }
}

pub(super) fn time_wait_reuse(subject: &Subject<'_>) -> Finding {
    let why = "for outgoing connections; the gateway opens none";
    any(subject, "net.ipv4.tcp_tw_reuse", why)
}

/// A value that operators look for, and that is good in any case.
fn any(subject: &Subject<'_>, key: &str, why: &str) -> Finding {
    match subject.host.sysctl_number(key) {
        Err(reason) => Finding::unknown(key, &reason, "any", why),
        Ok(found) => Finding::good(key, found, "any", why),
    }
}

pub(super) fn port_range(subject: &Subject<'_>) -> Finding {
    let key = "net.ipv4.ip_local_port_range";
    let wanted = format!("{PORTS_WANTED} ports");
    let why = "for outgoing connections, such as those of a proxy or a load generator";
    match subject.host.sysctl_numbers::<2>(key) {
        Err(reason) => Finding::unknown(key, &reason, wanted, why),
        Ok([first, last]) => {
            let ports = last.saturating_add(1).saturating_sub(first);
            let found = format!("{first} {last} ({ports} ports)");
            let finding = Finding::good(key, found, wanted, why);
            if ports >= PORTS_WANTED {
                return finding;
            }
            finding.judged(Verdict::Advice, format!("sysctl -w {key}=\"32768 60999\""))
        }
    }
}

pub(super) fn tracking(subject: &Subject<'_>) -> Finding {
    let key = "net.netfilter.nf_conntrack_max";
    let wanted = format!("not tracking, or at least {}", subject.needs.connections);
    let why = "a full table silently drops new connections";
    if !subject.host.has("/proc/sys/net/netfilter/nf_conntrack_max") {
        return Finding::good(key, "no connection tracking", wanted, why);
    }
    let count = subject.host.sysctl_number("net.netfilter.nf_conntrack_count");
    match (subject.host.sysctl_number(key), count) {
        (Err(reason), _) => Finding::unknown(key, &reason, wanted, why),
        (Ok(most), Ok(0)) => Finding::good(key, format!("{most}, tracking nothing"), wanted, why),
        (Ok(most), count) => {
            let used = count.map_or("an unknown number".to_owned(), |count| count.to_string());
            let finding = Finding::good(key, format!("{most}, {used} used"), wanted, why);
            let mend = format!(
                "do not track the gateway's port (notrack), or sysctl -w {key}={}",
                subject.needs.connections.saturating_mul(2)
            );
            bounded(subject, key, finding, &mend)
        }
    }
}

fn listed(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}
