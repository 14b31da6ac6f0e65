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
        command
    }
}
