//! The kernel's memory for all connections of this host, from proc(5): its slab caches and its TCP
//! statistics.
//!
//! It does not assign memory to processes: callers read before and after, and take the difference.

use std::{collections::BTreeMap, fs};

/// The kernel's memory at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelMemory {
    /// From `/proc/slabinfo`, which only root may read.
    pub slabs: Option<Slabs>,
    /// From `/proc/net/sockstat`, for this network namespace.
    pub sockets: Option<SocketStat>,
    /// `SUnreclaim` of `/proc/meminfo`: unreclaimable slab memory. Any user may read it.
    pub unreclaimable_bytes: Option<u64>,
}

impl KernelMemory {
    /// Reads the current state.
    pub fn now() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        let page_bytes = rustix::param::page_size() as u64;
        Self {
            slabs: read("/proc/slabinfo").and_then(|text| Slabs::parse(&text, page_bytes)),
            sockets: read("/proc/net/sockstat").and_then(|text| {
                // IPv6 sockets are counted separately, but their memory is not.
                let six = read("/proc/net/sockstat6").unwrap_or_default();
                SocketStat::parse(&text, &six, page_bytes)
            }),
            unreclaimable_bytes: read("/proc/meminfo").and_then(|text| unreclaimable(&text)),
        }
    }
}

/// The slab caches by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slabs(BTreeMap<String, Cache>);

/// A slab cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cache {
    objects: u64,
    /// An object's share of its slab, including the slab's overhead.
    millibytes: u64,
}

/// The growth of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// Additional objects.
    pub objects: u64,
    /// The memory of their slabs.
    pub bytes: u64,
}

impl Slabs {
    /// Parses `/proc/slabinfo` (slabinfo(5), version 2.x); `None` if the text has another format.
    pub fn parse(text: &str, page_bytes: u64) -> Option<Self> {
        let mut lines = text.lines();
        let version = lines.next()?.strip_prefix("slabinfo - version: ")?;
        if !version.starts_with("2.") {
            return None;
        }
        let caches = lines.filter(|line| !line.starts_with('#')).map(|line| {
            // Name, active_objs, num_objs, objsize, objperslab, pagesperslab.
            let mut fields = line.split_whitespace();
            let name = fields.next()?.to_owned();
            let mut number = || fields.next()?.parse::<u64>().ok();
            let (objects, _, _) = (number()?, number()?, number()?);
            let (per_slab, pages) = (number()?, number()?);
            let millibytes = (1000 * pages * page_bytes).checked_div(per_slab)?;
            Some((name, Cache { objects, millibytes }))
        });
        caches.collect::<Option<_>>().map(Self)
    }

    /// The growth of each cache since `before`; caches that have not grown are left out.
    pub fn growth(&self, before: &Self) -> BTreeMap<&str, Growth> {
        let grown = self.0.iter().filter_map(|(name, cache)| {
            let objects = before.0.get(name).map_or(0, |before| before.objects);
            let objects = cache.objects.checked_sub(objects).filter(|more| *more > 0)?;
            Some((&**name, Growth { objects, bytes: objects * cache.millibytes / 1000 }))
        });
        grown.collect()
    }
}

/// The kernel's TCP statistics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketStat {
    /// Sockets in use, for both IP versions.
    pub in_use: u64,
    /// Sockets in TIME_WAIT.
    pub time_wait: u64,
    /// Memory of socket buffers, in all network namespaces.
    pub buffer_bytes: u64,
}

impl SocketStat {
    /// Parses `/proc/net/sockstat` and `/proc/net/sockstat6`; `None` if the first has no line for
    /// TCP.
    pub fn parse(four: &str, six: &str, page_bytes: u64) -> Option<Self> {
        let tcp = four.lines().find_map(|line| line.strip_prefix("TCP:"))?;
        let tcp6 = six.lines().find_map(|line| line.strip_prefix("TCP6:")).unwrap_or_default();
        Some(Self {
            in_use: field(tcp, "inuse")? + field(tcp6, "inuse").unwrap_or(0),
            time_wait: field(tcp, "tw")?,
            buffer_bytes: field(tcp, "mem")? * page_bytes,
        })
    }
}

/// The number after `name` in a line of name-value pairs.
fn field(line: &str, name: &str) -> Option<u64> {
    line.split_whitespace().skip_while(|word| *word != name).nth(1)?.parse().ok()
}

fn unreclaimable(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("SUnreclaim:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLABS: &str = "\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
TCP                   79    130   2368   13    8 : tunables    0    0    0 : slabdata     10     10      0
sock_inode_cache     243    304    832   19    4 : tunables    0    0    0 : slabdata     16     16      0
filp                 637    861    192   21    1 : tunables    0    0    0 : slabdata     41     41      0
kmalloc-cg-8k         20     20   8192    4    8 : tunables    0    0    0 : slabdata      5      5      0
";

    #[test]
    fn slab_caches_grow_by_objects_and_their_share_of_a_slab() {
        let before = Slabs::parse(SLABS, 4096).unwrap();
        assert!(before.growth(&before).is_empty());
        let text = SLABS.replace("TCP                   79", "TCP                   92");
        let text = text.replace("637    861", "630    861") + "new 2 2 64 64 1 : x\n";
        let after = Slabs::parse(&text, 4096).unwrap();
        let growth = after.growth(&before);
        // 13 sockets fill a slab of 8 pages. Caches that shrank are left out; new ones grew from 0.
        let tcp = Growth { objects: 13, bytes: 8 * 4096 - 1 };
        let new = Growth { objects: 2, bytes: 128 };
        assert_eq!(growth, BTreeMap::from([("TCP", tcp), ("new", new)]));
    }

    #[test]
    fn other_text_is_not_read_as_slabinfo() {
        let truncated = &SLABS[..SLABS.len() - 80];
        let zero = SLABS.replace("2368   13", "2368    0");
        for text in ["", "slabinfo - version: 3.0\n", "TCP 1 2 3 4 5\n", truncated, &zero] {
            assert_eq!(Slabs::parse(text, 4096), None, "{text}");
        }
    }

    #[test]
    fn sockets_of_both_versions_are_counted() {
        let four = "sockets: used 24\nTCP: inuse 1 orphan 0 tw 19762 alloc 1 mem 169\n\
                    UDP: inuse 0 mem 0\n";
        let six = "TCP6: inuse 3\nUDP6: inuse 9\n";
        let expected = SocketStat { in_use: 4, time_wait: 19_762, buffer_bytes: 169 * 4096 };
        assert_eq!(SocketStat::parse(four, six, 4096), Some(expected));
        let without = SocketStat { in_use: 1, ..expected };
        assert_eq!(SocketStat::parse(four, "", 4096), Some(without));
        assert_eq!(SocketStat::parse("UDP: inuse 0 mem 0\n", six, 4096), None);
    }

    #[test]
    fn the_files_of_this_kernel_are_read() {
        let now = KernelMemory::now();
        assert!(now.sockets.is_some());
        assert!(now.unreclaimable_bytes.is_some_and(|bytes| bytes > 1 << 20));
        // Only root may read it.
        assert_eq!(now.slabs.is_some(), fs::read_to_string("/proc/slabinfo").is_ok());
    }
}
