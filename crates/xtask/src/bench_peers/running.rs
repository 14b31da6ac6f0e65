//! A server that runs on the servers' core, with its address and the process whose CPU time counts.
//! It ends when it is dropped, and when this process ends in any way. Never installs anything.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ringway_testbed::{Server, Signal, address_after};
use tempfile::TempDir;

use super::cases::Case;
use super::compare::Target;
use super::dialect::{Addresses, Dialect};
use super::peers::{Keys, Launch, Peer, RINGWAY_ARGUMENTS, nchan_module, nginx_program};
use super::proxy::{Counted, ProxyKind};
use crate::{process, proxies};

/// The core of all servers.
const SERVER_CORE: &str = "0";
const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A running server.
pub struct Running {
    server: Server,
    address: SocketAddr,
    /// Where publishers send requests.
    api: SocketAddr,
    dialect: Dialect,
    /// The id of the process that serves, which may be a grandchild of this one.
    pid: u32,
    /// The authority of its certificate, if it speaks TLS.
    authority: Option<PathBuf>,
    /// The server behind a proxy.
    upstream: Option<(Box<Self>, Counted)>,
    /// Removed after the process has ended, because fields are dropped after `drop` has run.
    folder: Option<TempDir>,
}

impl Running {
    /// Starts it and waits until it listens. It may write to `scratch`.
    pub fn start(launch: &Launch, scratch: &Path) -> Result<Self> {
        match launch {
            Launch::Program { program, arguments, environment, dialect, tls } => {
                let mut command = pinned(program);
                command.args(arguments).envs(environment.iter().copied());
                let mut running = Self::spawn(command, *dialect, tls.as_ref())?;
                let scheme = if tls.is_some() { "wss://" } else { "ws://" };
                let line = running.server.says(scheme, START_LIMIT)?;
                let address = |scheme| {
                    address_after(&line, scheme).with_context(|| format!("no {scheme} in {line:?}"))
                };
                running.address = address(scheme)?;
                running.api = match dialect {
                    Dialect::Ringway => address("http://")?,
                    Dialect::Relay => running.address,
                };
                Ok(running)
            }
            Launch::Nginx { root, template, tls } => {
                let address = free_address()?;
                let (ssl, certificate) = match tls {
                    None => ("", String::new()),
                    Some(Keys { files, .. }) => {
                        let keys = ("ssl_certificate", "ssl_certificate_key");
                        ("ssl", format!("{} {files}.pem; {} {files}.key;", keys.0, keys.1))
                    }
                };
                let module = nchan_module(root);
                let words =
                    [("MODULE", &*module.to_string_lossy()), ("SSL", ssl), ("KEYS", &certificate)];
                let (folder, configuration) = configure(template, scratch, address, &words)?;
                let mut command = Command::new("unshare");
                command.args(["--map-root-user", "--mount", "sh", "-c", WITH_OWN_STATE, "sh"]);
                command.args(PINNED).arg(nginx_program(root));
                command.args(["-e", "stderr", "-p"]).arg(folder.path());
                command.arg("-c").arg(&configuration);
                let mut running = Self::spawn(command, Dialect::Relay, tls.as_ref())?;
                running.folder = Some(folder);
                (running.address, running.api) = (address, address);
                running.await_connection()?;
                running.pid = running.await_worker()?;
                Ok(running)
            }
            Launch::Proxy { kind, program, template, environment, tls, upstream, counted } => {
                let upstream = Self::start(upstream, scratch)?;
                let (address, behind) = (free_address()?, upstream.address.to_string());
                let (word, keys) = kind.tls(tls.as_ref().map(|keys| &*keys.files));
                let words = [("UPSTREAM", &*behind), ("TLS", &*word), ("KEYS", &*keys)];
                let (folder, configuration) = configure(template, scratch, address, &words)?;
                let mut command;
                match kind {
                    ProxyKind::Ringway => {
                        command = pinned(program);
                        command.args(RINGWAY_ARGUMENTS).arg("--config");
                    }
                    ProxyKind::Nginx => {
                        command = pinned(&nginx_program(program));
                        command.args(["-e", "stderr", "-p"]).arg(folder.path()).arg("-c");
                    }
                    ProxyKind::Haproxy => {
                        command = pinned(&program.join("usr/sbin/haproxy"));
                        command
                            .env("LD_LIBRARY_PATH", proxies::libraries(program))
                            .args(["-db", "-f"]);
                    }
                }
                command.arg(&configuration).envs(environment.iter().copied());
                let mut running = Self::spawn(command, Dialect::Relay, tls.as_ref())?;
                running.folder = Some(folder);
                running.upstream = Some((Box::new(upstream), *counted));
                (running.address, running.api) = (address, address);
                running.await_connection()?;
                if *kind == ProxyKind::Nginx {
                    running.pid = running.await_worker()?;
                }
                Ok(running)
            }
        }
    }

    fn spawn(command: Command, dialect: Dialect, tls: Option<&Keys>) -> Result<Self> {
        let server = Server::start(command)?;
        let pid = server.pid();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let authority = tls.map(|keys| keys.authority.clone());
        let (folder, upstream) = (None, None);
        Ok(Self { server, address, api: address, dialect, pid, authority, upstream, folder })
    }

