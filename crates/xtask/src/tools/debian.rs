//! Debian packages, installed by apt-get as root or through sudo.
//! Never installs a package whose program already runs.

use std::process::Command;

use anyhow::{Result, bail};

use super::{INSTALL_LIMIT, runs};
use crate::process;

struct Need {
    what: &'static str,
    package: &'static str,
    present: fn() -> bool,
}

/// What the steps call, and the package that brings it.
const NEEDS: [Need; 7] = [
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
];

/// Installs what is missing; returns the packages that were installed.
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
    let root = rustix::process::geteuid().is_root();
    if !root && !runs("sudo", &["-n", "true"]) {
        bail!("missing packages, and neither root nor password-less sudo: run `{by_hand}`");
    }
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        }
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        println!("running: {}", process::display(&command));
        process::check(command, INSTALL_LIMIT)
    };
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
