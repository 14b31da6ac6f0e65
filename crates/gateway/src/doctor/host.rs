//! A host as its files describe it: /proc and /sys below a root directory, which tests make up.
//!
//! A value that is missing, too long or not a number is unknown, with the reason. Nothing here
//! panics because of a file's content, and nothing is ever written.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::doctor::reading::{self, Links};

/// Longer than any file that is read whole.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Why a value is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread(String);

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value, or why it is not known.
pub type Reading<T> = Result<T, Unread>;

/// A limit of a process, getrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This limit does not apply.
    Unlimited,
    /// This many of the limit's unit.
    AtMost(u64),
}

impl Limit {
    /// The limit as a number.
    pub fn number(self) -> u64 {
        match self {
            Self::Unlimited => u64::MAX,
            Self::AtMost(number) => number,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::AtMost(number) => number.fmt(f),
        }
    }
}

/// A host below a root directory.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// The host with the files below `root`; `/` is this host.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether it is the host that this process runs on.
    pub fn is_this_one(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The location of one of the host's paths.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The location of a sysctl, by its dotted name (sysctl(8)).
    pub fn sysctl_path(&self, key: &str) -> PathBuf {
        self.path(&format!("/proc/sys/{}", key.replace('.', "/")))
    }

    /// Whether a path exists.
    pub fn has(&self, absolute: &str) -> bool {
        self.path(absolute).exists()
    }

    /// A file's text without the white space around it.
    pub fn text(&self, absolute: &str) -> Reading<String> {
        read(&self.path(absolute))
            .map_err(|reason| Unread(format!("/{}: {reason}", absolute.trim_start_matches('/'))))
    }

    /// A sysctl's value, with one space between its parts.
    pub fn sysctl(&self, key: &str) -> Reading<String> {
        read(&self.sysctl_path(key))
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
            .map_err(|reason| Unread(format!("{key}: {reason}")))
    }

    /// A sysctl that is a number.
    pub fn sysctl_number(&self, key: &str) -> Reading<u64> {
        number(&self.sysctl(key)?).map_err(|reason| Unread(format!("{key}: {reason}")))
    }

    /// A sysctl that consists of this many numbers.
    pub fn sysctl_numbers<const COUNT: usize>(&self, key: &str) -> Reading<[u64; COUNT]> {
        let text = self.sysctl(key)?;
        let numbers: Option<Vec<u64>> = text.split(' ').map(|part| part.parse().ok()).collect();
        numbers
            .and_then(|numbers| numbers.try_into().ok())
            .ok_or_else(|| Unread(format!("{key}: {} is not {COUNT} numbers", quoted(&text))))
    }

    /// The field of a file of `Name: value` lines, such as /proc/meminfo.
    pub fn field(&self, absolute: &str, name: &str) -> Reading<String> {
        let text = self.text(absolute)?;
        let values = text.lines().filter_map(|line| line.split_once(':'));
        let value = values.into_iter().find(|(found, _)| found.trim() == name);
        value
            .map(|(_, value)| value.trim().to_owned())
            .ok_or_else(|| Unread(format!("{absolute}: it has no {name}")))
    }

    /// A field that the kernel gives in kB, converted to bytes.
    pub fn field_bytes(&self, absolute: &str, name: &str) -> Reading<u64> {
        let value = self.field(absolute, name)?;
        let kib = value.strip_suffix("kB").unwrap_or(&value).trim();
        let bytes = kib.parse::<u64>().ok().and_then(|kib| kib.checked_mul(1024));
        bytes.ok_or_else(|| Unread(format!("{absolute}: {name} {} is not a size", quoted(&value))))
    }

    /// The hard limit of this process that /proc/self/limits calls `name`; children inherit it.
    pub fn hard_limit(&self, name: &str) -> Reading<Limit> {
        let text = self.text("/proc/self/limits")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let hard = line.and_then(|line| line.split_whitespace().nth(1));
        match hard {
            Some("unlimited") => Ok(Limit::Unlimited),
            hard => hard
                .and_then(|hard| hard.parse().ok())
                .map(Limit::AtMost)
                .ok_or_else(|| Unread(format!("/proc/self/limits: it has no {name}"))),
        }
    }

    /// Whether this process has a capability (capabilities(7)), by its number.
    pub fn has_capability(&self, number: u32) -> Reading<bool> {
        let text = self.field("/proc/self/status", "CapEff")?;
        let set = u64::from_str_radix(&text, 16)
            .map_err(|_| Unread("/proc/self/status: CapEff is not a set".to_owned()))?;
        Ok(set >> number & 1 == 1)
    }

    /// The user that this process acts as, credentials(7).
    pub fn effective_user(&self) -> Reading<u64> {
        let text = self.field("/proc/self/status", "Uid")?;
        let user = text.split_whitespace().nth(1).and_then(|user| user.parse().ok());
        user.ok_or_else(|| Unread("/proc/self/status: Uid is not a user".to_owned()))
    }

    /// How many cores this process may run on.
    pub fn cores(&self) -> Reading<usize> {
        let text = self.field("/proc/self/status", "Cpus_allowed_list")?;
        let cores: Option<u64> = text.split(',').map(range_length).sum();
        cores
            .filter(|cores| (1..=1 << 16).contains(cores))
            .map(|cores| cores as usize)
            .ok_or_else(|| Unread(format!("Cpus_allowed_list: {} is not a list", quoted(&text))))
    }

    /// The kernel's version and release, as far as they are numbers.
    pub fn kernel(&self) -> Reading<(u32, u32)> {
        let text = self.sysctl("kernel.osrelease")?;
        let mut parts = text.split(|character: char| !character.is_ascii_digit());
        let mut next = || parts.next().and_then(|part| part.parse().ok());
        match (next(), next()) {
            (Some(version), Some(release)) => Ok((version, release)),
            _ => Err(Unread(format!("kernel.osrelease: {} is not a version", quoted(&text)))),
        }
    }
}