    /// The load generator's description of it.
    pub fn target(&self, peer: Peer, case: &Case) -> Target {
        let at = Addresses { clients: self.address, api: self.api };
        let behind = self.upstream.as_ref().filter(|(_, counted)| *counted == Counted::Both);
        let pids = [self.pid].into_iter().chain(behind.map(|(behind, _)| behind.pid));
        let target = self.dialect.target(case, peer.name(), pids.collect(), at);
        Target { authority: self.authority.clone(), ..target }
    }

    fn await_connection(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(self.address).is_err() {
            self.check(deadline, "does not accept connections")?;
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn await_worker(&mut self) -> Result<u32> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(pid) = process::descendants(self.server.pid()).first() {
                return Ok(*pid);
            }
            self.check(deadline, "has no worker process")?;
            thread::sleep(POLL);
        }
    }

    /// Fails if it has ended, or if the deadline has passed.
    fn check(&mut self, deadline: Instant, complaint: &str) -> Result<()> {
        let ended = self.server.ends(Duration::ZERO)?;
        if ended.is_none() && Instant::now() < deadline {
            return Ok(());
        }
        // Its last output may not have been read yet.
        self.server.output().wait_for_end(5 * POLL);
        let said = self.server.last_lines();
        match ended {
            Some(status) => bail!("it ended with {status} before it listened:\n{said}"),
            None => bail!("it {complaint} after {} s:\n{said}", START_LIMIT.as_secs()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; its remaining processes are ended at once.
        let _ = self.server.signal(Signal::TERM);
        if !matches!(self.server.ends(STOP_LIMIT), Ok(Some(_))) {
            process::end_with_descendants(self.server.process());
        }
    }
}

/// Runs a program on the servers' core and ends it when this process ends: setpriv(1), taskset(1),
/// each of which replaces itself with the program after it.
const PINNED: [&str; 6] = ["setpriv", "--pdeathsig", "TERM", "taskset", "--cpu-list", SERVER_CORE];

/// nchan makes nginx look for `/var/lib/nginx`, whatever its configuration says. A mount namespace
/// (unshare(1)) provides that folder, so that nothing outside of `target/` is written.
const WITH_OWN_STATE: &str = r#"mount -t tmpfs none /var/lib && mkdir /var/lib/nginx && exec "$@""#;

/// A command that is ended when this process ends.
pub fn attached(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

fn pinned(program: &Path) -> Command {
    let mut command = Command::new(PINNED[0]);
    command.args(&PINNED[1..]).arg(program);
    command
}

/// Writes a configuration into a folder of its own, which is returned with the file.
fn configure(
    template: &Path,
    scratch: &Path,
    address: SocketAddr,
    words: &[(&str, &str)],
) -> Result<(TempDir, PathBuf)> {
    // A folder left by an earlier run may belong to another user.
    let folder = tempfile::Builder::new().prefix("proxy-").tempdir_in(scratch)?;
    let configuration = folder.path().join("proxy.conf");
    let text = fs::read_to_string(template)
        .with_context(|| format!("cannot read {}", template.display()))?
        .replace("@FOLDER@", &folder.path().to_string_lossy())
        .replace("@PORT@", &address.port().to_string());
    let text =
        words.iter().fold(text, |text, (word, value)| text.replace(&format!("@{word}@"), value));
    fs::write(&configuration, text)
        .with_context(|| format!("cannot write {}", configuration.display()))?;
    Ok((folder, configuration))
}

/// An address that nothing listens on at this moment.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("cannot bind a port of 127.0.0.1; check that loopback is up")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::super::cases::CASES;
    use super::*;

    fn program(script: &str) -> Launch {
        Launch::Program {
            program: "sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: &[],
            dialect: Dialect::Relay,
            tls: None,
        }
    }

    #[test]
    fn a_server_is_known_by_its_address_and_ends_when_it_is_dropped() {
        let scratch = Path::new("/nonexistent");
        let launch = program("echo listens on ws://127.0.0.1:9 >&2; exec sleep 60");
        let running = Running::start(&launch, scratch).unwrap();
        let pid = running.pid;
        let case = CASES.iter().find(|case| case.name == "fanout-1000").unwrap();
        let target = running.target(Peer::Bun, case);
        assert_eq!((target.name, &target.pids[..]), ("bun", &[pid][..]));
        assert_eq!(target.url, "ws://127.0.0.1:9/subscribe");
        assert_eq!(target.publisher.unwrap().url, "ws://127.0.0.1:9/publish");
        let began = Instant::now();
        drop(running);
        assert!(began.elapsed() < STOP_LIMIT);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_server_that_does_not_start_is_left_with_its_last_words() {
        let error =
            Running::start(&program("echo no such thing >&2; exit 3"), Path::new("/")).err();
        let error = error.unwrap().to_string();
        assert!(error.contains("no such thing") && error.contains('3'), "{error}");
    }
}
