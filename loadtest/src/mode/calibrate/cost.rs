//! `calibrate --echo-url`: what a message costs this tester, and what it costs the server, in each
//! case in which servers are compared.
//!
//! The cases are those of a comparison, so that its tester is the one that is measured.

use std::{
    env,
    fmt::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::{
    args::{Arguments, CalibrateArgs, Command, CompareArgs, CostCase},
    engine::signal,
    exit::Status,
    machine::Machine,
    measure::{process::ProcessTimes, spread::Spread},
    mode::compare::{load::TargetLoad, slot::Slot},
    output,
    report::costs::{CaseCost, CostVerdict, Costs},
};

/// The name of the server in the comparison that a case is.
const SERVER: &str = "server";

/// Before the first slot that counts, caches and buffers settle.
const WARM_UP_TIME: Duration = Duration::from_millis(300);

/// Runs all cases.
///
/// # Errors
/// The command line is wrong, or a file cannot be written. A case that fails does not end the rest.
pub fn run(args: &CalibrateArgs) -> Result<Status> {
    signal::watch()?;
    let (echo_url, pid) = args.cost.server()?;
    let mut cases = Vec::new();
    for case in args.cost.cases() {
        if signal::seen().is_some() {
            break;
        }
        if !args.output.quiet {
            eprintln!("{}: {}", case.name(), case.load());
        }
        let compare = comparison(case, echo_url, args)?;
        let took = Instant::now();
        cases.push(measure(case, &compare, pid, args).unwrap_or_else(|error| CaseCost {
            remarks: vec![format!("after {} s: {error:#}", took.elapsed().as_secs())],
            ..unknown(case)
        }));
    }
    let costs = Costs {
        tool: concat!("ringway-loadtest ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        machine: Machine::here(),
        cases,
    };
    output::write(&costs, || render(&costs), args.output.json.as_deref())?;
    let is = |verdict| move |case: &CaseCost| case.verdict == verdict;
    Ok(if costs.cases.iter().all(is(CostVerdict::Unknown)) {
        Status::Failed
    } else if costs.cases.iter().any(is(CostVerdict::Dearer)) {
        Status::Invalid
    } else if costs.cases.iter().any(is(CostVerdict::Unknown)) {
        Status::Failures
    } else {
        Status::Clean
    })
}

/// The case as a comparison of one server.
fn comparison(case: CostCase, echo_url: &str, args: &CalibrateArgs) -> Result<CompareArgs> {
    let mut words = vec!["ringway-loadtest".to_owned(), "compare".to_owned()];
    words.extend(case.options().iter().map(|word| (*word).to_owned()));
    let url = if case == CostCase::Fanout { args.cost.subscribe_url.as_deref() } else { None };
    let mut add = |option: &str, value: &str| words.push(format!("{option}={value}"));
    add("--url", &format!("{SERVER}={}", url.unwrap_or(echo_url)));
    if case == CostCase::Fanout {
        for (option, value) in [
            ("--publish-url", &args.cost.publish_url),
            ("--publish-message", &args.cost.publish_message),
        ] {
            if let Some(value) = value {
                add(option, &format!("{SERVER}={value}"));
            }
        }
    }
    if let Some(source) = &args.cost.source {
        add("--source", source);
    }
    let cores: Vec<String> = args.cores.iter().take(1).map(usize::to_string).collect();
    if !cores.is_empty() {
        add("--cores", &cores.join(","));
    }
    match Arguments::try_parse_from(words)?.command {
        Command::Compare(mut compare) => {
            compare.message.unstamped |= args.cost.unstamped && case.may_be_unstamped();
            compare.io = args.io;
            Ok(compare)
        }
        _ => unreachable!("the words are those of `compare`"),
    }
}

fn measure(
    case: CostCase,
    compare: &CompareArgs,
    pid: u32,
    args: &CalibrateArgs,
) -> Result<CaseCost> {
    let (mut load, opened) = TargetLoad::open(compare, SERVER)?;
    let rate = compare.rate_asked();
    load.measure(WARM_UP_TIME, rate)?;
    let mut slots = Vec::new();
    for _ in 0..args.slots {
        let before = ProcessTimes::now(&[pid])?;
        let slot = load.measure(args.duration, rate)?;
        let server = ProcessTimes::now(&[pid])?.since(&before).cpu;
        if slot.interrupted {
            break;
        }
        slots.push((slot, server));
    }
    load.end();
    let received: u64 = slots.iter().map(|(slot, _)| slot.received).sum();
    ensure!(received > 0, "nothing came back");
    let each = |time: Duration, slot: &Slot| time.as_nanos() as f64 / slot.received as f64;
    let median = |value: &dyn Fn(&(Slot, Duration)) -> f64| {
        Spread::of(slots.iter().map(value)).map_or(0.0, |spread| spread.median)
    };
    let ratio = Spread::of(
        slots.iter().map(|(slot, server)| slot.tester_work.as_secs_f64() / server.as_secs_f64()),
    );
    let last = slots.last().context("no slot was measured")?;
    let mut remarks: Vec<String> = opened.warning.into_iter().collect();
    let is_open_loop = compare.rate.is_some();
    if is_open_loop && slots.iter().any(|(slot, _)| !slot.behind.is_zero()) {
        remarks.push("the tester was behind its schedule".to_owned());
    }
    if slots.iter().any(|(slot, _)| !slot.ledger.is_clean()) {
        remarks.push("the ledger has faults: measure this case with `echo` or `fanout`".to_owned());
    }
    for (reason, count) in opened.errors.iter().chain(&last.0.errors) {
        remarks.push(format!("{count} {reason}"));
    }
    Ok(CaseCost {
        received,
        rate: median(&|(slot, _)| slot.received as f64 / slot.elapsed.as_secs_f64().max(1e-9)),
        tester_ns: median(&|(slot, _)| each(slot.tester_work, slot)),
        polling_ns: median(&|(slot, _)| {
            each(slot.tester_cpu.saturating_sub(slot.tester_work), slot)
        }),
        server_ns: median(&|(slot, server)| each(*server, slot)),
        ratio,
        verdict: CostVerdict::of(ratio),
        remarks,
        ..unknown(case)
    })
}

fn unknown(case: CostCase) -> CaseCost {
    CaseCost {
        name: case.name().to_owned(),
        load: case.load().to_owned(),
        received: 0,
        rate: 0.0,
        tester_ns: 0.0,
        polling_ns: 0.0,
        server_ns: 0.0,
        ratio: None,
        verdict: CostVerdict::Unknown,
        remarks: Vec::new(),
    }
}

fn render(costs: &Costs) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_table(costs, &mut out);
    out
}

fn write_table(costs: &Costs, out: &mut String) -> std::fmt::Result {
    let width = costs.cases.iter().map(|case| case.load.chars().count()).max().unwrap_or(0);
    writeln!(
        out,
        "{:width$} {:>10} {:>12} {:>12} {:>12} {:>21}  verdict",
        "CPU per message", "rate/s", "tester", "polling", "server", "tester/server"
    )?;
    for case in &costs.cases {
        let ns = |ns: f64| if case.received > 0 { format!("{ns:.0} ns") } else { "-".to_owned() };
        let verdict = match case.verdict {
            CostVerdict::Cheaper => "the tester costs less",
            CostVerdict::Equal => "both cost the same",
            CostVerdict::Dearer => "the tester costs MORE",
            CostVerdict::Unknown => "unknown",
        };
        writeln!(
            out,
            "{:width$} {:>10.0} {:>12} {:>12} {:>12} {:>21}  {verdict}",
            case.load,
            case.rate,
            ns(case.tester_ns),
            ns(case.polling_ns),
            ns(case.server_ns),
            case.ratio.map_or("-".to_owned(), |ratio| ratio.to_string()),
        )?;
    }
    for case in &costs.cases {
        for remark in &case.remarks {
            writeln!(out, "warning    {}: {remark}", case.name)?;
        }
    }
    Ok(())
}