fn range_length(range: &str) -> Option<u64> {
    let (first, last) = range.trim().split_once('-').unwrap_or((range.trim(), range.trim()));
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    last.checked_sub(first)?.checked_add(1)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{} is not a number", quoted(text)))
}

/// Any text, shortened to one line.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    if text.chars().count() <= SHOWN {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(SHOWN).collect::<String>())
}

fn read(path: &Path) -> Result<String, String> {
    let text = reading::text(path, Links::Followed, FILE_BYTES_MAX);
    let text = text.map_err(|error| error.to_string())?;
    let text = text.trim();
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn host(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Host) {
        let root = tempfile::TempDir::new().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let host = Host::below(root.path());
        (root, host)
    }

    #[test]
    fn hostile_content_is_reported_as_unknown_with_a_reason() {
        let huge = vec![b'7'; FILE_BYTES_MAX as usize + 1];
        let table: [(&[u8], &str); 6] = [
            (b"", "it is empty"),
            (b" \n", "it is empty"),
            (b"\xff\xfe", "it is not text"),
            (&huge, "longer than 256 KiB"),
            (b"many\n", "\"many\" is not a number"),
            (b"18446744073709551616", "is not a number"),
        ];
        for (content, reason) in table {
            let (_root, host) = host(&[("proc/sys/net/core/somaxconn", content)]);
            let found = host.sysctl_number("net.core.somaxconn").unwrap_err().to_string();
            assert!(found.contains("net.core.somaxconn") && found.contains(reason), "{found}");
        }
        let (_root, host) = host(&[]);
        assert!(host.sysctl_number("a.b").unwrap_err().to_string().contains("No such file"));
    }

    #[test]
    fn the_number_of_words_is_checked() {
        let (_root, host) = host(&[("proc/sys/net/ipv4/tcp_mem", b"1\t22  333\n")]);
        assert_eq!(host.sysctl_numbers("net.ipv4.tcp_mem"), Ok([1, 22, 333]));
        assert_eq!(host.sysctl("net.ipv4.tcp_mem"), Ok("1 22 333".to_owned()));
        assert!(host.sysctl_numbers::<2>("net.ipv4.tcp_mem").is_err());
    }

    #[test]
    fn the_limits_of_the_process_are_read() {
        let limits = b"Limit    Soft Limit   Hard Limit  Units\n\
            Max open files            1024                 20000                files     \n\
            Max locked memory         8388608              unlimited            bytes     \n";
        let status = b"Name:\tx\nUid:\t1000\t0\t0\t0\nCapEff:\t0000000000004000\n\
            Cpus_allowed_list:\t0-1,4\n";
        let (_root, host) = host(&[("proc/self/limits", limits), ("proc/self/status", status)]);
        assert_eq!(host.hard_limit("Max open files"), Ok(Limit::AtMost(20_000)));
        assert_eq!(host.hard_limit("Max locked memory"), Ok(Limit::Unlimited));
        assert!(host.hard_limit("Max nothing").is_err());
        assert_eq!(host.effective_user(), Ok(0));
        assert_eq!(host.has_capability(14), Ok(true));
        assert_eq!(host.has_capability(21), Ok(false));
        assert_eq!(host.cores(), Ok(3));
    }

    #[test]
    fn a_kernel_version_is_read_whatever_its_suffix() {
        for (release, expected) in [
            ("6.18.44-fc-v669", Some((6, 18))),
            ("5.10", Some((5, 10))),
            ("6.1+deb", Some((6, 1))),
            ("6", None),
            ("six.one", None),
        ] {
            let (_root, host) = host(&[("proc/sys/kernel/osrelease", release.as_bytes())]);
            assert_eq!(host.kernel().ok(), expected, "{release}");
        }
    }

    #[test]
    fn an_impossible_list_of_cores_is_unknown() {
        for list in ["", "x", "3-1", "0-18446744073709551615", "-", ","] {
            let status = format!("Cpus_allowed_list:\t{list}\nEnd: 1\n");
            let (_root, host) = host(&[("proc/self/status", status.as_bytes())]);
            assert!(host.cores().is_err(), "{list:?}");
        }
    }
}
