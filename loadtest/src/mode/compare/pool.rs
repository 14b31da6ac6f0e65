//! The slots of one server, added up for one result.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;

use super::{
    sample::{Load, Sample},
    slot::Slot,
};
use crate::measure::{
    ledger::Ledger,
    quantiles::add,
    run::{MachineLoad, Run, ServerLoad},
    spread::Spread,
    timeline::Seen,
};

/// The figures of several slots.
#[derive(Debug, Default)]
pub struct Pool {
    /// In the counted slots.
    pub seen: Seen,
    /// Echoes during the fan-out of the counted slots.
    pub beside: Option<Seen>,
    /// Total length of the counted slots.
    pub elapsed: Duration,
    /// Total time of sending in the counted slots.
    pub lasted: Duration,
    /// CPU time of the tester in the counted slots.
    pub tester_cpu: Duration,
    /// The part of it that was not spent polling.
    pub tester_work: Duration,
    /// CPU time of the server in the counted slots.
    pub server_cpu: Option<Duration>,
    /// The load of the tester's and the server's threads in each counted slot.
    loads: Vec<Load>,
    /// Connections open at the end of the last slot.
    pub open: u32,
    /// Over all slots, counted or not.
    pub ledger: Ledger,
    /// Over all slots, counted or not.
    pub errors: BTreeMap<String, u64>,
}

impl Pool {
    /// Adds the figures that count in any case: a message that is lost on a busy machine is lost,
    /// too.
    pub fn count(&mut self, slot: &Slot) {
        self.ledger += slot.ledger;
        self.open = slot.open;
        for (reason, count) in &slot.errors {
            *self.errors.entry(reason.clone()).or_default() += count;
        }
    }

    /// Adds the figures of a slot that counts.
    ///
    /// # Errors
    /// A histogram is malformed.
    pub fn add(&mut self, sample: &Sample) -> Result<()> {
        let Sample { slot, server, .. } = sample;
        add_times(&mut self.seen, &slot.seen()?);
        if let Some(beside) = slot.seen_beside()? {
            add_times(self.beside.get_or_insert_default(), &beside);
        }
        self.seen.sent += slot.sent;
        self.seen.received += slot.received;
        self.seen.received_bytes += slot.received_bytes;
        self.elapsed += slot.elapsed;
        self.lasted += slot.lasted;
        self.tester_cpu += slot.tester_cpu;
        self.tester_work += slot.tester_work;
        self.loads.push(sample.load);
        if let Some(server) = server {
            *self.server_cpu.get_or_insert_default() += server.cpu;
        }
        Ok(())
    }

    /// The slots as one measurement. The load of threads is the median's, so that one disturbed
    /// slot of many does not make all of them invalid.
    pub fn into_run(self, started_at: Duration) -> Run<()> {
        let median = |value: &dyn Fn(&Load) -> f64| {
            Spread::of(self.loads.iter().map(value)).map_or(0.0, |spread| spread.median)
        };
        let of_server =
            |value: fn(ServerLoad) -> f64| median(&|load| load.server.map_or(f64::NAN, value));
        let server = self.server_cpu.map(|_| ServerLoad {
            busiest: of_server(|server| server.busiest),
            used: of_server(|server| server.used),
            starved: of_server(|server| server.starved),
        });
        Run {
            busy: median(&|load| load.busy),
            occupied: median(&|load| load.occupied),
            machine: MachineLoad {
                waited: median(&|load| load.occupied - load.busy),
                ..MachineLoad::default()
            },
            behind: Duration::from_secs_f64(median(&|load| load.behind.as_secs_f64())),
            server,
            started_at,
            seen: self.seen,
            outcomes: Vec::new(),
            elapsed: self.elapsed,
            lasted: self.lasted,
            tester_cpu: self.tester_cpu,
            tester_work: self.tester_work,
            server_cpu: self.server_cpu,
            open: self.open,
            interrupted: None,
        }
    }
}

fn add_times(sum: &mut Seen, part: &Seen) {
    add(&mut sum.latencies, &part.latencies);
    add(&mut sum.send_delays, &part.send_delays);
    add(&mut sum.look_delays, &part.look_delays);
}
