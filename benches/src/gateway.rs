//! A `ringway` process under measurement: started on free ports and one core, ended on drop.
//!
//! It never builds the binary, and never ends a process that it did not start.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// A gateway that has not said where it listens by then has failed.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    url: String,
}

impl Gateway {
    /// Starts `binary` with `arguments` and further variables of `environment` on a free port,
    /// its one thread on `core`.
    ///
    /// # Errors
    /// It does not start, or does not say within ten seconds where it listens.
    pub fn start(
        binary: &Path,
        core: usize,
        arguments: &[String],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
            .args(["--cores", &format!("{core}-{core}")])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let log = BufReader::new(child.stderr.take().context("its log is piped")?);
        // From here on a failure ends the child.
        let mut gateway = Self { child, url: String::new() };
        let (lines, first_lines) = mpsc::channel();
        // Reads the log to its end, so that the gateway never waits for us.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut log = Vec::new();
        loop {
            let Ok(line) = first_lines.recv_timeout(START_TIME_MAX) else {
                bail!("{} did not start; it said:\n{}", binary.display(), log.join("\n"));
            };
            if let Some(place) = line.find("ws://") {
                let address = line[place..].split([';', ',', ' ']).next().unwrap_or_default();
                gateway.url = format!("{address}/echo");
                return Ok(gateway);
            }
            log.push(line);
        }
    }

    /// Where it echoes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Either may find that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The `ringway` binary that was built beside the running one.
///
/// # Errors
/// There is none.
pub fn binary_beside_this_one() -> Result<PathBuf> {
    let here = env::current_exe().context("finding this executable")?;
    let binary = here.with_file_name("ringway");
    if !binary.is_file() {
        bail!(
            "{} is not there; build it (`cargo build --release -p ringway`) or name it with \
             --server",
            binary.display()
        );
    }
    Ok(binary)
}
