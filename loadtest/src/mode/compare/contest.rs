//! What the servers of a comparison do: one variant for each mode, with its connections open.
//!
//! It knows nothing of turns, pipes and other contestants.

use std::time::Duration;

use anyhow::{Context, Result};

use super::slot::{Opened, Slot, counts};
use crate::{
    args::{CompareArgs, ContestArg},
    engine::conductor::Conductor,
    measure::{ledger::Ledger, timeline::Seen},
    mode::{echo, fanout, ready},
    output::progress::{Loudness, Progress},
    prepare,
    report::Heading,
};

/// One contestant's connections.
pub enum Contest {
    /// The server sends back what it is sent.
    Echo(Box<Conductor<Ledger>>),
    /// The server delivers what is published to all subscribers.
    Fanout(Box<fanout::participants::Participants>),
}

impl Contest {
    /// Opens the connections to the server of this name.
    ///
    /// # Errors
    /// There is no such server, or none of its connections can be opened.
    pub fn open(args: &CompareArgs, name: &str) -> Result<(Self, Opened)> {
        let url = args.url.iter().find(|url| url.name == name);
        let url = &url.with_context(|| format!("no --url is named {name}"))?.value;
        match args.mode {
            ContestArg::Echo => {
                let args = args.echo(url);
                let plan = echo::command::plan(&args)?;
                let heading = prepare::heading("echo", &plan, None);
                let mut conductor = echo::command::start(&args, plan)?;
                let seen = ready::await_connections(&mut conductor, &mut quiet())?;
                Ok((Self::Echo(Box::new(conductor)), opened(&seen, heading, None)))
            }
            ContestArg::Fanout => {
                let args = args.fanout(name, url);
                let plans = fanout::plans::Plans::new(&args)?;
                let heading = prepare::heading("fanout", &plans.subscribers, None);
                let mut both = fanout::participants::Participants::start(plans)?;
                let mut seen = both.open(&mut quiet())?;
                let warning = both.probe(args.common.drain, &mut seen)?;
                Ok((Self::Fanout(Box::new(both)), opened(&seen, heading, warning)))
            }
        }
    }

    /// Has the server work for a while.
    ///
    /// # Errors
    /// A thread cannot go on.
    pub fn measure(&mut self, time: Duration) -> Result<Slot> {
        match self {
            Self::Echo(conductor) => {
                let run = conductor.measure(time, &mut quiet())?;
                let ledger = Ledger::sum(&run.outcomes);
                Ok(Slot::of(&run, ledger))
            }
            Self::Fanout(both) => {
                let (mut heard, told) = both.measure(time, &mut quiet())?;
                let ledger = fanout::participants::together(&mut heard, &told);
                Ok(Slot::of(&heard, ledger))
            }
        }
    }

    /// Closes the connections politely.
    pub fn end(self) {
        match self {
            Self::Echo(conductor) => conductor.end(),
            Self::Fanout(both) => both.end(),
        }
    }
}

fn opened(seen: &Seen, heading: Heading, warning: Option<String>) -> Opened {
    Opened {
        connections: seen.opened,
        errors: counts(&seen.errors),
        engine: heading.engine,
        threads: heading.threads,
        warning,
    }
}

/// What is shown is the starter's business.
fn quiet() -> Progress {
    Progress::new(Duration::ZERO, Loudness::Quiet)
}
