//! The command `compare`, from its arguments to its exit status.

use std::{
    collections::HashSet,
    io::{IsTerminal, stderr},
    time::{Duration, SystemTime},
};

use anyhow::Result;
use indicatif::ProgressBar;

use super::{
    rounds::{self, Contestant, Plan, Pool},
    slot::Opened,
    standing::Comparison,
    table,
    tester::Tester,
};
use crate::{
    args::{CompareArgs, Named},
    engine::signal,
    exit::{Status, require},
    output,
    saved::write::{self, Line, Log},
};

/// What the second measurement of the base is called.
const CONTROL: &str = "control";

/// Runs it.
///
/// # Errors
/// Nothing can be measured: what is wrong and how to mend it.
pub fn run(args: &CompareArgs) -> Result<Status> {
    check(args)?;
    signal::watch()?;
    let started_at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut contestants = Vec::new();
    for url in &args.url {
        contestants.push(open(args, url, &url.name)?);
    }
    if args.control {
        contestants.push(open(args, &args.url[0], CONTROL)?);
    }
    let progress = Progress::new(args);
    let plan = Plan {
        rounds: args.rounds as usize,
        warm_up: args.warm_up as usize,
        rounds_max: args.rounds_max.unwrap_or(2 * args.rounds).max(args.rounds) as usize,
        slot: args.slot,
        drain: args.drain,
        waiting_max: args.calm / 100.0,
    };
    let rounds = rounds::run(&mut contestants, &plan, |counted| progress.show(counted));
    progress.finish();
    for tester in contestants.iter_mut().filter_map(|one| one.tester.as_mut().ok()) {
        tester.end();
    }
    let lines = args.save.iter().flat_map(|_| contestants.iter().map(line)).collect();
    let comparison = Comparison::new(args, started_at, contestants, &rounds);
    if let Some(path) = &args.save {
        let comments = write::report_comments(&serde_json::to_string(&comparison)?);
        write::write(&Log { comments, started_at, lines }, path)?;
    }
    output::write(&comparison, || table::render(&comparison), args.json.as_deref())?;
    Ok(comparison.status())
}

/// All latencies of a contestant, under its name.
fn line(contestant: &Contestant) -> Line {
    Line {
        tag: Some(contestant.name.clone()),
        at: Duration::ZERO,
        length: contestant.pool.elapsed,
        times: contestant.pool.seen.latencies.clone(),
    }
}

fn check(args: &CompareArgs) -> Result<()> {
    let count = args.url.len() + usize::from(args.control);
    require(count >= 2, || {
        "one server is compared with nothing: name another --url, or --control".to_owned()
    })?;
    let mut names = HashSet::new();
    for Named { name, .. } in &args.url {
        require(names.insert(name), || format!("two servers are named {name}"))?;
        require(name != CONTROL || !args.control, || {
            format!("`{CONTROL}` is the base's second measurement; name the server another")
        })?;
    }
    for Named { name, .. } in &args.pid {
        require(names.contains(name), || format!("--pid is of {name}, and no --url is named so"))?;
    }
    let size_min = args.content().bytes_min();
    require(args.size >= size_min, || {
        format!(
            "--size {} is too small: a message carries its connection, number and time, \
             {size_min} bytes",
            args.size
        )
    })
}

/// Starts the tester of one server, and waits until it is ready; one that fails is remembered.
fn open(args: &CompareArgs, url: &Named, name: &str) -> Result<Contestant> {
    if !args.quiet {
        eprintln!("opening {} connections to {name}", args.connections);
    }
    // The control's tester is told the base's name.
    let mut tester = Tester::start(&url.name)?;
    let (tester, opened) = match tester.await_ready() {
        Ok(opened) => (Ok(tester), opened),
        Err(error) => (Err(format!("{error:#}")), Opened::default()),
    };
    Ok(Contestant {
        name: name.to_owned(),
        url: url.value.clone(),
        pids: args.pid.iter().filter(|pid| pid.name == url.name).map(|pid| pid.value).collect(),
        tester,
        opened,
        pool: Pool::default(),
    })
}

/// How many rounds there were.
struct Progress {
    bar: Option<ProgressBar>,
    rounds: u32,
    is_quiet: bool,
}

impl Progress {
    fn new(args: &CompareArgs) -> Self {
        let has_bar = !args.quiet && stderr().is_terminal();
        let bar = has_bar.then(|| ProgressBar::new(u64::from(args.rounds)));
        Self { bar, rounds: args.rounds, is_quiet: args.quiet }
    }

    fn show(&self, counted: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(counted as u64),
            // A line for each tenth.
            None if !self.is_quiet
                && counted.is_multiple_of((self.rounds as usize / 10).max(1)) =>
            {
                eprintln!("{counted} of {} rounds", self.rounds);
            }
            None => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
