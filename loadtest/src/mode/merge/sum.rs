//! The sum of several runs.
//!
//! It never reads a file. Figures that cannot be added, such as the time until the last of all
//! connections returned, are left out, and a warning says so.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::{
    measure::{
        ledger::Ledger,
        quantiles::{LATENCY_DIGITS, Quantiles, curve, times},
        sparse::Sparse,
    },
    report::{Point, Report, Tester, timeline},
    saved::Saved,
};

/// Runs did not begin together if their starts are further apart than this share of the longest.
const APART_MAX: f64 = 0.05;

/// Runs that began further apart than this are unrelated: a day.
const APART_S_MAX: f64 = 86_400.0;

/// The most points of a timeline.
const POINTS_MAX: f64 = 86_400.0;

/// The sum of the runs, which begins with the earliest of them.
///
/// # Errors
/// There are no runs, or they cannot have been parts of one.
pub fn merge(parts: &[Saved], command: Vec<String>) -> Result<Saved> {
    ensure!(!parts.is_empty(), "there is nothing to merge");
    let starts = || parts.iter().map(|part| part.report.started_at_unix_s);
    let start = starts().fold(f64::INFINITY, f64::min);
    let apart = starts().fold(0.0, f64::max) - start;
    ensure!(
        apart <= APART_S_MAX,
        "the runs began {:.1} days apart: they are not one run",
        apart / APART_S_MAX
    );
    let mut merged = Saved {
        runs: parts.iter().flat_map(|part| part.runs.clone()).collect(),
        report: parts[0].report.clone(),
        seconds: Vec::new(),
        openings: times(LATENCY_DIGITS),
        send_delays: times(LATENCY_DIGITS),
        look_delays: times(LATENCY_DIGITS),
    };
    for part in parts {
        let shift = part.report.started_at_unix_s - start;
        for (index, second) in part.seconds.iter().enumerate() {
            let index = (index as f64 + shift).round() as usize;
            if merged.seconds.len() <= index {
                merged.seconds.resize_with(index + 1, Sparse::default);
            }
            merged.seconds[index].add(second);
        }
        for (sum, more) in [
            (&mut merged.openings, &part.openings),
            (&mut merged.send_delays, &part.send_delays),
            (&mut merged.look_delays, &part.look_delays),
        ] {
            sum.add(more)?;
        }
    }
    merged.report = report(parts, &merged, start, apart)?;
    merged.report.command = command;
    Ok(merged)
}

fn report(parts: &[Saved], merged: &Saved, start: f64, apart: f64) -> Result<Report> {
    let reports = || parts.iter().map(|part| &part.report);
    let sum = |value: fn(&Report) -> f64| reports().map(value).sum::<f64>();
    let most = |value: fn(&Report) -> f64| reports().map(value).fold(0.0, f64::max);
    let count = |value: fn(&Report) -> u32| {
        let all: u64 = reports().map(|report| u64::from(value(report))).sum();
        u32::try_from(all).unwrap_or(u32::MAX)
    };
    let received = sum(received).max(1.0);
    let mut errors: BTreeMap<String, u64> = BTreeMap::new();
    for (reason, count) in reports().flat_map(|report| &report.errors) {
        *errors.entry(reason.clone()).or_default() += count;
    }
    // All of them saw the same server, each for the whole time.
    let server_cpu = |report: &Report| {
        report.server_cpu_ns_per_message.map(|each| each * self::received(report).max(1.0))
    };
    let server_cpu = reports().filter_map(server_cpu).reduce(f64::max);
    let latencies = merged.latencies();
    let mut report = Report {
        started_at_unix_s: start,
        connections: count(|report| report.connections),
        connections_open: count(|report| report.connections_open),
        elapsed_s: most(|report| report.elapsed_s),
        rate_asked: reports().map(|report| report.rate_asked).sum(),
        rate_sent: sum(|report| report.rate_sent),
        rate: sum(|report| report.rate),
        bytes_per_s: sum(|report| report.bytes_per_s),
        latency_us: Quantiles::of(&latencies),
        opening_us: Quantiles::of(&merged.openings),
        ledger: Ledger::sum(reports().map(|report| &report.ledger)),
        errors,
        server_cpu_ns_per_message: server_cpu.map(|cpu| cpu / received),
        affected_above: reports().filter_map(|report| report.affected_above).reduce(f64::min),
        server_busy: reports().filter_map(|report| report.server_busy).reduce(f64::max),
        tester: tester(parts, merged, received),
        details: shared_details(parts),
        percentiles: curve(&latencies),
        timeline: timeline(parts, merged, start)?,
        server_threads: Vec::new(),
        storms: Vec::new(),
        ..parts[0].report.clone()
    };
    remark(parts, &mut report, apart);
    Ok(report)
}

