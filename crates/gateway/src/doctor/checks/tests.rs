//! Every check against made-up hosts: good, bad, without the file, and with rubbish in it.

use std::{collections::BTreeMap, fs};

use crate::{
    config::{Automatic, Config, Io},
    doctor::{checks::*, io_uring::SelfTest},
};

const GOOD: [(&str, &str); 23] = [
    ("proc/sys/kernel/osrelease", "6.18.1-test\n"),
    ("proc/sys/kernel/io_uring_disabled", "0\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    (
        "proc/self/limits",
        "Max open files  1024  20000  files\nMax locked memory  65536  8388608  bytes\n",
    ),
    (
        "proc/self/status",
        "Uid:\t0\t0\t0\t0\nCapEff:\t0000000000000000\nSeccomp:\t0\nCpus_allowed_list:\t0-1\n",
    ),
    ("proc/self/cgroup", "0::/\n"),
    ("proc/meminfo", "MemAvailable:    4194304 kB\n"),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-max", "1000000\n"),
    ("proc/sys/fs/file-nr", "100 0 1000000\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("proc/sys/net/core/rmem_max", "212992\n"),
    ("proc/sys/net/core/wmem_max", "212992\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "512\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
    ("proc/sys/net/ipv4/tcp_mem", "50000\t100000\t200000\n"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "2\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "12\n"),
    ("sys/fs/cgroup/memory.max", "max\n"),
];

/// The differences from the good host with the default configuration and all io_uring features.
struct Case {
    files: BTreeMap<&'static str, String>,
    config: Config,
    io_uring: IoUring,
}

impl Case {
    fn good() -> Self {
        let files = GOOD.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
        let io_uring = IoUring { self_test: SelfTest::Passed, features: Vec::new() };
        Self { files, config: Config::default(), io_uring }
    }

    /// A host with one changed file.
    fn with(path: &'static str, text: &str) -> Self {
        let mut case = Self::good();
        case.files.insert(path, text.to_owned());
        case
    }

    fn connections(mut self, number: u32) -> Self {
        self.config.limits.connections_max = Automatic::Exactly(number);
        self
    }

    fn epoll(mut self) -> Self {
        self.config.server.io = Io::Epoll;
        self
    }

    fn io_uring(mut self, self_test: SelfTest) -> Self {
        self.io_uring.self_test = self_test;
        self
    }

    fn findings(&self) -> Vec<Finding> {
        let root = tempfile::TempDir::new().unwrap();
        for (path, text) in &self.files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = Host::below(root.path());
        let needs = Needs::of(&self.config, 2);
        let capacity = Capacity::of(&host, &needs);
        let io_uring = &self.io_uring;
        all(&Subject { host: &host, needs: &needs, capacity: &capacity, io_uring })
    }

    /// This is the only row that is worse than good, and it has the expected verdict.
    #[track_caller]
    fn says(self, name: &str, verdict: Verdict) -> Finding {
        let findings = self.findings();
        let worse = |finding: &&Finding| finding.verdict != Verdict::Good;
        let worse: Vec<_> =
            findings.iter().filter(worse).map(|one| (one.name.as_str(), one.verdict)).collect();
        let expected: &[_] = if verdict == Verdict::Good { &[] } else { &[(name, verdict)] };
        assert_eq!(worse, expected, "{findings:#?}");
        let finding = findings.into_iter().find(|one| one.name == name).unwrap();
        let is_mendable = matches!(finding.verdict, Verdict::Hurts | Verdict::Advice);
        assert_eq!(finding.mend.is_some(), is_mendable, "{finding:?}");
        finding
    }
}

#[test]
fn a_good_host_is_good() {
    let findings = Case::good().findings();
    assert!(findings.iter().all(|one| one.verdict == Verdict::Good), "{findings:#?}");
    assert!(findings.iter().all(|one| !one.why.is_empty() && !one.wanted.is_empty()));
}

#[test]
fn every_sysctl_of_the_file_is_checked() {
    let findings = Case::good().findings();
    for line in wanted::lines() {
        if let wanted::Line::Setting(key, value) = line {
            let finding = findings.iter().find(|one| one.name == key);
            let finding = finding.unwrap_or_else(|| panic!("no check of {key}"));
            assert!(finding.wanted.contains(&value.to_string()), "{finding:?}");
        }
    }
}

#[test]
fn the_kernel_is_judged_by_its_features() {
    let path = "proc/sys/kernel/osrelease";
    for (release, verdict) in [
        ("5.15.0", Verdict::Hurts),
        ("6.1.0", Verdict::Advice),
        ("6.16.9", Verdict::Advice),
        ("6.17", Verdict::Good),
        ("7.0", Verdict::Good),
    ] {
        Case::with(path, release).says("kernel version", verdict);
    }
    Case::with(path, "5.15.0").epoll().says("kernel version", Verdict::Good);
}

#[test]
fn a_forbidden_io_uring_is_a_problem_only_for_users_it_is_forbidden_to() {
    let (path, key) = ("proc/sys/kernel/io_uring_disabled", "kernel.io_uring_disabled");
    let failed = || SelfTest::Failed("forbidden".to_owned());
    Case::with(path, "1").says(key, Verdict::Advice);
    Case::with(path, "2").says(key, Verdict::Hurts);
    Case::with(path, "2").epoll().io_uring(failed()).says(key, Verdict::Good);
    Case::good().epoll().io_uring(failed()).says("io_uring self-test", Verdict::Good);
    let verdict = |case: Case| {
        let findings = case.findings();
        findings.iter().find(|one| one.name == key).unwrap().verdict
    };
    assert_eq!(verdict(Case::with(path, "1").io_uring(failed())), Verdict::Hurts);
    let mut older = Case::with("proc/sys/kernel/osrelease", "6.5.0");
    older.files.remove(path);
    assert_eq!(verdict(older), Verdict::Good);
    let mut newer = Case::good();
    newer.files.remove(path);
    assert_eq!(verdict(newer), Verdict::Unknown);
}

#[test]
fn a_seccomp_filter_is_judged_by_the_self_test() {
    let status = "Uid: 0 0 0 0\nCapEff: 0\nSeccomp: 2\nCpus_allowed_list: 0-1\n";
    let verdict = |self_test: SelfTest| {
        let findings = Case::with("proc/self/status", status).io_uring(self_test).findings();
        findings.iter().find(|one| one.name == "seccomp").unwrap().verdict
    };
    assert_eq!(verdict(SelfTest::Passed), Verdict::Good);
    assert_eq!(verdict(SelfTest::Failed("forbidden".to_owned())), Verdict::Hurts);
    assert_eq!(verdict(SelfTest::Untried), Verdict::Unknown);
}

#[test]
fn huge_pages_for_all_are_a_warning() {
    let (path, name) = ("sys/kernel/mm/transparent_hugepage/enabled", "transparent huge pages");
    Case::with(path, "[always] madvise never").says(name, Verdict::Advice);
    Case::with(path, "always madvise [never]").says(name, Verdict::Good);
    Case::with(path, "rubbish").says(name, Verdict::Unknown);
}

#[test]
fn a_low_file_limit_is_judged_by_the_connections_wanted() {
    let limits = |files: &str| {
        format!("Max open files  1024  {files}  files\nMax locked memory  1  unlimited  bytes\n")
    };
    let case = |files: &str| Case::with("proc/self/limits", &limits(files));
    case("1024").says("NOFILE", Verdict::Hurts);
    case("10351").says("NOFILE", Verdict::Hurts);
    case("10352").says("NOFILE", Verdict::Good);
    case("unlimited").says("NOFILE", Verdict::Good);
    case("1024").connections(800).says("NOFILE", Verdict::Good);
    let mend = case("1024").connections(20_000).says("NOFILE", Verdict::Hurts).mend.unwrap();
    assert!(mend.contains("LimitNOFILE=20352"), "{mend}");
    case("many").says("NOFILE", Verdict::Unknown);
}

#[test]
fn a_low_nr_open_is_a_problem_only_below_the_need() {
    let path = "proc/sys/fs/nr_open";
    Case::with(path, "65536").says("fs.nr_open", Verdict::Advice);
    Case::with(path, "4096").says("fs.nr_open", Verdict::Hurts);
    Case::with(path, "1073741816").says("fs.nr_open", Verdict::Good);
}

#[test]
fn locked_memory_is_a_problem_only_where_it_is_counted() {
    let limits = "Max open files  1024  20000  files\nMax locked memory  1  65536  bytes\n";
    Case::with("proc/self/limits", limits).says("memlock", Verdict::Hurts);
    Case::with("proc/self/limits", limits).epoll().says("memlock", Verdict::Good);
    let mut privileged = Case::with("proc/self/limits", limits);
    let status = "CapEff:\t0000000000004000\nSeccomp:\t0\n";
    privileged.files.insert("proc/self/status", status.to_owned());
    privileged.says("memlock", Verdict::Advice);
}

#[test]
fn little_memory_is_a_problem() {
    Case::with("proc/meminfo", "MemAvailable: 65536 kB").says("memory available", Verdict::Hurts);
    Case::with("proc/meminfo", "MemAvailable: lots").says("memory available", Verdict::Unknown);
    let path = "sys/fs/cgroup/memory.max";
    Case::with(path, "67108864").says("cgroup memory", Verdict::Hurts);
    Case::with(path, "1073741824").says("cgroup memory", Verdict::Good);
}

#[test]
fn an_accept_queue_shorter_than_the_backlog_is_a_problem() {
    let (path, key) = ("proc/sys/net/core/somaxconn", "net.core.somaxconn");
    Case::with(path, "128").says(key, Verdict::Hurts);
    Case::with(path, "65535").says(key, Verdict::Good);
    Case::with(path, "garbage").says(key, Verdict::Unknown);
    let mut short = Case::with(path, "1024");
    short.config.listeners[0].backlog = 512;
    short.says(key, Verdict::Advice);
    let mut long = Case::good();
    long.config.listeners[0].backlog = 10_000;
    let mend = long.says(key, Verdict::Hurts).mend.unwrap();
    assert!(mend.contains("net.core.somaxconn=10000"), "{mend}");
}

#[test]
fn the_syn_queue_matters_without_cookies() {
    let (cookies, queue) = ("net.ipv4.tcp_syncookies", "net.ipv4.tcp_max_syn_backlog");
    let mut without = Case::with("proc/sys/net/ipv4/tcp_syncookies", "0");
    let hurting: Vec<_> = without
        .findings()
        .into_iter()
        .filter(|one| one.verdict == Verdict::Hurts)
        .map(|one| one.name)
        .collect();
    assert_eq!(hurting, [queue, cookies]);
    without.files.insert("proc/sys/net/ipv4/tcp_max_syn_backlog", "4096".to_owned());
    without.says(cookies, Verdict::Hurts);
}

#[test]
fn small_buffers_are_a_warning_and_little_socket_memory_is_a_problem() {
    let mem = "proc/sys/net/ipv4/tcp_mem";
    Case::with(mem, "9000 12000 18000").says("net.ipv4.tcp_mem", Verdict::Hurts);
    Case::with(mem, "9000 12000").says("net.ipv4.tcp_mem", Verdict::Unknown);
    Case::with("proc/sys/net/ipv4/tcp_rmem", "4096 8192 16384")
        .says("net.ipv4.tcp_rmem", Verdict::Advice);
    let wmem = Case::with("proc/sys/net/ipv4/tcp_wmem", "4096 8192 16384");
    let mend = wmem.says("net.ipv4.tcp_wmem", Verdict::Advice).mend.unwrap();
    assert!(mend.contains("\"4096 8192 262144\""), "{mend}");
}

#[test]
fn settings_for_outgoing_connections_are_never_a_problem() {
    let range = "proc/sys/net/ipv4/ip_local_port_range";
    Case::with(range, "60000 60999").says("net.ipv4.ip_local_port_range", Verdict::Advice);
    Case::with(range, "9 18446744073709551615").says("net.ipv4.ip_local_port_range", Verdict::Good);
    Case::with(range, "9 1").says("net.ipv4.ip_local_port_range", Verdict::Advice);
    Case::with("proc/sys/net/ipv4/tcp_tw_reuse", "0").says("net.ipv4.tcp_tw_reuse", Verdict::Good);
    Case::with("proc/sys/net/core/rmem_max", "1").says("net.core.rmem_max", Verdict::Good);
    Case::with("proc/sys/net/core/wmem_max", "x").says("net.core.wmem_max", Verdict::Unknown);
}

#[test]
fn a_cap_below_a_configured_buffer_is_a_problem() {
    for (name, is_send) in [("net.core.rmem_max", false), ("net.core.wmem_max", true)] {
        let configured = |bytes: u32| {
            let mut case = Case::good();
            let socket = &mut case.config.socket;
            let buffer = if is_send {
                &mut socket.send_buffer_bytes
            } else {
                &mut socket.receive_buffer_bytes
            };
            *buffer = Automatic::Exactly(bytes);
            case
        };
        configured(212_992).says(name, Verdict::Good);
        configured(212_993).says(name, Verdict::Hurts);
    }
}

#[test]
fn a_small_conntrack_table_is_a_problem_only_if_it_is_used() {
    let key = "net.netfilter.nf_conntrack_max";
    let (most, count) =
        ("proc/sys/net/netfilter/nf_conntrack_max", "proc/sys/net/netfilter/nf_conntrack_count");
    Case::with(most, "8192").says(key, Verdict::Hurts);
    let mut idle = Case::with(most, "8192");
    idle.files.insert(count, "0".to_owned());
    idle.says(key, Verdict::Good);
    let mut uncounted = Case::with(most, "8192");
    uncounted.files.remove(count);
    uncounted.says(key, Verdict::Hurts);
    let mut without = Case::good();
    without.files.remove(most);
    without.says(key, Verdict::Good);
    Case::with(most, "-1").says(key, Verdict::Unknown);
}

#[test]
fn a_host_without_files_is_reported_as_unknown() {
    let mut case = Case::good();
    case.files.clear();
    let findings = case.findings();
    let unknown = findings.iter().filter(|one| one.verdict == Verdict::Unknown).count();
    assert!(unknown >= 15, "{findings:#?}");
    assert!(findings.iter().all(|one| one.verdict != Verdict::Hurts), "{findings:#?}");
}

#[test]
fn invalid_content_of_any_file_is_handled_and_quoted_briefly() {
    let assert_short = |case: Case| {
        let findings = case.findings();
        assert!(findings.iter().all(|one| one.found.len() < 300), "{findings:#?}");
    };
    for (path, _) in GOOD {
        for rubbish in ["", "\u{0}\u{0}", "-1", "99999999999999999999999 1 1", "[", "::"] {
            assert_short(Case::with(path, rubbish));
        }
    }
    let mut huge = Case::good();
    huge.files.values_mut().for_each(|text| *text = "9".repeat(300 << 10));
    assert_short(huge);
}
