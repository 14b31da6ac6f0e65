//! The results of a measurement: what was counted, and what is known about the tester's and the
//! server's threads.
//!
//! It never measures and never judges.

use std::time::Duration;

use super::{
    process::{ProcessTimes, Scheduled},
    timeline::Seen,
};

/// The results of a measurement.
#[derive(Debug)]
pub struct Run<O> {
    /// What was counted during the measurement.
    pub seen: Seen,
    /// When the measurement started, since 1970.
    pub started_at: Duration,
    /// The outcome of each thread's workload.
    pub outcomes: Vec<O>,
    /// From the start to the last answer, in the thread where that was longest.
    pub elapsed: Duration,
    /// From the start to the end of the sending.
    pub lasted: Duration,
    /// The share of the time that the busiest thread worked, without spinning.
    pub busy: f64,
    /// The largest share of the time that a thread worked or waited for a CPU.
    pub occupied: f64,
    /// How the machine delayed the threads.
    pub machine: MachineLoad,
    /// How far the sending was behind schedule when it was told to stop.
    pub behind: Duration,
    /// CPU time of all threads.
    pub tester_cpu: Duration,
    /// The part of it that was not spent polling for the next due time.
    pub tester_work: Duration,
    /// CPU time of the server during the measurement, if its process is known and still existed at
    /// the end.
    pub server_cpu: Option<Duration>,
    /// Further figures of the server during the measurement.
    pub server: Option<ServerLoad>,
    /// Connections open at the end.
    pub open: u32,
    /// Why the measurement was cut short, if it was.
    pub interrupted: Option<Interruption>,
}

/// How a machine delayed the tester's threads.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MachineLoad {
    /// The largest share of the time for which a thread had work but waited for a CPU.
    pub waited: f64,
    /// How often threads were preempted although they had work.
    pub preempted: u64,
    /// The share of all CPU time that the host of a virtual machine used for other work.
    pub stolen: f64,
}

impl MachineLoad {
    /// The larger of each share, and the sum of preemptions.
    fn worse(self, other: Self) -> Self {
        Self {
            waited: self.waited.max(other.waited),
            preempted: self.preempted + other.preempted,
            stolen: self.stolen.max(other.stolen),
        }
    }
}

/// How much of its CPUs a server used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerLoad {
    /// The share of the time that its busiest thread was on a CPU.
    pub busiest: f64,
    /// The share of the time of all the CPUs that it may use.
    pub used: f64,
    /// Of the time for which its threads were runnable, the share that they waited for a CPU.
    pub starved: f64,
}

impl ServerLoad {
    /// The larger of each share.
    fn worse(self, other: Self) -> Self {
        Self {
            busiest: self.busiest.max(other.busiest),
            used: self.used.max(other.used),
            starved: self.starved.max(other.starved),
        }
    }

    /// The server's load between two readings of its threads.
    pub fn between(
        before: &ProcessTimes,
        after: &ProcessTimes,
        cores: u32,
        elapsed: Duration,
    ) -> Self {
        let Scheduled { cpu, waited } = after.since(before);
        let spent = |(thread, now): (&u32, &Scheduled)| {
            let then = before.threads.get(thread).copied().unwrap_or_default();
            now.cpu.saturating_sub(then.cpu)
        };
        let busiest = after.threads.iter().map(spent).max().unwrap_or_default();
        let seconds = elapsed.as_secs_f64().max(1e-9);
        Self {
            busiest: busiest.as_secs_f64() / seconds,
            used: cpu.as_secs_f64() / seconds / f64::from(cores.max(1)),
            starved: waited.as_secs_f64() / (cpu + waited).as_secs_f64().max(1e-9),
        }
    }
}

impl<O> Run<O> {
    /// Adds the figures of the tester's other threads in the same measurement.
    pub fn add_threads<P>(&mut self, other: &Run<P>) {
        self.busy = self.busy.max(other.busy);
        self.occupied = self.occupied.max(other.occupied);
        self.machine.waited = self.machine.waited.max(other.machine.waited);
        self.machine.preempted += other.machine.preempted;
        self.tester_cpu += other.tester_cpu;
        self.tester_work += other.tester_work;
    }

    /// Adds another measurement of the same connections, as if it had followed directly.
    pub fn append(&mut self, other: Self) {
        let weight = |of: &Self| of.elapsed.as_secs_f64();
        let whole = (weight(self) + weight(&other)).max(1e-9);
        self.busy = (self.busy * weight(self) + other.busy * weight(&other)) / whole;
        self.seen.append(other.seen, self.elapsed);
        self.outcomes.extend(other.outcomes);
        self.elapsed += other.elapsed;
        self.lasted += other.lasted;
        self.occupied = self.occupied.max(other.occupied);
        self.behind = self.behind.max(other.behind);
        self.machine = self.machine.worse(other.machine);
        self.server = self.server.zip(other.server).map(|(one, two)| one.worse(two));
        self.tester_cpu += other.tester_cpu;
        self.tester_work += other.tester_work;
        self.server_cpu = self.server_cpu.zip(other.server_cpu).map(|(a, b)| a + b);
        self.open = other.open;
        self.interrupted = self.interrupted.or(other.interrupted);
    }
}

/// Why a measurement was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The user interrupted it.
    Signal,
}
