//! A `ringway` process under measurement, on free ports, one core and one engine; and its counters.
//!
//! It never builds the binary.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use ringway_testbed::{Gateway, Launch};

/// The longest allowed interval, so that no heartbeat comes between the bytes that a bench counts.
pub const WITHOUT_HEARTBEATS: &str = "websocket.ping_interval=24h";

/// How to start `binary` on free ports, with its one thread on `core`. The gateway pins it itself.
pub fn launch(binary: &Path, core: usize) -> Launch {
    Launch::of(binary).flags(&["--cores", &format!("{core}-{core}")])
}

/// All counters of a gateway: the sums of its metrics that end in `_total`.
///
/// # Errors
/// The gateway does not answer.
pub fn totals(gateway: &Gateway) -> Result<BTreeMap<String, f64>> {
    Ok(totals_of(&gateway.metrics()?))
}

/// The counters of a Prometheus text exposition, each summed over its labels.
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

/// The `ringway` binary that was built in the same folder as the running one.
///
/// # Errors
/// There is no such binary.
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
