//! The gateway under test: its binary and its engines.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use ringway_testbed::{Authority, Engine, Gateway, Key, Launch};

use crate::checkout::Checkout;
use crate::process;

const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);

/// The engines that a step runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engines {
    Uring,
    Epoll,
    Both,
}

impl Engines {
    pub fn each(self) -> &'static [Engine] {
        match self {
            Self::Uring => &[Engine::Uring],
            Self::Epoll => &[Engine::Epoll],
            Self::Both => &[Engine::Uring, Engine::Epoll],
        }
    }
}

/// The binary to test: the named one, or else the release build, built now if necessary.
pub fn binary(checkout: &Checkout, named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return fs::canonicalize(path)
            .with_context(|| format!("--binary {}: no such program", path.display()));
    }
    build_package(checkout, "ringway")?;
    Ok(checkout.release_binary())
}

/// Builds the release program of a package. Together, packages would share their dependencies'
/// features, and `cargo run` of one of them would build all dependencies again.
pub fn build_package(checkout: &Checkout, package: &str) -> Result<()> {
    process::check(checkout.cargo(&["build", "--release", "--package", package]), BUILD_LIMIT)
}

/// Builds the release gateway and the load generator.
pub fn build(checkout: &Checkout) -> Result<()> {
    build_package(checkout, "ringway")?;
    build_package(checkout, "ringway-loadtest")
}

/// Starts the gateway on one core, and waits until it is ready.
pub fn start(binary: &Path, engine: Engine) -> Result<Gateway> {
    start_with(binary, engine, &[])
}

/// As [`start`], with settings in the form `section.key=value`.
pub fn start_with(binary: &Path, engine: Engine, settings: &[&str]) -> Result<Gateway> {
    launch(binary, engine, settings).start()
}

/// As [`start`], with this configuration file.
pub fn start_configured(binary: &Path, engine: Engine, configuration: &Path) -> Result<Gateway> {
    let flags = ["--config", &configuration.to_string_lossy()];
    launch(binary, engine, &[]).flags(&flags).start()
}

/// The authority of a gateway that speaks TLS, with a certificate for this machine's own names.
pub fn authority() -> Result<Authority> {
    let authority = Authority::new()?;
    authority.issue(CERTIFICATE, &["127.0.0.1", "localhost"], Key::Ecdsa, 90)?;
    Ok(authority)
}

/// As [`start`], with TLS by the authority's certificate, and these lines in the configuration file.
pub fn start_tls(
    binary: &Path,
    engine: Engine,
    authority: &Authority,
    lines: &str,
) -> Result<Gateway> {
    let configuration = authority.configuration(&[CERTIFICATE], lines)?;
    launch(binary, engine, &["listener.speaks_tls=true"])
        .flags(&["--config", &configuration])
        .start()
}

/// What clients speak with the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    Plain,
    Tls,
}

impl Layer {
    /// Starts a gateway that speaks it.
    pub fn start(self, binary: &Path, engine: Engine, authority: &Authority) -> Result<Gateway> {
        match self {
            Self::Plain => start(binary, engine),
            Self::Tls => start_tls(binary, engine, authority, ""),
        }
    }

    /// In words, with the engine.
    pub fn on(self, engine: Engine) -> String {
        match self {
            Self::Plain => engine.to_string(),
            Self::Tls => format!("{engine} with TLS"),
        }
    }
}

/// The name of the files of the certificate.
const CERTIFICATE: &str = "server";

fn launch(binary: &Path, engine: Engine, settings: &[&str]) -> Launch {
    Launch::of(binary).on(engine).flags(&["--cores", "1"]).set(settings)
}
