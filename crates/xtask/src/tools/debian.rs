//! Debian packages, installed by apt-get as root or through sudo, or only unpacked into a folder.
//! Never installs a package whose program already runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{INSTALL_LIMIT, runs};
use crate::process;

struct Need {
    what: &'static str,
    package: &'static str,
    present: fn() -> bool,
}

/// The programs that the steps call, and the packages that contain them.
const NEEDS: [Need; 10] = [
    Need {
        what: "a C compiler (native Python modules)",
        package: "build-essential",
        present: || runs("cc", &["--version"]),
    },
    Need { what: "Python 3", package: "python3", present: || runs("python3", &["--version"]) },
    Need {
        what: "Python's venv module",
        package: "python3-venv",
        present: || runs("python3", &["-c", "import ensurepip, venv"]),
    },
    Need { what: "Node.js", package: "nodejs", present: || runs("node", &["--version"]) },
    Need { what: "npm", package: "npm", present: || runs("npm", &["--version"]) },
    Need {
        what: "Chromium (the page and every transport)",
        package: "chromium",
        present: || runs("/usr/bin/chromium", &["--version"]),
    },
    Need {
        what: "curl (README commands)",
        package: "curl",
        present: || runs("curl", &["--version"]),
    },
    Need {
        what: "ShellCheck (scripts of tuning/)",
        package: "shellcheck",
        present: || runs("shellcheck", &["--version"]),
    },
    Need {
        what: "systemd-analyze (the unit of tuning/)",
        package: "systemd",
        present: || runs("systemd-analyze", &["--version"]),
    },
    Need {
        what: "Valgrind (instruction counts)",
        package: "valgrind",
        present: || runs("valgrind", &["--version"]),
    },
];

/// Installs missing packages and returns their names.
pub fn install_missing() -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for need in &NEEDS {
        let present = (need.present)();
        let word = if present { "present" } else { "missing" };
        println!("{word}: {} ({})", need.what, need.package);
        if !present {
            missing.push(need.package);
        }
    }
    if missing.is_empty() {
        return Ok(missing);
    }
    let by_hand = format!(
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    if !runs("apt-get", &["--version"]) {
        bail!(
            "missing: {}; this is not a Debian system: install them with its package manager",
            missing.join(", ")
        );
    }
    if !may_install() {
        bail!("missing packages, and neither root nor password-less sudo: run `{by_hand}`");
    }
    apt_get(&["update", "-q"])?;
    let mut install = vec!["install", "-q", "-y", "--no-install-recommends"];
    install.extend(&missing);
    apt_get(&install)?;
    for need in &NEEDS {
        if !(need.present)() {
            bail!(
                "{} is still missing after installing {}; run `{by_hand}` and read its output",
                need.what,
                need.package
            );
        }
    }
    Ok(missing)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn may_install() -> bool {
    is_root() || runs("sudo", &["-n", "true"])
}

/// `apt-get` as root, or through sudo.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(if is_root() { "apt-get" } else { "sudo" });
    if !is_root() {
        command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    println!("running: {}", process::display(&command));
    process::check(command, INSTALL_LIMIT)
}

/// Unpacks packages below `root` without installing them: none of their services starts, and root
/// is not needed. Their dependencies are ignored. Returns each with its version.
pub fn unpack(packages: &[&str], root: &Path) -> Result<Vec<String>> {
    let mark = root.join("packages.unpacked");
    if let Ok(names) = fs::read_to_string(&mark) {
        println!("present: {}", root.display());
        return Ok(names.lines().map(str::to_owned).collect());
    }
    println!("unpacking: {} into {}", packages.join(", "), root.display());
    let download = || {
        let mut download = Command::new("apt-get");
        download.args(["download", "-q"]).args(packages).current_dir(root);
        process::check(download, INSTALL_LIMIT)
    };
    // The lists of packages may be missing, or older than the newest security update.
    let downloaded = match download() {
        Err(_) if may_install() => apt_get(&["update", "-q"]).and_then(|()| download()),
        first => first,
    };
    downloaded.with_context(|| {
        format!(
            "cannot download {}; is this Debian, and `apt-get update` done?",
            packages.join(", ")
        )
    })?;
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".deb") else { continue };
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(&path).arg(root);
        process::check(unpack, INSTALL_LIMIT)?;
        names.push(package_and_version(name));
    }
    names.sort();
    fs::write(&mark, names.join("\n"))?;
    Ok(names)
}

/// Parses a file name such as `nginx_1%3a1.22.1-9_amd64` (deb(7)); the epoch is dropped.
fn package_and_version(name: &str) -> String {
    let mut parts = name.split('_');
    let (package, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let version = version.rsplit_once("%3a").map_or(version, |(_, version)| version);
    format!("{package} {version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_file_names() {
        for (name, expected) in [
            ("nginx_1.22.1-9+deb12u11_amd64", "nginx 1.22.1-9+deb12u11"),
            ("libnginx-mod-nchan_1%3a1.3.6+dfsg-2_amd64", "libnginx-mod-nchan 1.3.6+dfsg-2"),
        ] {
            assert_eq!(package_and_version(name), expected);
        }
    }
}
