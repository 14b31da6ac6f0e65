//! `sweep`: the highest rate of echoes at which 99 in 100 come back in time.
//!
//! Steps of an open loop on the same open connections: twice the rate until one is too much, then
//! halves of what is between. What is found is confirmed by a longer step; a rate that held once
//! by luck is not quoted.

pub mod command;
pub mod curve;
pub mod search;
pub mod step;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ringway_frame::DataKind;

use crate::{
    engine::{
        links::Links,
        workload::{Ended, Next, Then, Workload},
    },
    measure::ledger::Ledger,
    mode::echo::Echo,
};

/// The rate of the next step, for all threads.
#[derive(Debug, Clone, Default)]
pub struct Dial(Arc<AtomicU64>);

impl Dial {
    /// Turns it. What threads are told after this finds it so: the order that goes to them
    /// through a channel comes after the store.
    pub fn set(&self, rate: f64) {
        self.0.store(rate.to_bits(), Ordering::Relaxed);
    }

    fn rate(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// One thread's echoes, at another rate in each step.
pub struct Stepped {
    /// The echoes.
    pub echo: Echo,
    /// Their rate.
    pub dial: Dial,
}

impl Workload for Stepped {
    type Outcome = Ledger;

    fn start(&mut self, start: Duration, links: &mut Links) {
        self.echo.set_rate(self.dial.rate());
        self.echo.start(start, links);
    }

    fn opened(&mut self, link: u32, links: &mut Links) {
        self.echo.opened(link, links);
    }

    fn message(&mut self, link: u32, kind: DataKind, payload: &[u8], links: &mut Links) {
        self.echo.message(link, kind, payload, links);
    }

    fn ended(&mut self, link: u32, why: Ended, links: &mut Links) -> Then {
        self.echo.ended(link, why, links)
    }

    fn advance(&mut self, links: &mut Links) -> Next {
        self.echo.advance(links)
    }

    fn is_awaiting(&self, links: &Links) -> bool {
        self.echo.is_awaiting(links)
    }

    fn stop(&mut self, links: &mut Links) {
        self.echo.stop(links);
    }

    fn is_drained(&self, links: &Links) -> bool {
        self.echo.is_drained(links)
    }

    fn finish(&mut self, links: &mut Links) -> Ledger {
        self.echo.finish(links)
    }
}
