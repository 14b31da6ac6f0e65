//! How the gateway is started: flags, settings, variables and limits of one run. No variable of the
//! developer's shell gets in, and ports are the kernel's choice.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{Engine, Gateway, Server};

/// A gateway to be started: its arguments, settings and environment.
#[derive(Debug)]
pub struct Launch {
    command: Command,
}

impl Launch {
    /// With ports of its own, and defaults for everything else.
    pub fn of(program: &Path) -> Self {
        Self::from(without_settings(program)).with_ports()
    }

    /// As `sh` starts it after `script`, such as `ulimit -n 64`.
    pub fn after(script: &str, program: &Path) -> Self {
        let mut command = without_settings("sh");
        command.args(["-c", &format!("{script}; exec \"$0\" \"$@\"")]).arg(program);
        Self::from(command).with_ports()
    }

    fn with_ports(self) -> Self {
        self.flags(&["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
    }

    /// On this engine.
    pub fn on(self, engine: Engine) -> Self {
        self.flags(&["--io", engine.flag()])
    }

    /// With these arguments as well.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.command.args(flags);
        self
    }

    /// With `--set` for each of these, in the form `section.key=value`.
    pub fn set(mut self, settings: &[&str]) -> Self {
        self.command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        self
    }

    /// With a variable of the environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// The command itself, for launches that do not become a gateway.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it, and waits until it serves.
    ///
    /// # Errors
    /// It does not start, or does not serve in time. The error quotes its last lines.
    pub fn start(self) -> Result<Gateway> {
        Gateway::watch(self.spawn()?)
    }

    /// Starts it, and does not wait.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(self) -> Result<Server> {
        Server::start(self.command)
    }
}

impl From<Command> for Launch {
    /// As the command says, and nothing else.
    fn from(command: Command) -> Self {
        Self { command }
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
