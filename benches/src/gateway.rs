//! A `ringway` process under measurement: on free ports, one core, and one engine; and what it
//! counts.
//!
//! It never builds the binary.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// No heartbeat comes between what a bench counts by its bytes; the most that is allowed.
pub const WITHOUT_HEARTBEATS: &str = "websocket.ping_interval=24h";

/// A gateway that has not said where it listens by then has failed.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// A running gateway. Ended on drop.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// The line of its log that says where it listens.
    line: String,
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
        let mut command = Command::new(binary);
        command
            .args(["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
            .args(["--cores", &format!("{core}-{core}")])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let spawned = command.spawn();
        let mut child = spawned.with_context(|| format!("starting {}", binary.display()))?;
        let log = BufReader::new(child.stderr.take().context("its log is piped")?);
        // From here on a failure ends the child.
        let mut gateway = Self { child, line: String::new() };
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
            if line.contains("ws://") {
                gateway.line = line;
                return Ok(gateway);
            }
            log.push(line);
        }
    }

    /// Where it echoes.
    ///
    /// # Errors
    /// It has not said where it listens.
    pub fn url(&self) -> Result<String> {
        let address = self.address("ws://").context("it has said where it listens")?;
        Ok(format!("ws://{address}/echo"))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What follows `scheme` in the line that said where it listens.
    fn address(&self, scheme: &str) -> Option<&str> {
        let (_, rest) = self.line.split_once(scheme)?;
        rest.split([';', ',', ' ', '/']).next()
    }

    /// All that it has counted: the sums of its metrics that end in `_total`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn totals(&self) -> Result<BTreeMap<String, f64>> {
        let address = self.address("http://").context("it names no private API")?;
        let mut stream = TcpStream::connect(address).context("asking for its metrics")?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(totals_of(&text))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Either may find that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The samples of a Prometheus text exposition that count something, summed over their labels.
fn totals_of(text: &str) -> BTreeMap<String, f64> {
    let mut totals = BTreeMap::new();
    for line in text.lines() {
        let Some((sample, value)) = line.rsplit_once(' ') else { continue };
        let name = sample.split('{').next().unwrap_or_default();
        if let (true, Ok(value)) = (name.ends_with("_total"), value.parse::<f64>()) {
            *totals.entry(name.to_owned()).or_default() += value;
        }
    }
    totals
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_summed_over_labels() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# TYPE a_total counter\na_total{x=\"1 2\"} 3\n\
                    a_total{x=\"2\"} 4\nb 5\n";
        assert_eq!(totals_of(text), BTreeMap::from([("a_total".to_owned(), 7.0)]));
    }
}
