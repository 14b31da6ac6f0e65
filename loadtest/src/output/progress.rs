//! The progress of a run: a bar with the current rate and p99 on a terminal, plain lines elsewhere.
//!
//! It uses standard error, so that results can be piped.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    args::OutputArgs,
    engine::coordinator::Observer,
    measure::{quantiles::micros, timeline::Seen},
    output::table::time,
};

/// The time between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Shows progress.
pub struct RunProgress {
    face: Face,
    goal: Goal,
    is_running: bool,
}

/// The goal of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// To send messages for this time.
    Running(Duration),
    /// To open and close connections for this time.
    Churning(Duration),
    /// To hold connections for this time, without sending.
    Holding(Duration),
    /// To wait until this many connections have resumed.
    Resumed(u64),
}

enum Face {
    Silent,
    Lines { next_at: Duration },
    Bar(ProgressBar),
}

/// How much to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// A bar or lines, depending on standard error.
    Usual,
    /// Nothing.
    Quiet,
}

impl Loudness {
    /// As the user asked.
    pub fn of(args: &OutputArgs) -> Self {
        if args.quiet { Self::Quiet } else { Self::Usual }
    }
}

impl RunProgress {
    /// The progress of a measurement of `duration`.
    pub fn new(duration: Duration, loudness: Loudness) -> Self {
        Self::towards(Goal::Running(duration), loudness)
    }

    /// The progress of measurements with this goal.
    pub fn towards(goal: Goal, loudness: Loudness) -> Self {
        let face = match loudness {
            Loudness::Quiet => Face::Silent,
            Loudness::Usual if stderr().is_terminal() => Face::Bar(ProgressBar::new(1)),
            Loudness::Usual => Face::Lines { next_at: Duration::ZERO },
        };
        if let Face::Bar(bar) = &face {
            let style = ProgressStyle::with_template("{prefix:8} {wide_bar} {msg}");
            bar.set_style(style.expect("the template is well-formed"));
        }
        Self { face, goal, is_running: false }
    }

    /// Prints a message that stays on the screen.
    pub fn say(&self, text: &str) {
        match &self.face {
            Face::Silent => {}
            Face::Lines { .. } => eprintln!("{text}"),
            Face::Bar(bar) => bar.println(text),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Face::Bar(bar) = &self.face {
            bar.finish_and_clear();
        }
    }
}

impl Observer for RunProgress {
    fn opening(&mut self, seen: &Seen, of: u32) {
        if matches!(self.goal, Goal::Churning(_)) {
            // Churn opens no connection before the measurement.
            return;
        }
        let errors: u64 = seen.errors.values().sum();
        let failed = if errors > 0 { format!(", {errors} failures") } else { String::new() };
        let text = format!("{} of {of} connections open{failed}", seen.opened);
        match &mut self.face {
            Face::Silent => {}
            Face::Bar(bar) => {
                bar.set_length(u64::from(of));
                bar.set_prefix("opening");
                bar.set_position(seen.opened);
                bar.set_message(text);
            }
            Face::Lines { next_at } => {
                let at = seen.moments.last_key_value().map_or(Duration::ZERO, |(at, _)| *at);
                if at >= *next_at {
                    *next_at = at + LINE_INTERVAL;
                    eprintln!("{text}");
                }
            }
        }
    }

    fn running(&mut self, seen: &Seen, elapsed: Duration) {
        if !self.is_running {
            self.is_running = true;
            if let Face::Lines { next_at } = &mut self.face {
                *next_at = LINE_INTERVAL;
            }
        }
        if matches!(self.face, Face::Silent) {
            return;
        }
        // Some threads may not have sent the latest interval.
        let mut latest = seen.moments.iter().rev();
        let (Some((next_at, _)), Some((at, moment))) = (latest.next(), latest.next()) else {
            return;
        };
        let length = *next_at - *at;
        let errors: u64 = seen.errors.values().sum();
        let failed = if errors > 0 { format!(", {errors} failures") } else { String::new() };
        let seconds = elapsed.as_secs_f64();
        let (text, position, length) = match self.goal {
            Goal::Running(goal) | Goal::Churning(goal) => {
                let rate = moment.received as f64 / length.as_secs_f64();
                let p99 = micros(moment.latencies.value_at_quantile(0.99));
                let (of, p99) = (goal.as_secs_f64(), time(p99));
                let what = match self.goal {
                    Goal::Churning(_) => "connections/s",
                    _ => "received/s",
                };
                let text = format!("{seconds:.1} of {of:.0} s, {rate:.0} {what}, p99 {p99}");
                (text, elapsed.as_millis() as u64, goal.as_millis() as u64)
            }
            Goal::Holding(goal) => {
                let of = goal.as_secs_f64();
                let text = format!("{seconds:.1} of {of:.0} s, {} lost", seen.ended);
                (text, elapsed.as_millis() as u64, goal.as_millis() as u64)
            }
            Goal::Resumed(of) => {
                let text = format!("{seconds:.1} s, {} of {of} have resumed", seen.received);
                (text, seen.received, of)
            }
        };
        let text = text + &failed;
        match &mut self.face {
            Face::Silent => {}
            Face::Bar(bar) => {
                bar.set_length(length);
                bar.set_prefix("running");
                bar.set_position(position);
                bar.set_message(text);
            }
            Face::Lines { next_at } => {
                if elapsed >= *next_at {
                    *next_at += LINE_INTERVAL;
                    eprintln!("{text}");
                }
            }
        }
    }
}
