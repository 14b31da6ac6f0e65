//! A run as a histogram log: `--save` writes it, and `merge` and other tools read it.
//!
//! Latencies are lines of an ordinary log, one per second. Other data are in comments, which other
//! tools skip: the report, and the histograms that are not latencies.

pub mod read;
pub mod write;

use std::{process, time::Duration};

use crate::{
    measure::{
        quantiles::{LATENCY_DIGITS, Times, times},
        sparse::Sparse,
        timeline::Seen,
    },
    report::Report,
};

/// Starts a comment with a piece of the report.
const REPORT: &str = "#[ringway-loadtest] ";

/// Starts a comment with the names of the runs in a log.
const RUNS: &str = "#[ringway-loadtest:runs] ";

/// Each starts a comment with a histogram.
const OPENING: &str = "#[ringway-loadtest:opening] ";
const SEND_DELAY: &str = "#[ringway-loadtest:send_delay] ";
const LOOK_DELAY: &str = "#[ringway-loadtest:look_delay] ";

/// Starts the last line of a log: the CRC-32 of all bytes before it, in hexadecimal digits. That is
/// the checksum of gzip (RFC 1952 §8). It detects accidents, but not intent: a checksum can be changed, too.
const CHECKSUM: &str = "#[ringway-loadtest:crc32] ";

/// The tag of handshake times, if only they were measured.
const OPENING_TAG: &str = "opening";

/// The time that a line covers.
const LINE_TIME: Duration = Duration::from_secs(1);

/// The longest run: a week.
const SECONDS_MAX: usize = 7 * 86_400;

/// A run, or several that were merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// Names of the runs in it, so that none is added twice.
    pub runs: Vec<String>,
    /// Their report.
    pub report: Report,
    /// Latencies for each second since the report's start.
    pub seconds: Vec<Sparse>,
    /// Handshake times.
    pub openings: Times,
    /// The tester's own delays in sending.
    pub send_delays: Times,
    /// The tester's own delays in reading.
    pub look_delays: Times,
}

impl Saved {
    /// A run of this process; `opening` has what was counted while connections were opened.
    pub fn of(report: &Report, opening: Option<&Seen>, seen: &Seen) -> Self {
        let started_ns = (report.started_at_unix_s * 1e9) as u128;
        let mut seconds: Vec<Sparse> = Vec::new();
        for (at, moment) in &seen.moments {
            let index = (at.as_nanos() / LINE_TIME.as_nanos()) as usize;
            if seconds.len() <= index {
                seconds.resize_with(index + 1, Sparse::default);
            }
            seconds[index].add(&moment.exact);
        }
        let mut openings = seen.openings.clone();
        if let Some(opening) = opening {
            openings.add(&opening.openings).expect("all histograms have the same bounds");
        }
        Self {
            runs: vec![format!("{started_ns:x}-{:x}", process::id())],
            report: report.clone(),
            seconds,
            openings,
            send_delays: seen.send_delays.clone(),
            look_delays: seen.look_delays.clone(),
        }
    }

    /// All latencies.
    pub fn latencies(&self) -> Times {
        let mut all = times(LATENCY_DIGITS);
        self.seconds.iter().for_each(|second| second.add_to(&mut all));
        all
    }
}
