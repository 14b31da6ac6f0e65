//! How many connections a host can hold: the least of several bounds, and which one it is.
//!
//! It measures nothing. Its figures are constants, each with the command that measured it.

use serde::Serialize;

use crate::doctor::{
    host::{Host, Limit},
    memory,
    needs::Needs,
};

/// The kernel's memory for the socket of an idle connection: 4.2 KB in its slabs (struct tcp_sock
/// 2.5 KB, inode, dentry, file, armed receive), on Linux 6.18, by
/// `tuning/sysctl.d/measure/held.py 127.0.0.1 8080 5000`.
pub const KERNEL_BYTES: u64 = 4_352;

/// The gateway's memory for an idle client with a name and a subscription, at most
/// (benches/README.md, memory of idle clients).
pub const USER_BYTES: u64 = 512;

/// Pages of tcp_mem for a connection with a small message waiting in each direction: 0.92 to 1.05
/// for each message (`held.py`). An idle connection has none.
pub const BUSY_PAGES: u64 = 2;

/// A small message takes about this much, whatever the host's page size.
const PAGE_BYTES: u64 = 4_096;

/// The estimated memory of a connection, in all.
pub const CONNECTION_BYTES: u64 = KERNEL_BYTES + USER_BYTES + BUSY_PAGES * PAGE_BYTES;

/// The bounds that every host has, and their names in [`Capacity::unknown`].
const ESSENTIAL: [(&str, &str); 2] = [("NOFILE", "NOFILE"), ("memory available", "memory")];

/// One bound on the number of connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// The name of the bound.
    pub name: &'static str,
    /// How many connections it allows.
    pub connections: u64,
    /// The value that the bound follows from.
    pub found: String,
}

/// How many connections this host can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// The least of the bounds.
    pub connections: u64,
    /// The name of that bound.
    pub limited_by: &'static str,
    /// The connections wanted: `limits.connections_max`, or 10,000 if that is `"auto"`.
    pub wanted: u64,
    /// The estimated bytes of memory for each connection.
    pub connection_bytes: u64,
    /// All bounds that could be read, the least first.
    pub bounds: Vec<Bound>,
    /// The descriptor and memory bounds that could not be read. Unless this is empty, the host may
    /// hold fewer connections.
    pub unknown: Vec<&'static str>,
}

impl Capacity {
    /// The capacity of a host for a configuration.
    pub fn of(host: &Host, needs: &Needs) -> Self {
        let bounds = [
            Some(Bound {
                name: "limits.connections_max",
                connections: needs.connections_max,
                found: needs.connections_max.to_string(),
            }),
            open_files(host, needs),
            nr_open(host, needs),
            file_max(host, needs),
            socket_memory(host),
            memory_available(host, needs),
            memory_of_group(host, needs),
            tracked(host),
        ];
        let mut bounds: Vec<_> = bounds.into_iter().flatten().collect();
        bounds.sort_by_key(|bound| bound.connections);
        let is_known = |name| bounds.iter().any(|bound| bound.name == name);
        let essential = ESSENTIAL.iter().filter(|(bound, _)| !is_known(*bound));
        Self {
            unknown: essential.map(|(_, name)| *name).collect(),
            connections: bounds[0].connections,
            limited_by: bounds[0].name,
            wanted: needs.connections,
            connection_bytes: CONNECTION_BYTES,
            bounds,
        }
    }

    /// The bound with this name, if it could be read.
    pub fn bound(&self, name: &str) -> Option<&Bound> {
        self.bounds.iter().find(|bound| bound.name == name)
    }
}

fn open_files(host: &Host, needs: &Needs) -> Option<Bound> {
    let limit = host.hard_limit("Max open files").ok()?;
    // May exceed what a process may open; nr_open is a separate row.
    let connections = needs.room(limit.number());
    let found = match limit {
        Limit::Unlimited => "unlimited".to_owned(),
        Limit::AtMost(files) => format!("{files} files"),
    };
    Some(Bound { name: "NOFILE", connections, found })
}

fn nr_open(host: &Host, needs: &Needs) -> Option<Bound> {
    let files = host.sysctl_number("fs.nr_open").ok()?;
    let found = format!("{files} files");
    Some(Bound { name: "fs.nr_open", connections: needs.room(files), found })
}

/// Files of the whole host, proc_sys_fs(5), less those that are already open.
fn file_max(host: &Host, needs: &Needs) -> Option<Bound> {
    let most = host.sysctl_number("fs.file-max").ok()?;
    let (left, found) = match host.sysctl_numbers("fs.file-nr") {
        Ok([open, _, _]) => (most.saturating_sub(open), format!("{most} files, {open} open")),
        Err(_) => (most, format!("{most} files, unknown how many open")),
    };
    Some(Bound { name: "fs.file-max", connections: needs.room(left), found })
}

/// Above the second number of tcp_mem the kernel keeps buffers small, tcp(7).
fn socket_memory(host: &Host) -> Option<Bound> {
    let [_, pressure, _] = host.sysctl_numbers("net.ipv4.tcp_mem").ok()?;
    let found = format!("{pressure} pages, {BUSY_PAGES} a connection");
    Some(Bound { name: "net.ipv4.tcp_mem", connections: pressure / BUSY_PAGES, found })
}

