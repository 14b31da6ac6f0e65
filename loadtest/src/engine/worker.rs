//! One thread of a run: opens its connections, then measures on command.
//!
//! A turn submits, waits and reads, as a gateway's does. It spins only while the next message is
//! due so soon that a sleep might end too late.

use std::{io, num::NonZeroU64, sync::mpsc::TryRecvError, time::Duration};

use anyhow::{Context, Result};
use ringway_acceptor::{Driver, cores};
use rustix::thread;

use super::{
    channels::{Channels, WorkerCommand, WorkerEvent, WorkerRun},
    connections::Connections,
    plan::{Plan, Punctuality},
    table::{Clock, ConnectionTable},
    workload::{Next, Workload},
};
use crate::measure::{
    interval::Grid,
    process::{self, Scheduled},
    quantiles::record,
};

/// The thread spins if something is due sooner than this: a sleep may be this much too long.
const SPIN_TIME: Duration = Duration::from_micros(150);

/// The worker spins this long for an answer after the last message: waking up would be a large part
/// of a short latency, but is a small part of a longer one.
const AWAIT_TIME_MAX: Duration = Duration::from_millis(1);

/// A turn that finds nothing takes less than this. Any longer time was not spinning: the thread was
/// off its CPU.
const SPIN_TURN_TIME_MAX: Duration = Duration::from_micros(50);

/// The last moment of a measurement is this long before the end.
const MOMENT: Duration = Duration::from_nanos(1);

/// How much too long a sleep may be; the usual 50 us save power.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;

/// The longest sleep: bounds the delay of a command whose wake-up was lost.
const SLEEP_TIME_MAX: Duration = Duration::from_millis(100);

/// After the end, servers have this long to answer Close frames.
const PARTING_TIME_MAX: Duration = Duration::from_secs(3);

/// The state of a worker in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkerStage {
    Opening,
    Waiting,
    Armed {
        start: Duration,
        duration: Duration,
    },
    /// At `latest`, messages that were due before the end are no longer started either.
    Running {
        start: Duration,
        end: Duration,
        latest: Duration,
    },
    Draining {
        start: Duration,
        end: Duration,
        deadline: Duration,
        behind: Duration,
    },
    Parting {
        deadline: Duration,
    },
}

pub(super) struct Worker<'p, D, W: Workload> {
    driver: D,
    connections: Connections<'p, W>,
    plan: &'p Plan,
    clock: Clock,
    channels: Channels<W::Outcome>,
    stage: WorkerStage,
    /// When the last wait returned.
    looked_at: Duration,
    /// When the intervals begin.
    grid: Grid,
    received_before: u64,
    /// When the last message arrived.
    answered_at: Duration,
    /// When the thread last sent or received something.
    active_at: Duration,
    /// The scheduler's figures at the start of the measurement, and the time spun since.
    before: Scheduled,
    preempted_before: u64,
    spun: Duration,
}

impl<'p, D: Driver, W: Workload> Worker<'p, D, W> {
    pub(super) fn new(
        driver: D,
        plan: &'p Plan,
        (first_number, count): (u32, u32),
        clock: Clock,
        workload: W,
        channels: Channels<W::Outcome>,
    ) -> Self {
        let table = ConnectionTable::new(count, first_number, plan.message_bytes, clock);
        Self {
            driver,
            connections: Connections::new(plan, table, workload),
            plan,
            clock,
            channels,
            stage: WorkerStage::Opening,
            looked_at: clock.now(),
            grid: Grid::new(Duration::ZERO),
            received_before: 0,
            answered_at: Duration::ZERO,
            active_at: Duration::ZERO,
            before: Scheduled::default(),
            preempted_before: 0,
            spun: Duration::ZERO,
        }
    }

    /// Works until it receives `End`.
    ///
    /// # Errors
    /// The driver fails, or the coordinator has ended.
    pub(super) fn run(mut self) -> Result<()> {
        if W::OPENS_FIRST {
            for connection in 0..self.connections.table.len() {
                self.connections.table.open_at(connection, Duration::ZERO);
            }
        }
        loop {
            self.set_now(self.clock.now())?;
            self.obey()?;
            if self.pass_stage()? == Flow::End {
                return Ok(());
            }
            let workload_next = match self.stage {
                WorkerStage::Running { start, end, latest } => self.advance(start, end, latest)?,
                WorkerStage::Draining { .. } => {
                    self.connections.workload.advance(&mut self.connections.table)
                }
                _ => Next::Idle,
            };
            // After the workload, so that connections that it requests are started in this turn.
            let dialer_next = self.connections.advance();
            self.turn(dialer_next, workload_next)?;
        }
    }

