//! How the binary is started: flags, settings, environment and limits of one run.
//!
//! Ports are always the kernel's choice, and no variable of the developer's shell gets in.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use ringway_acceptor::cores;

use super::{Engine, Gateway};

/// A start of the gateway in the making.
pub struct Launch {
    command: Command,
}

impl Launch {
    /// On one core, which differs from launch to launch, and on ports of its own.
    pub fn on(engine: Engine) -> Self {
        static LAUNCHES: AtomicUsize = AtomicUsize::new(0);
        let allowed = cores::allowed().unwrap();
        let core = allowed[LAUNCHES.fetch_add(1, Ordering::Relaxed) % allowed.len()];
        Self::bare(engine).flags(&["--cores", &format!("{core}-{core}")])
    }

    /// On the cores that the binary chooses.
    pub fn bare(engine: Engine) -> Self {
        Self { command: ringway(&[]) }.ports().flags(&["--io", engine.flag()])
    }

    /// With the engine that the binary chooses, too.
    pub fn without_engine() -> Self {
        Self { command: ringway(&[]) }.ports()
    }

    /// As the file says, and nothing else.
    pub fn of_file(path: &Path) -> Self {
        let mut command = ringway(&["--config"]);
        command.arg(path);
        Self { command }
    }

    /// Under a limit of open files, soft and hard.
    pub fn with_descriptors(engine: Engine, descriptors: u32) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_ringway")]);
        Self { command }.ports().flags(&["--io", engine.flag()])
    }

    /// Under a limit of its address space, in KiB.
    pub fn with_address_space(engine: Engine, kib: u64) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -v {kib}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_ringway")]);
        Self { command }.ports().flags(&["--io", engine.flag(), "--cores", "1"])
    }

    fn ports(self) -> Self {
        self.flags(&["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
    }

    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.command.args(flags);
        self
    }

    /// `--set` for each of these.
    pub fn set(mut self, settings: &[&str]) -> Self {
        self.command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it, and waits until it listens.
    #[track_caller]
    pub fn start(self) -> Gateway {
        Self::watch(self.spawn())
    }

    /// Starts it, and does not wait.
    #[track_caller]
    pub fn spawn(mut self) -> Child {
        self.command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until what was started so listens.
    #[track_caller]
    pub fn watch(process: Child) -> Gateway {
        Gateway::watch(process)
    }

    /// Runs it to its end, for launches that must fail.
    pub fn output(mut self) -> Output {
        self.command.stdin(Stdio::null()).output().unwrap()
    }
}

/// The binary with these arguments and an environment without settings.
pub fn ringway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    let variables = std::env::vars_os().map(|(name, _)| name);
    for name in variables.filter(|name| name.to_string_lossy().starts_with("RINGWAY_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}
