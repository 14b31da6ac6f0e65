//! The command `storm`, from its arguments to its exit status.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::{Drop, Round, Storm, StormPlan, Turns, missed::Missed};
use crate::{
    args::storm::{HowArg, StormArgs},
    engine::{coordinator::Coordinator, plan::Cut},
    exit::{Status, require, usage},
    measure::{ledger::Ledger, run::Run},
    mode::ready,
    output::{
        self,
        progress::{Goal, Loudness, RunProgress},
    },
    prepare,
    report::{self, Report},
    verdict,
    wire::{handshake::Approach, message::Form, target::Target},
};

/// Runs the command.
///
/// # Errors
/// Nothing can be measured; the error says what is wrong and how to fix it.
pub fn run(args: &StormArgs) -> Result<Status> {
    let common = &args.common;
    require(args.expect.as_deref() != Some(""), || {
        "--expect is empty: give a text to look for".to_owned()
    })?;
    require(!args.storm_timeout.is_zero(), || "--storm-timeout must be longer than 0".to_owned())?;
    let storm = StormPlan {
        drop: match args.how {
            HowArg::Cut | HowArg::Reset => Drop::Cut,
            HowArg::Close => Drop::Close,
        },
        turns: if args.hold.is_zero() { Turns::Storms } else { Turns::HoldsAndStorms },
        away: args.away,
        return_within: args.return_within,
        expected: args.expect.as_ref().map(|text| text.as_bytes().to_vec()),
        expected_within: common.connect.handshake_timeout,
        timeout: args.storm_timeout,
        cursor: args.cursor.clone(),
    };
    let missed = missed(args)?;
    let mut plan = prepare::plan(common, Form::Plain, 0, args.storm_timeout)?;
    // The drain is the time for all connections to return.
    plan.drain_time_max = args.storm_timeout;
    plan.cursor = args.cursor.clone();
    plan.cut = if args.how == HowArg::Reset { Cut::Reset } else { Cut::Fin };
    let heading = prepare::heading("storm", &plan, None);
    let goal = Goal::Resumed(u64::from(plan.connections));
    let mut progress = RunProgress::towards(goal, Loudness::of(&common.output));
    let mut coordinator = Coordinator::start(plan, move |share, plan| {
        Storm::new(storm.clone(), share.index, plan.share(share.index).1, plan.seed)
    })?;
    let mut opening = ready::await_connections(&mut coordinator, &mut progress)?;
    let mut whole: Option<Run<Round>> = None;
    let (mut rounds, mut with_cursor, mut published) = (Vec::new(), 0, Duration::ZERO);
    for _ in 0..args.rounds {
        if !args.hold.is_zero() {
            let held = coordinator.measure(args.hold, &mut progress)?;
            for (reason, count) in held.seen.errors {
                *opening.errors.entry(reason).or_default() += count;
            }
        }
        let publishing = missed.as_ref().map(Missed::begin).transpose()?;
        let mut run = coordinator.measure(Duration::ZERO, &mut progress)?;
        if let Some(publishing) = publishing {
            let took =
                publishing.join().map_err(|_| anyhow!("the publishing thread panicked"))??;
            published = published.max(took);
        }
        let mut round = Round::default();
        run.outcomes.drain(..).for_each(|one| round.add(one));
        with_cursor += round.with_cursor;
        rounds.push(round.figures());
        let is_over = run.interrupted.is_some();
        match &mut whole {
            Some(whole) => whole.append(run),
            None => whole = Some(run),
        }
        if is_over {
            break;
        }
    }
    progress.finish();
    let run = whole.expect("at least one round");
    let mut report = verdict::report(&heading, &opening, &run, Ledger::default());
    describe(&mut report, rounds);
    if missed.is_some() {
        report.detail("missed_published_ms", 1e3 * published.as_secs_f64());
        if published > args.away {
            report.warnings.push(format!(
                "missed_late: the missed events were published after {:.0} ms, when connections were \
                 already returning; use a longer --away",
                1e3 * published.as_secs_f64()
            ));
        }
    }
    if let Some(name) = &args.cursor {
        report.detail("connections_returned_with_cursor", with_cursor as f64);
        if with_cursor == 0 {
            report.warnings.push(format!(
                "no_cursor: no message had a string field `{name}`, so connections returned \
                 without a cursor"
            ));
        }
    }
    output::finish(&report, Some(&opening), &run.seen, &common.output)?;
    coordinator.end();
    Ok(Status::of(&report))
}

/// What connections are to miss while they are away.
fn missed(args: &StormArgs) -> Result<Option<Missed>> {
    let (Some(events), Some(url)) = (args.missed, &args.publish_url) else { return Ok(None) };
    require(url.starts_with("http:") && !args.away.is_zero(), || {
        "--missed needs an http: --publish-url and an --away longer than 0".to_owned()
    })?;
    let target = Target::parse(url).context("--publish-url").map_err(usage)?;
    Ok(Some(Missed {
        approach: Approach::new(target, Form::Plain).with_requests(),
        content_type: args.content_type.clone(),
        body: args.publish_message.clone(),
        events,
        after: args.away / 2,
    }))
}

fn describe(report: &mut Report, rounds: Vec<report::Storm>) {
    let sum = |of: fn(&report::Storm) -> u64| rounds.iter().map(of).sum::<u64>() as f64;
    report.detail("storms", rounds.len() as f64);
    report.detail("connections_dropped", sum(|storm| storm.dropped));
    report.detail("connections_resumed", sum(|storm| storm.resumed));
    report.detail("connections_never_resumed", sum(|storm| storm.dropped - storm.resumed));
    report.detail("tries_failed", sum(|storm| storm.tries_failed));
    // A storm in which some connections never resumed counts as slower than any in which all did.
    let slowness =
        |storm: &&report::Storm| (storm.dropped - storm.resumed, storm.back_100_ms.unwrap_or(0.0));
    let slowest = rounds
        .iter()
        .max_by(|a, b| slowness(a).partial_cmp(&slowness(b)).expect("times are numbers"));
    if let Some(slowest) = slowest {
        for (name, time) in [
            ("begun_100_ms", slowest.begun_100_ms),
            ("back_50_ms", slowest.back_50_ms),
            ("back_90_ms", slowest.back_90_ms),
            ("back_99_ms", slowest.back_99_ms),
            ("back_100_ms", slowest.back_100_ms),
        ] {
            if let Some(time) = time {
                report.detail(name, time);
            }
        }
    }
    if let Some(cpu) = report.server_cpu_ns_per_message {
        report.detail("server_cpu_ns_per_connection", cpu);
    }
    report.storms = rounds;
}