fn memory_available(host: &Host, needs: &Needs) -> Option<Bound> {
    memory::available(host).ok().map(|bytes| memory_bound("memory available", bytes, needs))
}

fn memory_of_group(host: &Host, needs: &Needs) -> Option<Bound> {
    let limit = memory::group_limit(host).ok().flatten()?;
    Some(memory_bound("cgroup memory", limit.bytes, needs))
}

fn memory_bound(name: &'static str, bytes: u64, needs: &Needs) -> Bound {
    let connections = bytes.saturating_sub(needs.fixed_bytes) / CONNECTION_BYTES;
    let found = format!(
        "{} MiB, {} MiB of it for history and buffers, {CONNECTION_BYTES} B a connection",
        bytes >> 20,
        needs.fixed_bytes >> 20
    );
    Bound { name, connections, found }
}

/// A connection takes one entry of the firewall's table, if the firewall tracks the gateway's port.
/// An empty table tracks nothing.
fn tracked(host: &Host) -> Option<Bound> {
    let most = host.sysctl_number("net.netfilter.nf_conntrack_max").ok()?;
    let found = match host.sysctl_number("net.netfilter.nf_conntrack_count") {
        Ok(0) => return None,
        Ok(count) => format!("{most} entries, {count} used"),
        Err(_) => format!("{most} entries, unknown how many used"),
    };
    Some(Bound { name: "net.netfilter.nf_conntrack_max", connections: most, found })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Config;

    const FILES: [(&str, &str); 7] = [
        ("proc/self/limits", "Max open files  1024  20000  files\n"),
        ("proc/sys/fs/nr_open", "1048576\n"),
        ("proc/sys/fs/file-max", "500000\n"),
        ("proc/sys/fs/file-nr", "1000 0 500000\n"),
        ("proc/sys/net/ipv4/tcp_mem", "100000 200000 400000\n"),
        ("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:   4194304 kB\n"),
        ("proc/self/cgroup", "0::/\n"),
    ];

    type Changes = &'static [(&'static str, &'static str)];

    /// The capacity of the host above with some files changed.
    fn capacity(changes: &[(&str, &str)]) -> Capacity {
        let root = tempfile::TempDir::new().unwrap();
        for (path, content) in FILES.iter().chain(changes) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Capacity::of(&Host::below(root.path()), &Needs::of(&Config::default(), 2))
    }

    #[test]
    fn each_bound_can_be_the_lowest_and_is_named() {
        let table: [(Changes, &str, u64); 7] = [
            (&[], "NOFILE", 19_648),
            (&[("proc/sys/fs/nr_open", "5000")], "fs.nr_open", 4_648),
            (&[("proc/sys/fs/file-max", "11000")], "fs.file-max", 9_648),
            (&[("proc/sys/net/ipv4/tcp_mem", "1 6000 9")], "net.ipv4.tcp_mem", 3_000),
            (
                &[
                    ("proc/sys/net/netfilter/nf_conntrack_max", "8000"),
                    ("proc/sys/net/netfilter/nf_conntrack_count", "500"),
                ],
                "net.netfilter.nf_conntrack_max",
                8_000,
            ),
            (&[("proc/meminfo", "MemAvailable: 2 kB")], "memory available", 0),
            (&[("sys/fs/cgroup/memory.max", "1048576")], "cgroup memory", 0),
        ];
        for (changes, name, connections) in table {
            let capacity = capacity(changes);
            assert_eq!((capacity.limited_by, capacity.connections), (name, connections));
        }
    }

    #[test]
    fn capacity_by_memory_counts_the_cost_of_each_connection() {
        let needs = Needs::of(&Config::default(), 2);
        let bytes = needs.fixed_bytes + 7_000 * CONNECTION_BYTES + 1;
        let capacity = capacity(&[("sys/fs/cgroup/memory.max", &bytes.to_string())]);
        assert_eq!((capacity.limited_by, capacity.connections), ("cgroup memory", 7_000));
    }

    #[test]
    fn an_unused_conntrack_table_sets_no_bound() {
        let capacity = capacity(&[
            ("proc/sys/net/netfilter/nf_conntrack_max", "8"),
            ("proc/sys/net/netfilter/nf_conntrack_count", "0"),
        ]);
        assert_eq!(capacity.limited_by, "NOFILE");
    }

    #[test]
    fn an_unknown_value_does_not_count_as_zero() {
        let capacity = capacity(&[
            ("proc/sys/fs/file-nr", ""),
            ("proc/sys/net/netfilter/nf_conntrack_max", "8000"),
        ]);
        let found = |name| capacity.bound(name).unwrap().found.as_str();
        assert_eq!(found("fs.file-max"), "500000 files, unknown how many open");
        let tracked = found("net.netfilter.nf_conntrack_max");
        assert_eq!(tracked, "8000 entries, unknown how many used");
        assert!(capacity.unknown.is_empty());
    }

    #[test]
    fn without_any_file_the_configuration_sets_the_bound() {
        let root = tempfile::TempDir::new().unwrap();
        let capacity = Capacity::of(&Host::below(root.path()), &Needs::of(&Config::default(), 2));
        assert_eq!(capacity.limited_by, "limits.connections_max");
        assert_eq!(capacity.bounds.len(), 1);
        assert_eq!(capacity.unknown, ["NOFILE", "memory"]);
    }
}
