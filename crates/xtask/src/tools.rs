//! The test tools that the Rust toolchain does not bring: Debian packages,
//! Python environments, Node modules. Everything but Debian packages is put
//! under `target/xtask/`; what is present is left alone. Never upgrades anything.

pub mod debian;
pub mod node;
pub mod python;

use std::process::{Command, Stdio};
use std::time::Duration;

/// The longest that one installation may take.
pub const INSTALL_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Whether a program starts at all.
pub fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
