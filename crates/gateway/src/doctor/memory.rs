//! How much memory a process on this host may use: the available memory, within the limits of its
//! cgroups.
//!
//! It only reads; the cost of a connection is defined elsewhere.

use crate::doctor::host::{Host, Reading};

/// The cgroup with the least memory, cgroups(7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLimit {
    /// The file that holds the limit.
    pub file: String,
    /// Bytes that all processes of the group may use together.
    pub bytes: u64,
}

/// Version 1 expresses "no limit" as the largest multiple of a page.
const NO_LIMIT_FROM: u64 = i64::MAX as u64 - (1 << 20);

/// The lowest limit of this process's cgroups and their ancestors; `None` if there is no limit.
pub fn group_limit(host: &Host) -> Reading<Option<GroupLimit>> {
    let groups = host.text("/proc/self/cgroup")?;
    let mut least: Option<GroupLimit> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, name) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|one| one == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        for file in files_up(mount, path, name) {
            let bytes = host.text(&file).ok().and_then(|text| text.parse().ok());
            let Some(bytes) = bytes.filter(|bytes| *bytes < NO_LIMIT_FROM) else { continue };
            if least.as_ref().is_none_or(|least| bytes < least.bytes) {
                least = Some(GroupLimit { file, bytes });
            }
        }
    }
    Ok(least)
}

/// The file with this name in a group and in its ancestors. In a container the path may be the
/// host's, and then only the mount itself exists.
fn files_up(mount: &str, path: &str, name: &str) -> Vec<String> {
    let is_plain = |part: &&str| !part.is_empty() && *part != "." && *part != "..";
    let parts: Vec<_> = path.split('/').filter(is_plain).collect();
    let file = |depth: usize| {
        let inside: String = parts[..depth].iter().map(|part| format!("/{part}")).collect();
        format!("{mount}{inside}/{name}")
    };
    (0..=parts.len()).rev().map(file).collect()
}

/// Bytes that could be used without swapping, by the kernel's estimate (proc_meminfo(5)).
pub fn available(host: &Host) -> Reading<u64> {
    host.field_bytes("/proc/meminfo", "MemAvailable")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn least(files: &[(&str, &str)]) -> Option<(String, u64)> {
        let root = tempfile::TempDir::new().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let limit = group_limit(&Host::below(root.path())).unwrap();
        limit.map(|limit| (limit.file, limit.bytes))
    }

    #[test]
    fn the_lowest_limit_of_all_enclosing_groups_counts() {
        let found = least(&[
            ("proc/self/cgroup", "0::/system.slice/ringway.service\n"),
            ("sys/fs/cgroup/system.slice/ringway.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "536870912\n"),
        ]);
        assert_eq!(found, Some(("/sys/fs/cgroup/system.slice/memory.max".into(), 536_870_912)));
    }

    #[test]
    fn a_container_sees_its_limit_at_the_mount() {
        let found = least(&[
            ("proc/self/cgroup", "4:memory:/docker/0123\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
        ]);
        assert_eq!(found.unwrap().1, 268_435_456);
    }

    #[test]
    fn an_absent_limit_is_none_in_both_cgroup_versions() {
        let found = least(&[
            ("proc/self/cgroup", "4:memory:/a\n0::/\nnonsense\n::\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
        ]);
        assert_eq!(found, None);
    }

    #[test]
    fn a_group_path_cannot_escape_the_mount() {
        let files = files_up("/sys/fs/cgroup", "/../../etc", "memory.max");
        assert_eq!(files, ["/sys/fs/cgroup/etc/memory.max", "/sys/fs/cgroup/memory.max"]);
    }
}
