//! Reads histogram logs that [`write`](super::write) has written.
//!
//! A file may be cut, changed, or of another kind: reading it then fails, and never takes more
//! memory than its bounds allow.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use flate2::Crc;

use super::{CHECKSUM, LOOK_DELAY, OPENING, REPORT, RUNS, SECONDS_MAX, SEND_DELAY, Saved};
use crate::{
    measure::{
        encoding,
        ledger::Ledger,
        quantiles::{LATENCY_DIGITS, Times, add, times},
        sparse::Sparse,
    },
    report::Report,
};

/// The largest file; an hour of seconds takes a few megabytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The largest count, more than any machine reaches; sums of such counts fit into 64 bits.
const COUNT_MAX: u64 = 1 << 53;

/// Reads a file.
///
/// # Errors
/// It cannot be read, or is not a complete file written by `--save`.
pub fn load(path: &Path) -> Result<Saved> {
    let of_file = || path.display().to_string();
    let about = fs::metadata(path).with_context(of_file)?;
    // Checked before opening: opening a FIFO without a writer would block.
    ensure!(about.is_file(), "{}: it is no file", of_file());
    let file = fs::File::open(path).with_context(of_file)?;
    ensure!(
        about.len() <= FILE_BYTES_MAX,
        "{}: it has {} bytes, more than any histogram log of this program",
        of_file(),
        about.len()
    );
    parse(BufReader::new(file.take(FILE_BYTES_MAX))).with_context(of_file)
}

/// Reads a log.
///
/// # Errors
/// As [`load`].
pub fn parse(mut log: impl BufRead) -> Result<Saved> {
    let (mut parts, mut bytes) = (Parts::default(), Vec::new());
    for number in 1.. {
        bytes.clear();
        if log.read_until(b'\n', &mut bytes).context("reading")? == 0 {
            break;
        }
        let line = str::from_utf8(&bytes).context("it is not a histogram log: it is not text")?;
        parts.sum(line);
        parts
            .take(line.trim_end_matches(['\r', '\n']))
            .with_context(|| format!("line {number}"))?;
    }
    parts.finish()
}

#[derive(Default)]
struct Parts {
    runs: Vec<String>,
    json: String,
    openings: Option<Times>,
    send_delays: Option<Times>,
    look_delays: Option<Times>,
    seconds: Vec<Sparse>,
    latencies: u64,
    /// Of all bytes so far, except those of a checksum.
    checksum: Crc,
    confirmation: Confirmation,
}

/// What the checksum of a file says about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Confirmation {
    /// There was no line yet.
    #[default]
    Empty,
    /// There was no checksum yet.
    Missing,
    /// The last line is the checksum of all bytes before it.
    Confirmed,
    /// The last line is the checksum of other bytes.
    Refuted,
    /// Lines follow a checksum.
    Exceeded,
}

impl Parts {
    /// Adds a line to the checksum, or compares the checksum with it.
    fn sum(&mut self, line: &str) {
        self.confirmation = match (self.confirmation, line.strip_prefix(CHECKSUM)) {
            (Confirmation::Empty | Confirmation::Missing, None) => Confirmation::Missing,
            (Confirmation::Empty | Confirmation::Missing, Some(said)) => {
                let is_right = said.trim_end() == format!("{:08x}", self.checksum.sum());
                if is_right { Confirmation::Confirmed } else { Confirmation::Refuted }
            }
            _ => Confirmation::Exceeded,
        };
        self.checksum.update(line.as_bytes());
    }

    fn take(&mut self, line: &str) -> Result<()> {
        if let Some(piece) = line.strip_prefix(REPORT) {
            self.json.push_str(piece);
        } else if let Some(runs) = line.strip_prefix(RUNS) {
            self.runs.extend(runs.split_whitespace().map(str::to_owned));
        } else if let Some(text) = line.strip_prefix(OPENING) {
            self.openings = Some(of_our_digits(text)?);
        } else if let Some(text) = line.strip_prefix(SEND_DELAY) {
            self.send_delays = Some(of_our_digits(text)?);
        } else if let Some(text) = line.strip_prefix(LOOK_DELAY) {
            self.look_delays = Some(of_our_digits(text)?);
        } else if !line.starts_with('#') && !line.starts_with('"') && !line.starts_with("Tag=") {
            self.take_interval(line)?;
        }
        Ok(())
    }

