//! A tester's process: opens the connections to one server, then responses each line of standard
//! input by one line of standard output.
//!
//! It prints nothing else, and ends when its starter does.

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

/// Runs it. What goes wrong is told to the starter.
///
/// # Errors
/// The starter is gone.
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
    // This thread adds up what the others see, and shall not do so on a server's core.
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
