//! All threads of a run: starts them, tells them when to measure, and adds up what they report.
//!
//! It never looks at a message and never prints: an [`Observer`] is told about progress.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow, bail};
use ringway_acceptor::{Settings, Waker, engine::Engine, epoll::EpollDriver, uring::UringDriver};

use super::{
    channels::{self, Channels, Said, WorkerCommand, WorkerEvent, WorkerRun},
    plan::Plan,
    signal,
    table::Clock,
    worker::{self, Worker},
    workload::Workload,
};
use crate::measure::{
    arrivals::Share,
    interval::{INTERVAL, Interval},
    process::{self, ProcessTimes},
    run::{Interruption, MachineLoad, Run, ServerLoad},
    timeline::Seen,
};

/// The time from the command to the start: all threads have received the command by then.
pub const START_DELAY: Duration = Duration::from_millis(20);

/// The most bytes of the buffers that a thread receives into: they should stay in the cache.
const RECEIVE_BYTES_MAX: usize = 4 << 20;

/// Buffers that a thread receives into, and bytes of each: one for each connection, as a receive
/// that finds none must be armed again, but no more than the cache holds.
fn receive_buffers(connections: u32, message_bytes: usize) -> (u16, u32) {
    let bytes = message_bytes.clamp(1024, 32 << 10).next_power_of_two() * 2;
    let count =
        (connections.clamp(64, 1024).next_power_of_two() as usize).min(RECEIVE_BYTES_MAX / bytes);
    (count as u16, bytes as u32)
}

/// A worker that sends nothing for this long, while it has nothing else to wait for, hangs.
const SILENCE_TIME_MAX: Duration = Duration::from_secs(30);

/// Is told about the progress of a run, several times a second.
pub trait Observer {
    /// Connections are being opened.
    fn opening(&mut self, seen: &Seen, of: u32);

    /// A measurement has been running for `elapsed`.
    fn running(&mut self, seen: &Seen, elapsed: Duration);
}

/// The threads of a run, whose connections stay open between measurements.
pub struct Coordinator<O> {
    plan: Arc<Plan>,
    clock: Clock,
    workers: Vec<Hand>,
    events: Receiver<Said<O>>,
    seen: Seen,
    start: Duration,
}

/// A worker as the coordinator sees it.
struct Hand {
    thread: Option<JoinHandle<()>>,
    commands: Sender<WorkerCommand>,
    waker: Waker,
    spare: Sender<Box<Interval>>,
}

