//! How the binary is started: flags, settings, environment and limits of one run.
//!
//! Ports are always the kernel's choice, and no variable of the developer's shell gets in.

use std::{
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use ringway_acceptor::cores;
use ringway_testbed::{Server, without_settings};

use super::{Engine, Gateway};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway");

/// A start of the gateway in the making.
pub struct Launch {
    launch: ringway_testbed::Launch,
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
        Self::without_engine().engine(engine)
    }

    /// With the engine that the binary chooses, too.
    pub fn without_engine() -> Self {
        Self { launch: ringway_testbed::Launch::of(Path::new(PROGRAM)) }
    }

    /// As the file says, and nothing else.
    pub fn of_file(path: &Path) -> Self {
        let mut command = ringway(&["--config"]);
        command.arg(path);
        Self { launch: command.into() }
    }

    /// Under a limit of open files, soft and hard.
    pub fn with_descriptors(engine: Engine, descriptors: u32) -> Self {
        Self::after(&format!("ulimit -n {descriptors}")).engine(engine)
    }

    /// Under a limit of its address space, in KiB.
    pub fn with_address_space(engine: Engine, kib: u64) -> Self {
        Self::after(&format!("ulimit -v {kib}")).engine(engine).flags(&["--cores", "1"])
    }

    /// As systemd starts it: with one or two inherited sockets, and after `script`.
    pub fn inheriting(
        engine: Engine,
        sockets: impl IntoIterator<Item = (&'static str, OwnedFd)>,
        script: &str,
    ) -> Self {
        let launch = ringway_testbed::Launch::inheriting(Path::new(PROGRAM), sockets, script);
        Self { launch }.engine(engine)
    }

    fn after(script: &str) -> Self {
        Self { launch: ringway_testbed::Launch::after(script, Path::new(PROGRAM)) }
    }

    fn engine(self, engine: Engine) -> Self {
        self.flags(&["--io", engine.flag()])
    }

    pub fn flags(self, flags: &[&str]) -> Self {
        Self { launch: self.launch.flags(flags) }
    }

    /// `--set` for each of these.
    pub fn set(self, settings: &[&str]) -> Self {
        Self { launch: self.launch.set(settings) }
    }

    pub fn variable(self, name: &str, value: &str) -> Self {
        Self { launch: self.launch.variable(name, value) }
    }

    /// Starts it, and waits until it serves.
    #[track_caller]
    pub fn start(self) -> Gateway {
        Gateway::watch(self.spawn())
    }

    /// Starts it, and does not wait.
    #[track_caller]
    pub fn spawn(self) -> Server {
        self.launch.spawn().unwrap()
    }

    /// Runs it to its end, for launches that must fail.
    pub fn output(self) -> Output {
        self.launch.into_command().stdin(Stdio::null()).output().unwrap()
    }
}

/// The binary with these arguments and an environment without settings.
pub fn ringway(arguments: &[&str]) -> Command {
    let mut command = without_settings(PROGRAM);
    command.args(arguments);
    command
}
