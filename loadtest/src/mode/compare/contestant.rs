//! A tester's process: opens the connections to one server, then answers each line of standard
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
    contest::Contest,
    slot::{Answer, Order},
};
use crate::{args::ContestantArgs, exit::Status};

/// Runs it. What goes wrong is told to the starter.
///
/// # Errors
/// The starter is gone.
pub fn run(args: &ContestantArgs) -> Result<Status> {
    match serve(args) {
        Ok(()) => Ok(Status::Clean),
        Err(error) => {
            say(&Answer::Failed(format!("{error:#}")))?;
            Ok(Status::Failed)
        }
    }
}

fn serve(args: &ContestantArgs) -> Result<()> {
    // This thread adds up what the others see, and shall not do so on a server's core.
    if let Some(core) = args.compare.cores.last() {
        cores::pin(*core).with_context(|| format!("pinning the tester to core {core}"))?;
    }
    let (mut contest, opened) = Contest::open(&args.compare, &args.contestant)?;
    say(&Answer::Ready(opened))?;
    for line in io::stdin().lock().lines() {
        let Order::Measure { micros, rate } =
            serde_json::from_str(&line?).context("that is no order")?;
        let slot = contest.measure(Duration::from_micros(micros), rate)?;
        say(&Answer::Slot(Box::new(slot)))?;
    }
    contest.end();
    Ok(())
}

fn say(answer: &Answer) -> Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).context("the starter is gone")
}