impl<O: Send + 'static> Coordinator<O> {
    /// Starts the threads; `make` makes the workload of each thread for its share.
    ///
    /// # Errors
    /// A thread or its driver cannot be started.
    pub fn start<W, M>(plan: Plan, make: M) -> Result<Self>
    where
        W: Workload<Outcome = O>,
        M: Fn(Share, &Plan) -> W + Send + Sync + 'static,
    {
        Self::start_by(Clock::start(), plan, make)
    }

    /// Does the same with a clock that other threads already use.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_by<W, M>(clock: Clock, plan: Plan, make: M) -> Result<Self>
    where
        W: Workload<Outcome = O>,
        M: Fn(Share, &Plan) -> W + Send + Sync + 'static,
    {
        signal::watch()?;
        let (plan, make) = (Arc::new(plan), Arc::new(make));
        let (event_in, events) = channels::events(plan.threads);
        let mut workers = Vec::new();
        for thread in 0..plan.threads {
            let (plan, make, event_in) = (plan.clone(), make.clone(), event_in.clone());
            let (commands, command_out) = mpsc::channel();
            let (spare, spare_out) = mpsc::channel();
            let (waker_in, waker) = mpsc::channel();
            let body = move || {
                let index = thread as usize;
                let events = event_in.clone();
                let channels = Channels { commands: command_out, events, index, spare: spare_out };
                let share = Share { index: thread, of: plan.threads };
                let workload = make(share, &plan);
                if let Err(error) = work(&plan, thread, clock, workload, channels, &waker_in) {
                    // The coordinator may have ended already.
                    let _ = event_in.send((index, WorkerEvent::Failed(error)));
                }
            };
            let name = format!("load-{thread}");
            let handle = thread::Builder::new().name(name).spawn(body).context("a thread")?;
            match waker.recv() {
                Ok(waker) => {
                    let thread = Some(handle);
                    workers.push(Hand { thread, commands, waker, spare });
                }
                Err(_) => return Err(why_it_failed(&events)),
            }
        }
        Ok(Self { plan, clock, workers, events, seen: Seen::new(), start: Duration::ZERO })
    }

    /// Waits until each connection is open or its first attempt has failed, and returns what was
    /// seen meanwhile.
    ///
    /// # Errors
    /// A thread cannot go on.
    pub fn await_ready(&mut self, observer: &mut dyn Observer) -> Result<Seen> {
        let mut awaited = self.workers.len();
        while awaited > 0 && signal::seen().is_none() {
            if let Some(WorkerEvent::Ready) = self.next_event()? {
                awaited -= 1;
            }
            observer.opening(&self.seen, self.plan.connections);
        }
        Ok(std::mem::take(&mut self.seen))
    }

    /// Waits for the start time, if the plan has one.
    ///
    /// # Errors
    /// The start time has passed.
    pub fn await_start(&self) -> Result<()> {
        let Some(start_at) = self.plan.start_at else { return Ok(()) };
        if let Err(late) = start_at.elapsed().map_or(Ok(()), Err) {
            bail!(
                "--start-at was {:.1} s before all connections were open; ask for a later time",
                late.as_secs_f64()
            );
        }
        while let Ok(left) = start_at.duration_since(SystemTime::now()) {
            if left <= START_DELAY || signal::seen().is_some() {
                break;
            }
            thread::sleep((left - START_DELAY).min(INTERVAL));
        }
        Ok(())
    }

    /// Measures for `duration`, then waits for outstanding answers.
    ///
    /// # Errors
    /// A thread cannot go on.
    pub fn measure(&mut self, duration: Duration, observer: &mut dyn Observer) -> Result<Run<O>> {
        self.measure_from(self.clock.now() + START_DELAY, duration, observer)
    }

    /// Does the same from a given start, for several coordinators that measure together.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn measure_from(
        &mut self,
        start: Duration,
        duration: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Run<O>> {
        // Events between two measurements belong to neither.
        let mut errors = std::mem::take(&mut self.seen.errors);
        while let Ok((_, event)) = self.events.try_recv() {
            if let WorkerEvent::Interval(interval) = event {
                for (reason, count) in &interval.errors {
                    *errors.entry(reason.clone()).or_default() += count;
                }
            }
        }
        // Failures are kept, so that all are counted.
        self.seen = Seen { errors, ..Seen::new() };
        let ahead = start.saturating_sub(self.clock.now());
        let started_at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default() + ahead;
        self.start = start;
        let server_before = self.server();
        let stolen_before = process::stolen();
        self.command(WorkerCommand::Run { start, duration });
        let mut done: Vec<WorkerRun<O>> = Vec::new();
        let mut interrupted = None;
        while done.len() < self.workers.len() {
            if interrupted.is_none() && signal::seen().is_some() {
                interrupted = Some(Interruption::Signal);
                self.command(WorkerCommand::Stop);
            }
            if let Some(WorkerEvent::Done(one)) = self.next_event()? {
                done.push(one);
            }
            observer.running(&self.seen, self.clock.now().saturating_sub(start));
        }
        let elapsed = done.iter().map(|one| one.elapsed).max().unwrap_or_default();
        let server = server_before.zip(self.server());
        let stolen = process::stolen().saturating_sub(stolen_before);
        let host_cores = thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        let server_cpu = server.as_ref().map(|(before, after)| after.since(before).cpu);
        let cores = self.plan.server_pid.and_then(|pid| process::cores(pid).ok()).unwrap_or(1);
        let load =
            server.map(|(before, after)| ServerLoad::between(&before, &after, cores, elapsed));
        let share = |one: &WorkerRun<O>, time: Duration| {
            time.as_secs_f64() / one.elapsed.as_secs_f64().max(1e-9)
        };
        let most = |of: &dyn Fn(&WorkerRun<O>) -> f64| done.iter().map(of).fold(0.0, f64::max);
        Ok(Run {
            started_at,
            seen: std::mem::take(&mut self.seen),
            elapsed,
            lasted: done.iter().map(|one| one.lasted).max().unwrap_or_default(),
            busy: most(&|one| share(one, one.busy)),
            occupied: most(&|one| share(one, one.busy + one.waited)),
            machine: MachineLoad {
                waited: most(&|one| share(one, one.waited)),
                preempted: done.iter().map(|one| one.preempted).sum(),
                stolen: stolen.as_secs_f64() / elapsed.as_secs_f64().max(1e-9) / host_cores,
            },
            behind: done.iter().map(|one| one.behind).max().unwrap_or_default(),
            tester_cpu: done.iter().map(|one| one.cpu).sum(),
            tester_work: done.iter().map(|one| one.busy).sum(),
            server_cpu,
            server: load,
            open: done.iter().map(|one| one.open).sum(),
            outcomes: done.into_iter().map(|one| one.outcome).collect(),
            interrupted,
        })
    }

    /// Closes all connections with a Close frame.
    pub fn end(mut self) {
        self.command(WorkerCommand::End);
        // Reads until all threads have ended, so that none waits for room in the queue.
        while self.events.recv().is_ok() {}
        for hand in &mut self.workers {
            if let Some(thread) = hand.thread.take() {
                // A worker that failed has reported it before.
                let _ = thread.join();
            }
        }
    }

    /// The wakers of the threads, in their order.
    pub fn wakers(&self) -> Vec<Waker> {
        self.workers.iter().map(|hand| hand.waker.clone()).collect()
    }

    /// The clock of all times of the run.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    fn server(&self) -> Option<ProcessTimes> {
        ProcessTimes::now(&[self.plan.server_pid?]).ok()
    }

    fn command(&self, command: WorkerCommand) {
        for hand in &self.workers {
            // A worker that has failed receives nothing.
            let _ = hand.commands.send(command);
            hand.waker.wake();
        }
    }

    /// The next event that is not an interval; intervals are added up. `None` after a timeout.
    fn next_event(&mut self) -> Result<Option<WorkerEvent<O>>> {
        let has_ended = |hand: &Hand| hand.thread.as_ref().is_some_and(JoinHandle::is_finished);
        match self.events.recv_timeout(INTERVAL) {
            Ok((index, event)) => self.take(index, event),
            Err(RecvTimeoutError::Timeout) if !self.workers.iter().any(has_ended) => Ok(None),
            // Its last event may have arrived just now.
            Err(_) => match self.events.try_recv() {
                Ok((index, event)) => self.take(index, event),
                Err(_) => bail!("a thread has ended too early"),
            },
        }
    }

    fn take(&mut self, index: usize, event: WorkerEvent<O>) -> Result<Option<WorkerEvent<O>>> {
        match event {
            WorkerEvent::Interval(interval) => {
                self.seen.add(&interval, self.start);
                // A worker that has ended does not need it.
                let _ = self.workers[index].spare.send(interval);
                Ok(None)
            }
            WorkerEvent::Failed(error) => Err(error),
            event => Ok(Some(event)),
        }
    }
}

