//! A server's process under measurement: started, waited for until it says where it listens, and
//! ended on drop.
//!
//! It never builds anything, and never ends a process that it did not start.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use ringway_acceptor::cores;

/// A server that has not said where it listens by then has failed.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    line: String,
}

/// Where a server's threads may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where it wants.
    Anywhere,
    /// All of them on this core.
    Core(usize),
}

impl ServerProcess {
    /// Starts `command` and waits for a line with `ws://` on its standard error.
    ///
    /// # Errors
    /// It does not start, or does not say within ten seconds where it listens.
    pub fn start(mut command: Command, place: Place) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let spawned = match place {
            Place::Anywhere => command.spawn(),
            // A process inherits the affinity of the thread that starts it (sched_setaffinity(2)).
            Place::Core(core) => thread::scope(|scope| {
                let thread = scope.spawn(|| cores::pin(core).and_then(|()| command.spawn()));
                thread.join().expect("it does not panic")
            }),
        };
        let mut child = spawned.with_context(|| format!("starting {program}"))?;
        let log = BufReader::new(child.stderr.take().context("its log is piped")?);
        // From here on a failure ends the child.
        let mut server = Self { child, line: String::new() };
        let (lines, first_lines) = mpsc::channel();
        // Reads the log to its end, so that the server never waits for us.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut log = Vec::new();
        loop {
            let Ok(line) = first_lines.recv_timeout(START_TIME_MAX) else {
                bail!("{program} did not start; it said:\n{}", log.join("\n"));
            };
            if line.contains("ws://") {
                server.line = line;
                return Ok(server);
            }
            log.push(line);
        }
    }

    /// What follows `scheme` in the line that said where it listens.
    pub fn address(&self, scheme: &str) -> Option<&str> {
        let (_, rest) = self.line.split_once(scheme)?;
        rest.split([';', ',', ' ', '/']).next()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Either may find that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
