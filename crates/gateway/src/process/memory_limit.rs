//! The value of `limits.memory_bytes = "auto"` on this host.
//!
//! It computes a limit; memory use is counted elsewhere.

use crate::{
    config::{Automatic, Bound, Config, bound_of},
    doctor::{
        host::{Host, Limit},
        memory,
    },
};

/// The memory of an unknown host: that of a small virtual machine.
const UNKNOWN_HOST_BYTES: u64 = 1 << 30;

const MEMORY_BYTES: Bound = bound_of("limits.memory_bytes");

/// The bytes that clients and the application may make the process buffer.
///
/// `"auto"` is half of the memory that the process may use, less the bound of the history. The
/// other half is for idle connections, the allocator's slack, and the kernel's sockets.
pub fn of(config: &Config, host: &Host) -> u64 {
    match config.limits.memory_bytes {
        Automatic::Exactly(bytes) => bytes,
        Automatic::Auto => {
            let share = process_bytes(host) / 2;
            share
                .saturating_sub(config.history.bytes_max)
                .clamp(MEMORY_BYTES.least, MEMORY_BYTES.most)
        }
    }
}

/// The least of the host's memory, its cgroups' limits and the limit of the address space.
fn process_bytes(host: &Host) -> u64 {
    let total = host.field_bytes("/proc/meminfo", "MemTotal").unwrap_or(UNKNOWN_HOST_BYTES);
    let group = memory::group_limit(host).ok().flatten().map_or(u64::MAX, |limit| limit.bytes);
    let space = host.hard_limit("Max address space").map_or(u64::MAX, Limit::number);
    total.min(group).min(space)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn limit(files: &[(&str, &str)], config: &Config) -> u64 {
        let root = tempfile::TempDir::new().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        of(config, &Host::below(root.path()))
    }

    #[test]
    fn auto_is_half_of_the_lowest_limit_minus_the_history() {
        let config = Config::default();
        let history = config.history.bytes_max;
        let meminfo = ("proc/meminfo", "MemTotal: 8388608 kB\n");
        assert_eq!(limit(&[meminfo], &config), 4 * GIB - history);
        let group = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "1073741824\n")];
        assert_eq!(limit(&[meminfo, group[0], group[1]], &config), GIB / 2 - history);
        let space = "Max address space  536870912  536870912  bytes\n";
        let files = [meminfo, ("proc/self/limits", space)];
        assert_eq!(limit(&files, &config), GIB / 4 - history);
        assert_eq!(limit(&[], &config), UNKNOWN_HOST_BYTES / 2 - history);
    }

    #[test]
    fn auto_leaves_a_minimum_and_a_configured_value_wins() {
        let mut config = Config::default();
        let small = ("proc/meminfo", "MemTotal: 65536 kB\n");
        assert_eq!(limit(&[small], &config), MEMORY_BYTES.least);
        config.limits.memory_bytes = Automatic::Exactly(123_456_789);
        assert_eq!(limit(&[small], &config), 123_456_789);
    }
}