    /// Lets the workload do what is due, and stops it when everything before the end is done.
    fn advance(&mut self, start: Duration, end: Duration, latest: Duration) -> Result<Next> {
        let Connections { table, workload, .. } = &mut self.connections;
        let now = table.now();
        let last = end.saturating_sub(MOMENT);
        table.set_now(now.min(last));
        let next = workload.advance(table);
        table.set_now(now);
        let behind = match next {
            Next::At(at) if at <= last => end - at,
            Next::At(_) | Next::Idle => Duration::ZERO,
        };
        if now < end || (!behind.is_zero() && now < latest) {
            return Ok(next);
        }
        workload.stop(table);
        let deadline = now + self.plan.drain_time_max;
        self.stage = WorkerStage::Draining { start, end, deadline, behind };
        self.flush(self.grid.begun_at())?;
        self.grid = Grid::new(end);
        self.set_now(now)?;
        let Connections { table, workload, .. } = &mut self.connections;
        Ok(workload.advance(table))
    }

    /// Submits, waits, reads.
    fn turn(&mut self, dialer_next: Option<Duration>, workload_next: Next) -> Result<()> {
        let workload_next = match workload_next {
            Next::At(at) => Some(at),
            Next::Idle => None,
        };
        let stage_next = match self.stage {
            WorkerStage::Armed { start, .. } => Some(start),
            WorkerStage::Running { end, .. } => Some(end),
            WorkerStage::Draining { deadline, .. } | WorkerStage::Parting { deadline } => {
                Some(deadline)
            }
            WorkerStage::Opening | WorkerStage::Waiting => None,
        };
        // Requests that the dialer has not seen yet.
        let wished = self.connections.table.wishes.iter().map(|wish| wish.at).min();
        let flush_next = Some(self.grid.ends_at());
        let wakes = [dialer_next, wished, workload_next, stage_next, flush_next];
        let before = self.clock.now();
        let wake = wakes.into_iter().flatten().min().unwrap_or(Duration::MAX);
        let sleep = wake.saturating_sub(before).min(SLEEP_TIME_MAX);
        let has_work = !self.connections.table.operations.is_empty();
        if has_work {
            self.active_at = before;
        }
        let sleep = match self.plan.punctuality {
            Punctuality::Sleeps => sleep,
            Punctuality::Spins if sleep < SPIN_TIME || self.is_alert(before) => Duration::ZERO,
            Punctuality::Spins => sleep - SPIN_TIME / 2,
        };
        self.driver.submit(&mut self.connections.table.operations);
        self.connections.table.turn_owned_bytes = 0;
        match self.driver.wait(Some(sleep)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result.context("the kernel refuses to wait")?,
        }
        let looked_at = self.clock.now();
        self.set_now(looked_at)?;
        // Another thread may have started already, and its messages may arrive here, even if this
        // thread was so late that its command has waited until now.
        if self.stage == WorkerStage::Waiting {
            self.obey()?;
        }
        if matches!(self.stage, WorkerStage::Armed { .. }) {
            self.pass_stage()?;
        }
        // The sends have run by now; any sleep comes after them.
        let sent_at = if sleep.is_zero() { looked_at } else { before };
        for due in self.connections.table.dues.drain(..) {
            record(&mut self.connections.table.seen.send_delays, sent_at.saturating_sub(due));
        }
        let mut found = 0u32;
        while let Some(completion) = self.driver.next() {
            found += 1;
            self.connections.complete(completion);
            // While they are in the cache, as a gateway's core does.
            let operations = &mut self.connections.table.operations;
            if operations.is_due_early() {
                self.driver.send_early(operations);
                self.connections.table.turn_owned_bytes = 0;
            }
        }
        if found > 0 {
            let seen = &mut self.connections.table.seen;
            let received = seen.received - self.received_before;
            if received > 0 {
                self.answered_at = looked_at;
            }
            self.active_at = looked_at;
            self.received_before = seen.received;
            // A completion wakes a sleeping thread, unless it oversleeps, as when it was stopped; a
            // spinning thread finds the completion at its next poll.
            let overslept = looked_at.saturating_sub(before + sleep);
            let unseen = before.saturating_sub(self.looked_at) + overslept;
            let unseen_ns = unseen.as_nanos() as u64;
            seen.look_delays.saturating_record_n(unseen_ns.max(1), received as u32);
        } else if !has_work && sleep.is_zero() {
            self.spun += looked_at.saturating_sub(self.looked_at).min(SPIN_TURN_TIME_MAX);
        }
        self.looked_at = looked_at;
        Ok(())
    }

