//! How the binary is started: flags, settings, environment and limits of one run.
//!
//! The kernel always chooses the ports, and no variable of the developer's shell is passed on.

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

/// A gateway that is about to be started.
pub struct Launch {
    launch: ringway_testbed::Launch,
}

impl Launch {
    /// On one core, a different one for each launch, and on its own ports.
    pub fn on(engine: Engine) -> Self {
        static LAUNCHES: AtomicUsize = AtomicUsize::new(0);
        let allowed = cores::allowed().unwrap();
        let core = allowed[LAUNCHES.fetch_add(1, Ordering::Relaxed) % allowed.len()];
        Self::bare(engine).flags(&["--cores", &format!("{core}-{core}")])
    }

    /// On the cores that the binary chooses by default.
    pub fn bare(engine: Engine) -> Self {
        Self::without_engine().engine(engine)
    }

    /// With the default engine as well.
    pub fn without_engine() -> Self {
        Self { launch: ringway_testbed::Launch::of(Path::new(PROGRAM)) }
    }

    /// With this configuration file and nothing else.
    pub fn of_file(path: &Path) -> Self {
        let mut command = ringway(&["--config"]);
        command.arg(path);
        Self { launch: command.into() }
    }

    /// With this limit of open files, soft and hard.
    pub fn with_descriptors(engine: Engine, descriptors: u32) -> Self {
        Self::after(&format!("ulimit -n {descriptors}")).engine(engine)
    }

    /// With this limit of its address space, in KiB.
    pub fn with_address_space(engine: Engine, kib: u64) -> Self {
        Self::after(&format!("ulimit -v {kib}")).engine(engine).flags(&["--cores", "1"])
    }

    /// As systemd starts it: with one or two inherited sockets, after `script` has run.
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

    /// Adds `--set` for each of these.
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

    /// Starts it without waiting.
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
