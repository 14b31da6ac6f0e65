//! A `ringway` process under measurement: on free ports, one core, and one engine; and what it
//! counts.
//!
//! It never builds the binary.

use std::{
    collections::BTreeMap,
    env,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::server::{Place, ServerProcess};

/// No heartbeat comes between what a bench counts by its bytes; the most that is allowed.
pub const WITHOUT_HEARTBEATS: &str = "websocket.ping_interval=24h";

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    process: ServerProcess,
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
        let mut command = Command::new(binary);
        command
            .args(["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
            .args(["--cores", &format!("{core}-{core}")])
            .args(arguments)
            .envs(environment.iter().copied());
        // The gateway pins its core's thread itself; its control thread is nobody's.
        let process = ServerProcess::start(command, Place::Anywhere)?;
        let address = process.address("ws://").context("it has said where it listens")?;
        let url = format!("ws://{address}/echo");
        Ok(Self { process, url })
    }

    /// Where it echoes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// All that it has counted: the sums of its metrics that end in `_total`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn totals(&self) -> Result<BTreeMap<String, f64>> {
        let address = self.process.address("http://").context("it names no private API")?;
        let mut stream = TcpStream::connect(address).context("asking for its metrics")?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(totals_of(&text))
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
