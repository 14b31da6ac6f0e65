//! Paths of the repository: its root and the folders under `target/`.
//! Never creates anything outside the target folder.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A checked-out copy of the repository.
pub struct Checkout {
    root: PathBuf,
    target: PathBuf,
}

impl Checkout {
    /// The repository that this crate was built from.
    pub fn of_this_crate() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .expect("crates/xtask lies two levels below the root")
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => root.join(folder),
            None => root.join("target"),
        };
        Self { root, target }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file or folder at `path`, relative to the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The gateway as `cargo build --release` leaves it.
    pub fn release_binary(&self) -> PathBuf {
        self.target.join("release/ringway")
    }

    /// The folder of the release binaries, for `PATH`.
    pub fn release_folder(&self) -> PathBuf {
        self.target.join("release")
    }

    /// The folder of a run's results under `target/`, made if absent.
    pub fn artefacts(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    /// A folder for intermediate files under `target/xtask/`, made if absent.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join("xtask").join(name);
        std::fs::create_dir_all(&folder).with_context(|| {
            format!("cannot create {}; check that the target folder is writable", folder.display())
        })?;
        Ok(folder)
    }

    /// `cargo` with these arguments, run from the root, by the toolchain that built this program.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&self.root);
        without_package(&mut command);
        command
    }
}

/// Removes what `cargo run` has said about this package: crates whose build script reads it, such as
/// `ring`, would be built again with everything above them whenever cargo runs in and outside of a task.
pub fn without_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_not_told_about_this_package() {
        let command = Checkout::of_this_crate().cargo(&["check"]);
        // Tests are run with these, as tasks are.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(env::var_os(name).is_some(), "{name}");
            let removed = command.get_envs().any(|(key, value)| key == name && value.is_none());
            assert!(removed, "{name}");
        }
    }
}
