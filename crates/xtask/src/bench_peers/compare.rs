//! `ringway-loadtest compare`: builds its command line, reads its JSON. A change of either changes
//! only this file. Never judges a figure.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cases::{Case, Content, Form, Length, Load, Service, Tls, Transport};

/// The core of the tester; the servers have core 0.
pub const TESTER_CORE: &str = "1";

/// A round is calm if no process waited for a CPU for more than this share of it. Every server of a
/// round has the same neighbours, so ratios hold even when times do not.
const CALM_PERCENT: &str = "40";

/// A proxy always waits for the echo on its core, so any waiting is calm.
const CALM_PERCENT_OF_PROXIES: &str = "100";

/// A running server, and how clients use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: &'static str,
    /// The processes whose CPU time counts; the memory is that of the first.
    pub pids: Vec<u32>,
    /// The authority of its certificate, if it speaks TLS.
    pub authority: Option<PathBuf>,
    /// The URL for echoes or subscriptions; `{n}` is a connection's number.
    pub url: String,
    /// The field of a response or a message that holds the client's cursor.
    pub cursor: Option<&'static str>,
    /// The form of a message to another client, in this server's protocol.
    pub message: Option<&'static str>,
    pub publisher: Option<Publisher>,
}

/// How events are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    pub url: String,
    /// The message for each event: `{stamp}` and `{body}` in it are what subscribers look for.
    pub message: String,
}

/// The results of `compare`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Findings {
    pub targets: Vec<Finding>,
    /// Which rounds count.
    #[serde(default)]
    pub basis: Basis,
    #[serde(default)]
    pub rounds_calm: u32,
    #[serde(default)]
    pub rounds_run: u32,
    /// What a message costs.
    #[serde(default)]
    pub unit: Unit,
    /// The words of the command line that measured this.
    #[serde(default)]
    pub command: Vec<String>,
}

/// The unit of a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds of CPU time.
    #[default]
    Nanoseconds,
    Bytes,
}

/// Which rounds of a comparison count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    #[default]
    Calm,
    /// Too few were calm, so all count: the figures include the noise of the machine.
    All,
}

/// The results of one server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Finding {
    pub name: String,
    /// Server CPU per message over that of the first server; `None` if it could not be measured.
    #[serde(default)]
    pub ratio: Option<Ratio>,
    #[serde(default)]
    pub server_cpu_ns_per_message: Option<f64>,
    #[serde(default)]
    pub rate: f64,
    /// The share of its core that it used.
    #[serde(default, alias = "server_busy")]
    pub busy: Option<f64>,
    #[serde(default)]
    pub latency_us: Latency,
    pub valid: bool,
    #[serde(default)]
    pub invalid_because: Vec<String>,
    #[serde(default)]
    pub ledger: Ledger,
    /// Counted rounds in which it had its slot.
    #[serde(default)]
    pub rounds: u32,
    /// Why it was left out, from the start or after these rounds.
    #[serde(default)]
    pub failed: Option<String>,
}

/// The median of paired ratios, with its quartiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
}

/// Counts of faulty messages.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    #[serde(default)]
    pub lost: u64,
    #[serde(default)]
    pub doubled: u64,
    #[serde(default)]
    pub reordered: u64,
    #[serde(default)]
    pub corrupted: u64,
}

impl Ledger {
    /// Messages that did not come back as they should.
    pub fn faults(self) -> u64 {
        self.lost + self.doubled + self.reordered + self.corrupted
    }
}

/// Requests that are under way at once, of one event each ...
const POSTING_PUBLISHERS: u32 = 32;

/// ... and of many.
const BULK_PUBLISHERS: u32 = 2;

/// The name of the second measurement of the first server, which shows the noise.
pub const CONTROL: &str = "control";

/// Completes the command that runs the program; the first target is the base of the ratios.
pub fn command(
    mut command: Command,
    case: &Case,
    length: Length,
    targets: &[Target],
    json: &Path,
) -> Command {
    let time_max = case.time_max(targets.len(), length);
    command.arg("compare");
    for Target { name, pids, url, cursor, message, publisher, .. } in targets {
        command.args(["--url", &format!("{name}={url}")]);
        for pid in pids {
            command.args(["--pid", &format!("{name}={pid}")]);
        }
        if let Some(cursor) = cursor {
            command.args(["--cursor", &format!("{name}={cursor}")]);
        }
        if let Some(message) = message {
            command.args(["--message-of", &format!("{name}={message}")]);
        }
        if let Some(Publisher { url, message }) = publisher {
            command.args(["--publish-url", &format!("{name}={url}")]);
            command.args(["--publish-message", &format!("{name}={message}")]);
        }
    }
    if let Some(authority) = targets.iter().find_map(|target| target.authority.as_ref()) {
        command.arg("--ca").arg(authority);
        command.args((case.tls == Some(Tls::Resumed)).then_some("--resume"));
    }
    let (mode, outstanding, content) = match case.load {
        Load::Echo { outstanding, content } => ("echo", outstanding, content),
        Load::Direct => ("echo", 1, Content::Binary),
        Load::Churn => ("churn", 1, Content::Binary),
        Load::Fanout { outstanding, transport } => {
            match transport {
                Transport::WebSocket => {}
                Transport::Sse => drop(command.args(["--subscribe-by", "sse"])),
                Transport::LongPoll => drop(command.args(["--subscribe-by", "long-poll"])),
            }
            ("fanout", outstanding, Content::Binary)
        }
        Load::Post { lines } => {
            let (publishers, kind) = match lines {
                1 => (POSTING_PUBLISHERS, "application/json"),
                _ => (BULK_PUBLISHERS, "application/x-ndjson"),
            };
            command.args(["--publishers", &publishers.to_string(), "--bulk", &lines.to_string()]);
            command.args(["--content-type", kind]);
            ("fanout", publishers * lines, Content::Binary)
        }
        Load::Return { .. } | Load::Idle(_) | Load::Log => unreachable!("it has no slots"),
    };
    command.args((case.form == Form::Deflate).then_some("--deflate"));
    let calm = match case.service {
        Service::Own => CALM_PERCENT,
        Service::Relayed => CALM_PERCENT_OF_PROXIES,
    };
    command
        .args(["--mode", mode, "--closed", "--control"])
        .args(["--connections", &case.connections.to_string()])
        .args(["--size", &case.size_bytes.to_string()])
        .args(["--pipeline", &outstanding.to_string()])
        .args(["--slot", &format!("{}ms", case.slot.as_millis())])
        .args(["--rounds", &length.rounds(case.method()).to_string()])
        .args(["--time-max", &format!("{}s", time_max.as_secs())])
        .args(["--cores", TESTER_CORE, "--calm", calm, "--quiet"])
        .args((content == Content::Text).then_some("--text"))
        .arg(format!("--json={}", json.display()));
    command
}