/// Messages received, or connections opened in modes that count those.
fn received(report: &Report) -> f64 {
    report.rate * report.elapsed_s
}

fn tester(parts: &[Saved], merged: &Saved, received: f64) -> Tester {
    let testers = || parts.iter().map(|part| &part.report.tester);
    let mut engines: Vec<&str> = testers().map(|tester| &tester.engine[..]).collect();
    engines.sort_unstable();
    engines.dedup();
    let cpu = parts
        .iter()
        .map(|part| part.report.tester.cpu_ns_per_message * self::received(&part.report).max(1.0));
    Tester {
        send_delay_us: Quantiles::of(&merged.send_delays),
        look_delay_us: Quantiles::of(&merged.look_delays),
        busy: testers().map(|tester| tester.busy).fold(0.0, f64::max),
        waited: testers().map(|tester| tester.waited).fold(0.0, f64::max),
        preempted: testers().fold(0, |sum, tester| tester.preempted.saturating_add(sum)),
        stolen: testers().map(|tester| tester.stolen).fold(0.0, f64::max),
        occupied: testers().map(|tester| tester.occupied).fold(0.0, f64::max),
        cpu_ns_per_message: cpu.sum::<f64>() / received,
        threads: testers().fold(0, |sum, tester| tester.threads.saturating_add(sum)),
        engine: engines.join("+"),
    }
}

/// The sums of counts, the values that are equal in all parts, and the number of processes: other
/// numbers cannot be added without knowing their meaning.
fn shared_details(parts: &[Saved]) -> BTreeMap<String, f64> {
    let mut details = parts[0].report.details.clone();
    let is_shared = |name: &str, value: f64| {
        parts.iter().all(|part| part.report.details.get(name) == Some(&value))
    };
    details.retain(|name, value| name != PROCESSES && is_shared(name, *value));
    for name in COUNTS {
        let counts = parts.iter().map(|part| part.report.details.get(name).copied());
        if let Some(sum) = counts.sum::<Option<f64>>() {
            details.insert(name.to_owned(), sum);
        }
    }
    let processes = parts.iter().map(|part| part.report.details.get(PROCESSES).unwrap_or(&1.0));
    details.insert(PROCESSES.to_owned(), processes.sum());
    details
}

const PROCESSES: &str = "processes";

/// Counts of connections and of their messages: each process has its own.
const COUNTS: [&str; 12] = [
    "connections_begun",
    "connections_completed",
    "connections_dropped",
    "connections_lost",
    "connections_never_resumed",
    "connections_opened",
    "connections_per_s",
    "connections_resumed",
    "connections_returned_with_cursor",
    "connections_that_waited_for_another",
    "messages_unasked",
    "tries_failed",
];

