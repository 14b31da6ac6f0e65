//! How the gateway is started: flags, settings, variables and limits of one run. It ignores the
//! variables of the developer's shell, and the kernel chooses the ports.

use std::env;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{Engine, Gateway, Server};

/// A gateway to be started: its arguments, settings and environment.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    /// At most two, which the shell moves to the descriptors that systemd would use.
    sockets: Vec<OwnedFd>,
}

impl Launch {
    /// A gateway with its own ports, and defaults for everything else.
    pub fn of(program: &Path) -> Self {
        Self::from(without_settings(program)).with_ports()
    }

    /// A gateway that `sh` starts after `script`, such as `ulimit -n 64`.
    pub fn after(script: &str, program: &Path) -> Self {
        let mut command = without_settings("sh");
        command.args(["-c", &format!("{script}; exec \"$0\" \"$@\"")]).arg(program);
        Self::from(command).with_ports()
    }

    /// A gateway started as by systemd (sd_listen_fds(3)): it inherits one or two sockets with
    /// these names, and `script` runs before.
    pub fn inheriting(
        program: &Path,
        sockets: impl IntoIterator<Item = (&'static str, OwnedFd)>,
        script: &str,
    ) -> Self {
        let (names, sockets): (Vec<_>, Vec<_>) = sockets.into_iter().unzip();
        let moved = match sockets.len() {
            1 => "3<&0 </dev/null",
            2 => "3<&0 4<&1 </dev/null >&2",
            count => panic!("{count} sockets"),
        };
        // The shell's process id becomes the gateway's.
        let variables = format!(
            "export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={}",
            sockets.len(),
            names.join(":")
        );
        let launch = Self::after(&format!("exec {moved}; {variables}; {script}"), program);
        Self { sockets, ..launch }
    }

    fn with_ports(self) -> Self {
        self.flags(&["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
    }

    /// Runs it on this engine.
    pub fn on(self, engine: Engine) -> Self {
        self.flags(&["--io", engine.flag()])
    }

    /// Adds these arguments.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.command.args(flags);
        self
    }

    /// Adds `--set` for each of these, in the form `section.key=value`.
    pub fn set(mut self, settings: &[&str]) -> Self {
        self.command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        self
    }

    /// Adds an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// The command itself, for launches that do not become a gateway.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// The gateway does not start, or is not ready in time. The error quotes its last lines.
    pub fn start(self) -> Result<Gateway> {
        Gateway::watch(self.spawn()?)
    }

    /// Starts it, and does not wait.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(self) -> Result<Server> {
        let mut sockets = self.sockets.into_iter();
        Server::start_with(self.command, sockets.next(), sockets.next())
    }
}

impl From<Command> for Launch {
    /// Launches exactly this command.
    fn from(command: Command) -> Self {
        Self { command, sockets: Vec::new() }
    }
}

/// A command whose environment has no setting of the gateway.
pub fn without_settings(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let variables = env::vars_os().map(|(name, _)| name);
    for name in variables.filter(|name| name.to_string_lossy().starts_with("RINGWAY_")) {
        command.env_remove(name);
    }
    command
}
