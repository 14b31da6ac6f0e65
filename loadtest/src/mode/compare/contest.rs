//! What the servers of a comparison do: one variant for each mode, with its connections open.
//!
//! It knows nothing of turns, pipes and other contestants.

use std::time::Duration;

use anyhow::{Context, Result};

use super::slot::{Opened, Slot, counts};
use crate::{
    args::{CompareArgs, ContestArg},
    engine::conductor::Conductor,
    measure::ledger::Ledger,
    mode::{echo, ready},
    output::progress::{Loudness, Progress},
    prepare,
};

/// One contestant's connections.
pub enum Contest {
    /// The server sends back what it is sent.
    Echo(Conductor<Ledger>),
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
                let opened = Opened {
                    connections: seen.opened,
                    errors: counts(&seen.errors),
                    engine: heading.engine,
                    threads: heading.threads,
                };
                Ok((Self::Echo(conductor), opened))
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
        }
    }

    /// Closes the connections politely.
    pub fn end(self) {
        match self {
            Self::Echo(conductor) => conductor.end(),
        }
    }
}

/// What is shown is the starter's business.
fn quiet() -> Progress {
    Progress::new(Duration::ZERO, Loudness::Quiet)
}
