//! A tester's process: opens the connections to one server, then answers each line of standard
//! input with one line of standard output.
//!
//! It prints nothing else, and ends when the process that started it ends.

use std::{
    io::{self, BufRead, Write},
    time::Duration,
};

use anyhow::{Context, Result};
use ringway_acceptor::cores;

use super::{
    load::TargetLoad,
    slot::{TesterRequest, TesterResponse},
};
use crate::{args::TesterArgs, exit::Status};

/// Runs the tester. Errors are sent to the process that started it.
///
/// # Errors
/// The process that started this one has ended.
pub fn run(args: &TesterArgs) -> Result<Status> {
    match serve(args) {
        Ok(()) => Ok(Status::Clean),
        Err(error) => {
            say(&TesterResponse::Failed(format!("{error:#}")))?;
            Ok(Status::Failed)
        }
    }
}

fn serve(args: &TesterArgs) -> Result<()> {
    // This thread adds up the others' figures, and must not do so on a server's core.
    if let Some(core) = args.compare.cores.last() {
        cores::pin(*core).with_context(|| format!("pinning the tester to core {core}"))?;
    }
    let (mut load, opened) = TargetLoad::open(&args.compare, &args.target)?;
    say(&TesterResponse::Ready(opened))?;
    for line in io::stdin().lock().lines() {
        let TesterRequest::Measure { micros, rate } =
            serde_json::from_str(&line?).context("that is no request")?;
        let slot = load.measure(Duration::from_micros(micros), rate)?;
        say(&TesterResponse::Slot(Box::new(slot)))?;
    }
    load.end();
    Ok(())
}

fn say(answer: &TesterResponse) -> Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).context("the starter is gone")
}