/// Why a thread ended before it started; other threads may send events meanwhile.
fn why_it_failed<O>(events: &Receiver<Said<O>>) -> anyhow::Error {
    while let Ok((_, event)) = events.recv_timeout(SILENCE_TIME_MAX) {
        if let WorkerEvent::Failed(error) = event {
            return error;
        }
    }
    anyhow!("a thread ended before it began")
}

fn work<W: Workload>(
    plan: &Plan,
    thread: u32,
    clock: Clock,
    workload: W,
    channels: Channels<W::Outcome>,
    waker: &Sender<Waker>,
) -> Result<()> {
    worker::settle(plan, thread)?;
    let share = plan.share(thread);
    let (receive_buffers, receive_buffer_bytes) = receive_buffers(share.1, plan.message_bytes);
    let settings = Settings {
        connections_max: share.1.max(1),
        receive_buffers,
        receive_buffer_bytes,
        wait: plan.wait,
        ..Settings::default()
    };
    match plan.engine {
        Engine::Uring(_) => {
            let driver = UringDriver::new(&settings, Vec::new()).context("io_uring")?;
            let _ = waker.send(driver.waker());
            Worker::new(driver, plan, share, clock, workload, channels).run()
        }
        Engine::Epoll { .. } => {
            let driver = EpollDriver::new(&settings, Vec::new()).context("epoll")?;
            let _ = waker.send(driver.waker());
            Worker::new(driver, plan, share, clock, workload, channels).run()
        }
    }
}
