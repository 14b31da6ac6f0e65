//! The test tools that are not part of the Rust toolchain: Debian packages, Python environments,
//! Node modules. All but Debian packages are installed under `target/xtask/`; tools that are
//! present are not touched. Never upgrades anything.

pub mod debian;
pub mod node;
pub mod python;

use std::process::{Command, Stdio};
use std::time::Duration;

/// The longest that one installation may take.
pub const INSTALL_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Whether a program can be started.
pub fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