    /// Parses a line `start,length,max,histogram`.
    fn take_interval(&mut self, line: &str) -> Result<()> {
        let fields: Vec<&str> = line.splitn(4, ',').collect();
        let [at, _, _, text] = fields[..] else {
            bail!("it is not a line of a histogram log, or was cut");
        };
        let at: f64 = at.parse().context("it does not begin with a number of seconds")?;
        ensure!((0.0..SECONDS_MAX as f64).contains(&at), "it is at {at} s, which no run lasts");
        let times = encoding::decode(text)?;
        let index = at as usize;
        if self.seconds.len() <= index {
            self.seconds.resize_with(index + 1, Sparse::default);
        }
        self.seconds[index].add_times(&times);
        self.latencies = self.latencies.saturating_add(times.len());
        Ok(())
    }

    fn finish(self) -> Result<Saved> {
        ensure!(
            self.confirmation != Confirmation::Empty,
            "it is empty: `ringway-loadtest --save` writes a complete file, or none"
        );
        ensure!(
            self.confirmation != Confirmation::Exceeded,
            "it goes on after its checksum: files were joined, or one was appended to; give `merge` \
             each file as --save wrote it"
        );
        ensure!(
            !self.json.is_empty(),
            "there is no report in it: it was not written by `ringway-loadtest --save`"
        );
        // A file of a comparison or of another version has no report of a run.
        let report: Report = serde_json::from_str(&self.json).context(
            "its report cannot be read: it was cut, or is of another version, or of `compare`",
        )?;
        check(&report)?;
        ensure!(
            report.latency_us.count == self.latencies,
            "it was cut or changed: {} latencies are in it, of {}",
            self.latencies,
            report.latency_us.count
        );
        ensure!(
            !self.runs.is_empty() && self.runs.iter().all(|run| is_run(run)),
            "it was cut or changed: it does not name the runs that are in it, by which none is \
             added twice"
        );
        ensure!(
            self.confirmation != Confirmation::Missing,
            "it has no checksum in its last line: its end was cut, or a version of this program \
             without checksums wrote it; save the run again"
        );
        ensure!(
            self.confirmation == Confirmation::Confirmed,
            "it was changed: its bytes do not have the checksum in its last line; merge the files as \
             --save wrote them"
        );
        let missing = "it was cut: histograms of the tester are missing";
        Ok(Saved {
            runs: self.runs,
            report,
            seconds: self.seconds,
            openings: self.openings.context(missing)?,
            send_delays: self.send_delays.context(missing)?,
            look_delays: self.look_delays.context(missing)?,
        })
    }
}

/// Whether this is a run's name: its start and its process ID, in hexadecimal digits.
fn is_run(name: &str) -> bool {
    let is_number = |part: &str| {
        (1..=32).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    name.split_once('-').is_some_and(|(at, process)| is_number(at) && is_number(process))
}

/// Decodes a histogram, and checks that it has the bounds of ours.
fn of_our_digits(text: &str) -> Result<Times> {
    let mut own = times(LATENCY_DIGITS);
    add(&mut own, &encoding::decode(text)?);
    Ok(own)
}

/// Checks that numbers which are added later cannot overflow their types.
fn check(report: &Report) -> Result<()> {
    let Ledger { sent, received, lost, doubled, reordered, corrupted } = report.ledger;
    let points = report.timeline.iter().flat_map(|at| [at.sent, at.received, at.errors]);
    let counts = [sent, received, lost, doubled, reordered, corrupted, report.latency_us.count];
    let all = counts.into_iter().chain(points).chain(report.errors.values().copied());
    for count in all {
        ensure!(count <= COUNT_MAX, "its report counts {count}, which no machine does");
    }
    let seconds = [report.started_at_unix_s, report.elapsed_s];
    let spans = report.timeline.iter().flat_map(|at| [at.at_s, at.length_s]);
    for second in seconds.into_iter().chain(spans) {
        ensure!((0.0..1e11).contains(&second), "its report has a time of {second} s");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(log: &str) -> String {
        format!("{:#}", parse(log.as_bytes()).unwrap_err())
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        assert!(said("").contains("--save"));
        assert!(said("#[StartTime: 1.0 (seconds since epoch)]\n").contains("--save"));
        assert!(said("").contains("empty"));
        assert!(said("root:x:0:0\n").contains("line 1"));
        assert!(said("#[ringway-loadtest] {\"mode\": \"compare\"}\n").contains("compare"));
        assert!(said("1e9,1.0,1.0,HIST\n").contains("no run lasts"));
        assert!(said("nan,1.0,1.0,HIST\n").contains("no run lasts"));
        assert!(said("0.0,1.0,1.0,HISTFAAA\n").contains("line 1"));
        let binary = parse(&b"\xff\xfe\0\n"[..]).unwrap_err();
        assert!(format!("{binary:#}").contains("not text"));
        let missing = load(Path::new("/nowhere/at/all.hdr")).unwrap_err();
        assert!(format!("{missing:#}").contains("/nowhere/at/all.hdr"));
        assert!(format!("{:#}", load(Path::new("/")).unwrap_err()).contains("no file"));
    }
}