/// Reads the JSON.
///
/// # Errors
/// It has another format.
pub fn read(json: &str) -> Result<Findings> {
    serde_json::from_str(json).context("`ringway-loadtest compare` has written other JSON")
}

#[cfg(test)]
mod tests {
    use super::super::cases::CASES;
    use super::*;

    fn target(name: &'static str, publisher: Option<Publisher>) -> Target {
        Target {
            name,
            pids: vec![7],
            authority: None,
            url: format!("ws://{name}/"),
            cursor: None,
            message: None,
            publisher,
        }
    }

    fn line(case: &str, targets: &[Target]) -> String {
        let case = CASES.iter().find(|one| one.name == case).unwrap();
        let command =
            command(Command::new("load"), case, Length::Quick, targets, Path::new("out.json"));
        let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_case_becomes_a_command_line() {
        let line = line("text", &[target("ringway", None), target("bun", None)]);
        assert_eq!(
            line,
            "compare --url ringway=ws://ringway/ --pid ringway=7 --url bun=ws://bun/ --pid bun=7 \
             --mode echo --closed --control --connections 1000 --size 1024 --pipeline 1 \
             --slot 200ms --rounds 8 --time-max 92s --cores 1 --calm 40 --quiet --text --json=out.json"
        );
    }

    #[test]
    fn a_fan_out_says_how_each_server_is_published_to() {
        let publisher = Publisher { url: "ws://a/publish".into(), message: "{stamp}{body}".into() };
        let line = line("fanout-8", &[target("bun", Some(publisher))]);
        let said = "--publish-url bun=ws://a/publish --publish-message bun={stamp}{body}";
        assert!(line.contains(said), "{line}");
        assert!(line.contains("--mode fanout") && line.contains("--pipeline 8"), "{line}");
    }

    #[test]
    fn a_server_that_speaks_tls_is_trusted_and_a_proxy_costs_what_its_echo_costs() {
        let secure = || Target {
            pids: vec![7, 8],
            authority: Some("/ca.pem".into()),
            ..target("nginx", None)
        };
        let full = line("wss-churn", &[secure()]);
        assert!(full.contains("--pid nginx=7 --pid nginx=8 --ca /ca.pem --mode churn"), "{full}");
        let resumed = line("wss-resume", &[secure()]);
        assert!(resumed.contains("--ca /ca.pem --resume --mode churn"), "{resumed}");
    }

    #[test]
    fn json_is_read_and_what_is_not_known_is_passed_over() {
        let findings = read(
            r#"{"tool": "ringway-loadtest 0.1.0", "targets": [
                {"name": "ringway", "ratio": {"low": 1, "median": 1, "high": 1},
                 "server_cpu_ns_per_message": 5300.5, "rate": 180000.0, "busy": 0.99,
                 "latency_us": {"p50": 500, "p90": 600, "p99": 700, "p99_9": 800, "max": 900},
                 "valid": true, "invalid_because": [],
                 "ledger": {"sent": 9, "received": 8, "lost": 1, "doubled": 0, "reordered": 2,
                            "corrupted": 0}},
                {"name": "bun", "ratio": null, "valid": false, "invalid_because": ["it died"]}
            ]}"#,
        )
        .unwrap();
        let [ringway, bun] = &findings.targets[..] else { panic!("{findings:?}") };
        assert_eq!(ringway.ratio, Some(Ratio { low: 1.0, median: 1.0, high: 1.0 }));
        assert_eq!((ringway.server_cpu_ns_per_message, ringway.busy), (Some(5300.5), Some(0.99)));
        assert_eq!((ringway.ledger.faults(), ringway.latency_us.p99), (3, 700.0));
        assert_eq!((bun.ratio, bun.valid, &bun.invalid_because[0][..]), (None, false, "it died"));
        assert!(read("{}").is_err());
        let noisy = read(r#"{"targets": [], "basis": "all", "rounds_calm": 0, "rounds_run": 40}"#);
        let noisy = noisy.unwrap();
        assert_eq!((noisy.basis, noisy.rounds_calm, noisy.rounds_run), (Basis::All, 0, 40));
    }
}
