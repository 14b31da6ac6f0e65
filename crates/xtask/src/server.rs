//! The gateway under test: the real binary on a free port of 127.0.0.1.
//! Started, waited for, stopped by SIGTERM; it must then exit with status 0.
//! Never stops a process that it did not start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::checkout::Checkout;
use crate::process;

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);
/// How much of the gateway's own output a failure shows.
const SHOWN_LINES_MAX: usize = 20;

/// How the gateway does its input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Uring,
    Epoll,
}

impl fmt::Display for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        })
    }
}

/// Which engines a step runs on.
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

/// The binary to test: the one named, else the release build, built now if need be.
pub fn binary(checkout: &Checkout, named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return fs::canonicalize(path)
            .with_context(|| format!("--binary {}: no such program", path.display()));
    }
    build(checkout)?;
    Ok(checkout.release_binary())
}

/// Builds the release gateway, and the load generator beside it.
pub fn build(checkout: &Checkout) -> Result<()> {
    // One at a time: together they would share their dependencies' features, and `cargo run` of
    // one of them would build all of it again.
    for package in ["ringway", "ringway-loadtest"] {
        let command = checkout.cargo(&["build", "--release", "--package", package]);
        process::check(command, BUILD_LIMIT)?;
    }
    Ok(())
}

/// A running gateway.
pub struct Server {
    child: Child,
    output: Receiver<String>,
    address: SocketAddr,
    api_address: SocketAddr,
}

impl Server {
    /// Starts the gateway on one core and waits until it accepts connections.
    pub fn start(binary: &Path, engine: Engine) -> Result<Self> {
        Self::start_with(binary, engine, &[])
    }

    /// As [`Server::start`], with settings in the form `section.key=value`.
    pub fn start_with(binary: &Path, engine: Engine, settings: &[&str]) -> Result<Self> {
        let address = free_address()?;
        // Its private API too has a port of its own, so that two may run beside each other.
        let api_address = free_address()?;
        let mut command = Command::new(binary);
        command
            .args(["serve", "--cores", "1"])
            .args(["--listen", &address.to_string()])
            .args(["--io", &engine.to_string()])
            .args(["--set", &format!("server.api_listen={api_address}")])
            .args(settings.iter().flat_map(|setting| ["--set", setting]));
        let (child, output) = process::spawn_with_lines(command)?;
        let mut server = Self { child, output, address, api_address };
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = server.child.try_wait()? {
                bail!(
                    "the gateway ended with {status} before it listened:\n{}",
                    server.last_lines()
                );
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            ensure!(
                Instant::now() < deadline,
                "the gateway does not accept connections on {address} after {} s:\n{}",
                START_LIMIT.as_secs(),
                server.last_lines()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its private API is.
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// The WebSocket echo.
    pub fn echo_url(&self) -> String {
        format!("ws://{}/echo", self.address)
    }

    /// Where its page is.
    pub fn page_url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// SIGTERM, then exit status 0 within the limit, or an error.
    pub fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the gateway ended by itself with {status}:\n{}", self.last_lines());
        }
        process::terminate(&self.child)?;
        match process::wait(&mut self.child, STOP_LIMIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!(
                "the gateway ended with {status} after SIGTERM, not with 0:\n{}",
                self.last_lines()
            ),
            None => bail!(
                "the gateway was still running {} s after SIGTERM:\n{}",
                STOP_LIMIT.as_secs(),
                self.last_lines()
            ),
        }
    }

    fn last_lines(&self) -> String {
        // The reader thread may still be handing over what an ended gateway wrote.
        thread::sleep(Duration::from_millis(100));
        let lines: Vec<String> = self.output.try_iter().collect();
        let first = lines.len().saturating_sub(SHOWN_LINES_MAX);
        lines[first..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            process::end_with_descendants(&mut self.child);
        }
    }
}

/// An address that nothing listens on at this moment.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("cannot bind a port of 127.0.0.1; check that loopback is up")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn program(body: &str) -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Closes the handle: a file open for writing cannot be executed.
        file.into_temp_path()
    }

    #[test]
    fn a_gateway_that_ends_at_once_is_reported_with_its_words() {
        let broken = program("echo no such engine >&2; exit 2");
        let error = Server::start(&broken, Engine::Uring).err().unwrap();
        assert!(error.to_string().contains("no such engine"), "{error}");
    }

    #[test]
    fn a_missing_binary_is_an_error() {
        assert!(Server::start(Path::new("/nonexistent"), Engine::Epoll).is_err());
    }
}
