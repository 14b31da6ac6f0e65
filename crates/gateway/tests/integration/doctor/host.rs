//! A simulated host: the files of /proc and /sys that `ringway doctor` reads, in a temporary
//! directory.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::ringway;

pub const SOMAXCONN: &str = "proc/sys/net/core/somaxconn";
pub const COOKIES: &str = "proc/sys/net/ipv4/tcp_syncookies";
pub const CONF: &str = "etc/sysctl.d/60-ringway.conf";
pub const RECORD: &str = "var/lib/ringway/doctor-undo.json";

pub const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max open files            1024                 524288               files     
Max locked memory         8388608              8388608              bytes     
";

const GOOD: [(&str, &str); 21] = [
    ("proc/sys/kernel/osrelease", "6.17.4-made-up\n"),
    ("proc/sys/kernel/io_uring_disabled", "0\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("proc/self/limits", LIMITS),
    (
        "proc/self/status",
        "Name:\tx\nUid:\t0\t0\t0\t0\nCapEff:\t0000000000000000\nSeccomp:\t0\n\
         Cpus_allowed_list:\t0-3\n",
    ),
    ("proc/self/cgroup", "0::/user.slice\n"),
    ("proc/meminfo", "MemTotal:  8388608 kB\nMemAvailable:    4194304 kB\n"),
    ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/fs/file-nr", "1024\t0\t9223372036854775807\n"),
    (SOMAXCONN, "4096\n"),
    ("proc/sys/net/core/rmem_max", "212992\n"),
    ("proc/sys/net/core/wmem_max", "212992\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "512\n"),
    (COOKIES, "1\n"),
    ("proc/sys/net/ipv4/tcp_mem", "50000\t100000\t200000\n"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "2\n"),
];

/// The host; its directory is deleted when this is dropped.
pub struct Host {
    root: TempDir,
}

impl Host {
    /// A host without findings that hurt.
    pub fn good() -> Self {
        let host = Self { root: TempDir::new().unwrap() };
        GOOD.iter().for_each(|(path, text)| host.says(path, text));
        host
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Writes this text to a file of the host.
    pub fn says(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a path of the host a FIFO without a writer.
    pub fn has_fifo(&self, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    /// A file's text; `None` if there is no file.
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// A sysctl's number.
    #[track_caller]
    pub fn number(&self, path: &str) -> u64 {
        self.text(path).unwrap().trim().parse().unwrap()
    }

    pub fn doctor(&self, flags: &[&str]) -> Answer {
        let mut command = ringway(&["doctor", "--root"]);
        command.arg(self.root.path()).args(flags);
        Answer::of(command)
    }
}

/// The output of a run.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub text: String,
    pub faults: String,
}

impl Answer {
    pub fn of(mut command: Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let [text, faults] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(!faults.contains("panicked"), "{faults}");
        Self { code: status.code().unwrap(), text, faults }
    }

    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.text, self.faults);
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.text.contains(words), "no {words:?} in\n{}", self.text);
        self
    }

    #[track_caller]
    pub fn complains(self, words: &str) -> Self {
        assert!(self.faults.contains(words), "no {words:?} in\n{}", self.faults);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }
}