    /// Whether an answer may arrive at any moment.
    fn is_alert(&self, now: Duration) -> bool {
        let is_measuring =
            matches!(self.stage, WorkerStage::Running { .. } | WorkerStage::Draining { .. });
        is_measuring
            && now.saturating_sub(self.active_at) < AWAIT_TIME_MAX
            && self.connections.workload.is_awaiting(&self.connections.table)
    }

    fn obey(&mut self) -> Result<()> {
        match self.channels.commands.try_recv() {
            Ok(WorkerCommand::Run { start, duration }) => {
                self.stage = WorkerStage::Armed { start, duration };
            }
            Ok(WorkerCommand::Stop) => {
                let now = self.connections.table.now();
                match &mut self.stage {
                    WorkerStage::Running { end, latest, .. } => {
                        (*end, *latest) = (now.min(*end), now)
                    }
                    WorkerStage::Armed { duration, .. } => *duration = Duration::ZERO,
                    _ => {}
                }
            }
            Ok(WorkerCommand::End) => self.part(),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                if !matches!(self.stage, WorkerStage::Parting { .. }) {
                    self.part();
                }
            }
        }
        Ok(())
    }

    fn part(&mut self) {
        self.connections.part();
        self.stage =
            WorkerStage::Parting { deadline: self.connections.table.now() + PARTING_TIME_MAX };
    }

    fn pass_stage(&mut self) -> Result<Flow> {
        let now = self.connections.table.now();
        match self.stage {
            WorkerStage::Opening if !W::OPENS_FIRST || self.connections.all_tried() => {
                self.stage = WorkerStage::Waiting;
                self.flush(self.grid.begun_at())?;
                self.channels.say(WorkerEvent::Ready)?;
            }
            WorkerStage::Armed { start, duration } if now >= start => {
                let end = start + duration;
                self.stage =
                    WorkerStage::Running { start, end, latest: end + self.plan.drain_time_max };
                self.before = process::scheduled_here()?;
                self.preempted_before = process::preemptions_here();
                self.connections.table.seen.forget_times();
                // These figures belong to no interval of the measurement.
                self.flush(self.grid.begun_at().min(start.saturating_sub(MOMENT)))?;
                self.grid = Grid::new(start);
                self.set_now(now)?;
                self.spun = Duration::ZERO;
                self.answered_at = start;
                self.connections.workload.start(start, &mut self.connections.table);
            }
            WorkerStage::Draining { start, end, deadline, behind }
                if now >= deadline
                    || self.connections.workload.is_drained(&self.connections.table) =>
            {
                self.stage = WorkerStage::Waiting;
                let outcome = self.connections.workload.finish(&mut self.connections.table);
                self.flush(self.grid.begun_at())?;
                let scheduled = process::scheduled_here()?;
                let cpu = scheduled.cpu.saturating_sub(self.before.cpu);
                self.channels.say(WorkerEvent::Done(WorkerRun {
                    outcome,
                    elapsed: self.answered_at.max(end).saturating_sub(start),
                    lasted: end.saturating_sub(start),
                    busy: cpu.saturating_sub(self.spun),
                    cpu,
                    waited: scheduled.waited.saturating_sub(self.before.waited),
                    preempted: process::preemptions_here().saturating_sub(self.preempted_before),
                    behind,
                    open: self.connections.table.open(),
                }))?;
            }
            WorkerStage::Parting { deadline }
                if now >= deadline || self.connections.table.is_all_closed() =>
            {
                return Ok(Flow::End);
            }
            _ => {}
        }
        Ok(Flow::On)
    }

    /// Advances the time: what is seen from now on is counted in the interval that contains it.
    fn set_now(&mut self, now: Duration) -> Result<()> {
        self.connections.table.set_now(now);
        match self.grid.pass(now) {
            Some(begun_at) => self.flush(begun_at),
            None => Ok(()),
        }
    }

    /// Hands over what was seen since the last call, in the interval that began at `begun_at`.
    fn flush(&mut self, begun_at: Duration) -> Result<()> {
        if matches!(self.stage, WorkerStage::Parting { .. }) {
            return Ok(());
        }
        let seen = &mut self.connections.table.seen;
        seen.at = begun_at;
        self.channels.hand_over(seen)?;
        self.received_before = seen.received;
        Ok(())
    }
}

/// Whether a worker goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

/// Pins the thread if the plan names cores, and makes its sleeps exact if they must be.
pub(super) fn settle(plan: &Plan, thread: u32) -> Result<()> {
    if plan.punctuality == Punctuality::Sleeps {
        thread::set_current_timer_slack(Some(TIMER_SLACK_NS)).context("PR_SET_TIMERSLACK")?;
    }
    if plan.cores.is_empty() {
        return Ok(());
    }
    let core = plan.cores[thread as usize % plan.cores.len()];
    cores::pin(core).with_context(|| format!("pinning a thread to core {core}"))
}