fn timeline(parts: &[Saved], merged: &Saved, start: f64) -> Result<Vec<Point>> {
    let shift = |part: &Saved| part.report.started_at_unix_s - start;
    let points = || {
        parts.iter().flat_map(|part| part.report.timeline.iter().map(move |at| (shift(part), at)))
    };
    let end = |(shift, point): (f64, &Point)| shift + point.at_s + point.length_s;
    let elapsed_s = points().map(end).fold(0.0, f64::max);
    let sending = points().filter(|(_, point)| !point.is_after_sending);
    let sending_s = sending.map(end).fold(0.0, f64::max);
    let firsts = parts.iter().filter_map(|part| part.report.timeline.first());
    // The last point of a run may be longer than the others, and the first may be the last.
    let length_s = firsts.map(|first| first.length_s.floor()).fold(1.0, f64::max);
    ensure!(elapsed_s / length_s <= POINTS_MAX, "a timeline is longer than a day");
    let mut sum = timeline::cut(sending_s, elapsed_s, length_s);
    for (shift, point) in points() {
        spread(&mut sum, shift, point);
    }
    let mut latencies: Vec<Sparse> = Vec::new();
    latencies.resize_with(sum.len(), Sparse::default);
    for (second, part) in merged.seconds.iter().enumerate() {
        if let Some(sum) = latencies.get_mut(timeline::index_at(&sum, second as f64)) {
            sum.add(part);
        }
    }
    let with_latencies = sum.into_iter().zip(latencies);
    Ok(with_latencies.map(|(point, sum)| point.with_latencies(&sum.to_times())).collect())
}

/// Adds a point of one run to those of the sum, in proportion to its overlap with each of them.
fn spread(sum: &mut [Point], shift: f64, point: &Point) {
    let (start_s, end_s) = (shift + point.at_s, shift + point.at_s + point.length_s);
    let (first, last) = (timeline::index_at(sum, start_s), timeline::index_at(sum, end_s));
    let mut before = [0; 3];
    for index in first..=last {
        let Some(cell) = sum.get_mut(index) else { return };
        let until_s = if index == last { end_s } else { cell.at_s + cell.length_s };
        let share = ((until_s - start_s) / point.length_s.max(1e-9)).clamp(0.0, 1.0);
        let is_last = index == last;
        // Cumulative, so that rounding loses nothing.
        let until = [point.sent, point.received, point.errors]
            .map(|count| if is_last { count } else { (count as f64 * share).round() as u64 });
        cell.sent += until[0].saturating_sub(before[0]);
        cell.received += until[1].saturating_sub(before[1]);
        cell.errors += until[2].saturating_sub(before[2]);
        before = until;
    }
}

/// Combines the warnings of the parts, and adds one if they may not have been one run.
fn remark(parts: &[Saved], report: &mut Report, apart: f64) {
    report.valid = parts.iter().all(|part| part.report.valid);
    let name = |index: usize, why: &String| format!("part {}: {why}", index + 1);
    let of_each = |of: fn(&Report) -> &Vec<String>| -> Vec<String> {
        let parts = parts.iter().enumerate();
        parts
            .flat_map(|(index, part)| of(&part.report).iter().map(move |why| name(index, why)))
            .collect()
    };
    report.invalid_because = of_each(|report| &report.invalid_because);
    report.warnings = of_each(|report| &report.warnings);
    let shortest = parts.iter().map(|part| part.report.elapsed_s).fold(f64::INFINITY, f64::min);
    if apart >= shortest {
        report.invalidate(format!(
            "not_together: the runs began {apart:.1} s apart, and one was over by then; use \
             --start-at"
        ));
    } else if apart > APART_MAX * report.elapsed_s {
        report.warnings.push(format!(
            "the runs began {apart:.1} s apart, and rates are added as if they had not; use \
             --start-at"
        ));
    }
    let is_left_out = |part: &Saved| {
        let details = part.report.details.iter();
        !part.report.storms.is_empty()
            || details.filter(|(name, _)| *name != PROCESSES).count() > report.details.len() - 1
    };
    if parts.iter().any(is_left_out) {
        report.warnings.push("what cannot be added was left out".to_owned());
    }
}
