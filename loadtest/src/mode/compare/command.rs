//! The command `compare`, from its arguments to its exit status.

use std::{
    collections::HashSet,
    fs,
    io::{IsTerminal, stderr},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use indicatif::ProgressBar;

use super::{
    conclude::{Asked, Conclusion},
    pool::Pool,
    rounds::{self, ComparisonTarget, Plan, Standby},
    slot::Opened,
    table,
    tester::Tester,
};
use crate::{
    args::{CompareArgs, MessageArgs, Named, RateArg, WorkloadArg},
    engine::signal,
    exit::{Status, require},
    mode::echo,
    output::{self, html},
    saved::write::{self, Line, Log},
};

/// The name of the second measurement of the base.
const CONTROL: &str = "control";

/// Runs the command.
///
/// # Errors
/// Nothing can be measured; the error says what is wrong and how to fix it.
pub fn run(args: &CompareArgs) -> Result<Status> {
    check(args)?;
    signal::watch()?;
    let started_at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let deadline = args.time_max.map(|time| Instant::now() + time);
    let (mut targets, mut testers) = (Vec::new(), Vec::new());
    for url in &args.url {
        targets.push(open(args, url, &url.name, deadline, &mut testers)?);
    }
    if args.control {
        targets.push(control(args, &targets[0], deadline, &mut testers)?);
    }
    let progress = RoundsProgress::new(args);
    let mut plan = Plan {
        rounds: args.rounds as usize,
        warm_up: args.warm_up as usize,
        rounds_max: args.rounds_max.unwrap_or(2 * args.rounds).max(args.rounds) as usize,
        deadline,
        slot: args.slot,
        drain: args.drain,
        rate: args.rate_asked(),
        waiting_max: args.calm / 100.0,
    };
    let saturated_rate = match args.rate {
        Some(RateArg::Half) => Some(rounds::saturated_rate(&mut targets, &mut testers, &plan)?),
        _ => None,
    };
    if let Some(rate) = saturated_rate {
        // All subscribers receive each event of a fan-out.
        let each = match args.mode {
            WorkloadArg::Fanout => targets[0].opened.connections.max(1) as f64,
            WorkloadArg::Echo | WorkloadArg::Churn => 1.0,
        };
        plan.rate = Some(rate / each / 2.0);
    }
    let rounds = rounds::run(&mut targets, &mut testers, &plan, |calm| progress.show(calm));
    progress.finish();
    for tester in testers.iter_mut().flatten() {
        tester.end();
    }
    let counted = rounds.count(&mut targets, args.rounds as usize)?;
    let lines = args.save.iter().flat_map(|_| targets.iter().map(line)).collect();
    let conclusion = Conclusion {
        args,
        started_at,
        testers: &testers,
        counted: &counted,
        cut: rounds.cut,
        asked: Asked { rate: plan.rate, saturated_rate },
    };
    let comparison = conclusion.comparison(targets);
    let shown = output::write(&comparison, || table::render(&comparison), args.json.as_deref());
    if let Some(path) = &args.html {
        fs::write(path, html::comparison::render(&comparison))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &args.save {
        let comments = write::report_comments(&serde_json::to_string(&comparison)?);
        write::write(&Log { comments, started_at, lines }, path)?;
    }
    shown?;
    Ok(Status::of_comparison(&comparison))
}

/// All latencies of a target, with its name as the tag.
fn line(target: &ComparisonTarget) -> Line {
    Line {
        tag: Some(target.name.clone()),
        at: Duration::ZERO,
        length: target.pool.elapsed,
        times: target.pool.seen.latencies.clone(),
    }
}

fn check(args: &CompareArgs) -> Result<()> {
    let count = args.url.len() + usize::from(args.control);
    require(count >= 2, || {
        "nothing to compare the server with: give another --url, or --control".to_owned()
    })?;
    let mut names = HashSet::new();
    for Named { name, .. } in &args.url {
        require(names.insert(name), || format!("two servers are named {name}"))?;
        require(name != CONTROL || !args.control, || {
            format!(
                "`{CONTROL}` is the second measurement of the first server; choose another \
                 name for the server"
            )
        })?;
    }
    for (option, name) in args.names() {
        require(names.iter().any(|known| *known == name), || {
            format!("{option} names {name}, but no --url has that name")
        })?;
    }
    let size_min = args.size_min();
    require(args.message.size >= size_min, || {
        format!(
            "--size {} is too small: a message carries its connection, number and time, \
             {size_min} bytes",
            args.message.size
        )
    })?;
    match args.mode {
        // Checked here so that the error is reported once, and not by each server's tester.
        WorkloadArg::Echo => {
            let plan = |url: &Named| echo::command::echo_plan(&args.echo(&url.name, "").traffic);
            args.url.iter().try_for_each(|url| plan(url).map(drop))
        }
        WorkloadArg::Fanout => require(args.message.message.is_none(), || {
            "--message applies only to echo messages: with --mode fanout, set the message for each \
             server with --publish-message NAME=TEMPLATE"
                .to_owned()
        }),
        WorkloadArg::Churn => {
            let MessageArgs { text, message, pipeline, deflate, .. } = &args.message;
            require(!text && message.is_none() && *pipeline == 1 && !deflate, || {
                "with --mode churn, each connection has one binary message of --size echoed: leave out \
                 --text, --message, --pipeline and --deflate"
                    .to_owned()
            })
        }
    }?;
    require(args.mode == WorkloadArg::Fanout || args.echo_url.is_empty(), || {
        "--echo-url is only for --mode fanout".to_owned()
    })?;
    let has_stamps = args.mode != WorkloadArg::Echo || args.rate.is_some();
    require(!(has_stamps && args.message.unstamped), || {
        "--unstamped is for echoes in a closed loop: without stamps there are no latencies, which are \
         what a --rate is for"
            .to_owned()
    })
}

/// The base measured again. What is published or addressed to a client also reaches the connections
/// of a second tester, so there the control is a second slot of the base's own tester.
fn control(
    args: &CompareArgs,
    base: &ComparisonTarget,
    deadline: Option<Instant>,
    testers: &mut Vec<Standby>,
) -> Result<ComparisonTarget> {
    let base_url = &args.url[0];
    let is_alone = match args.mode {
        WorkloadArg::Churn => true,
        WorkloadArg::Fanout => false,
        WorkloadArg::Echo => {
            echo::command::echo_plan(&args.echo(&base_url.name, "").traffic)?.addressed().is_none()
        }
    };
    match is_alone {
        true => open(args, base_url, CONTROL, deadline, testers),
        false => Ok(ComparisonTarget {
            name: CONTROL.to_owned(),
            url: base.url.clone(),
            pids: base.pids.clone(),
            tester: base.tester,
            opened: base.opened.clone(),
            pool: Pool::default(),
        }),
    }
}

/// Starts the tester of one server, and waits until it is ready; failures are recorded.
fn open(
    args: &CompareArgs,
    url: &Named,
    name: &str,
    deadline: Option<Instant>,
    testers: &mut Vec<Standby>,
) -> Result<ComparisonTarget> {
    if !args.quiet {
        eprintln!("opening {} connections to {name}", args.connections);
    }
    // The control's tester gets the base's name.
    let mut tester = Tester::start(&url.name)?;
    let ready = tester.await_ready(deadline).map_err(|error| format!("{error:#}"));
    let opened = ready.clone().unwrap_or_default();
    testers.push(ready.map(|_: Opened| tester));
    Ok(ComparisonTarget {
        name: name.to_owned(),
        url: url.value.clone(),
        pids: args.pid.iter().filter(|pid| pid.name == url.name).map(|pid| pid.value).collect(),
        tester: testers.len() - 1,
        opened,
        pool: Pool::default(),
    })
}

/// Progress in rounds.
struct RoundsProgress {
    bar: Option<ProgressBar>,
    rounds: u32,
    is_quiet: bool,
}

impl RoundsProgress {
    fn new(args: &CompareArgs) -> Self {
        let has_bar = !args.quiet && stderr().is_terminal();
        let bar = has_bar.then(|| ProgressBar::new(u64::from(args.rounds)));
        Self { bar, rounds: args.rounds, is_quiet: args.quiet }
    }

    fn show(&self, counted: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(counted as u64),
            // One line per tenth.
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
