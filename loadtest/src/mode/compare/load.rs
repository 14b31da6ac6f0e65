//! The load on a server of a comparison: one variant for each mode, with its connections open.
//!
//! It does not handle slots, pipes or other targets.

use std::time::Duration;

use anyhow::{Context, Result};
use ringway_acceptor::WaitMode;

use super::slot::{Opened, Slot, counts};
use crate::{
    args::{CompareArgs, WorkloadArg},
    engine::{coordinator::Coordinator, plan::Plan},
    measure::{ledger::Ledger, timeline::Seen},
    mode::{
        churn::{self, Churned},
        echo, fanout,
        pace::Dial,
        ready,
    },
    output::progress::{Loudness, RunProgress},
    prepare,
    report::Heading,
    wire::message::Form,
};

/// The connections to one server, with their workload.
pub enum TargetLoad {
    /// The server sends each message back.
    Echo(Box<Coordinator<Ledger>>, Dial),
    /// The server delivers each published event to all subscribers.
    Fanout(Box<fanout::participants::Participants>),
    /// Connections are opened, echo one message, and are closed.
    Churn(Box<Coordinator<Churned>>, Dial),
}

/// Before the first slot of churn, a probe of this length checks that connections succeed.
const CHURN_PROBE_TIME: Duration = Duration::from_millis(50);

impl TargetLoad {
    /// Opens the connections to the server of this name.
    ///
    /// # Errors
    /// There is no such server, or no connection to it can be opened.
    pub fn open(args: &CompareArgs, name: &str) -> Result<(Self, Opened)> {
        let url = args.url.iter().find(|url| url.name == name);
        let url = &url.with_context(|| format!("no --url is named {name}"))?.value;
        let heading = |plan: &Plan| prepare::heading(args.mode.name(), plan, None);
        let timed = |mut plan: Plan| {
            if args.rate.is_some() {
                // This also applies while half of the saturated rate is still to be found.
                plan.wait = WaitMode::Latency;
            }
            plan
        };
        match args.mode {
            WorkloadArg::Echo => {
                let args = args.echo(name, url);
                let plan = timed(echo::command::plan(&args)?);
                let (heading, echo) = (heading(&plan), echo::command::echo_plan(&args.traffic)?);
                let dial = echo.dial.clone();
                let mut coordinator = echo::command::start(echo, plan)?;
                let seen = ready::await_connections(&mut coordinator, &mut quiet())?;
                Ok((Self::Echo(Box::new(coordinator), dial), opened(&seen, heading, None)))
            }
            WorkloadArg::Fanout => {
                let args = args.fanout(name, url);
                let mut plans = fanout::plans::Plans::new(&args)?;
                plans.subscribers = timed(plans.subscribers);
                let heading = heading(&plans.subscribers);
                let mut participants = fanout::participants::Participants::start(plans)?;
                let mut seen = participants.open(&mut quiet())?;
                let warning = participants.probe(args.common.drain, &mut seen)?;
                Ok((Self::Fanout(Box::new(participants)), opened(&seen, heading, warning)))
            }
            WorkloadArg::Churn => {
                let args = args.churn(url);
                let bytes = args.echo.unwrap_or_default();
                let plan = prepare::plan(&args.common, Form::Plain, bytes, args.duration)?;
                let (heading, churn) = (heading(&plan), churn::command::churn_plan(&args)?);
                let dial = churn.dial.clone();
                let mut coordinator = churn::command::start(churn, plan)?;
                coordinator.await_ready(&mut quiet())?;
                let probe = coordinator.measure(CHURN_PROBE_TIME, &mut quiet())?;
                if probe.seen.received == 0 {
                    return Err(ready::nothing_open(&probe.seen));
                }
                Ok((Self::Churn(Box::new(coordinator), dial), opened(&Seen::new(), heading, None)))
            }
        }
    }

    /// Loads the server for a while at this rate, or in a closed loop if there is none.
    ///
    /// # Errors
    /// A thread fails.
    pub fn measure(&mut self, time: Duration, rate: Option<f64>) -> Result<Slot> {
        match self {
            Self::Echo(coordinator, dial) => {
                dial.set(rate);
                let run = coordinator.measure(time, &mut quiet())?;
                let ledger = Ledger::sum(&run.outcomes);
                Ok(Slot::of(&run, ledger))
            }
            Self::Fanout(participants) => {
                participants.set_rate(rate);
                let mut run = participants.measure(time, &mut quiet())?;
                let ledger = run.settle();
                let echo = run.echo.as_ref().map(|echo| &echo.seen);
                Ok(Slot::of(&run.received, ledger).beside(echo))
            }
            Self::Churn(coordinator, dial) => {
                dial.set(rate);
                let run = coordinator.measure(time, &mut quiet())?;
                let ledger = churn::command::sum(&run.outcomes).ledger;
                Ok(Slot::of(&run, ledger))
            }
        }
    }

    /// Closes the connections with Close frames.
    pub fn end(self) {
        match self {
            Self::Echo(coordinator, _) => coordinator.end(),
            Self::Fanout(participants) => participants.end(),
            Self::Churn(coordinator, _) => coordinator.end(),
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

/// The process that started the tester shows the progress.
fn quiet() -> RunProgress {
    RunProgress::new(Duration::ZERO, Loudness::Quiet)
}
