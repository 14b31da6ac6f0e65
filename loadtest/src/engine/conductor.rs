//! All threads of a run: starts them, tells them when to measure, and adds up what they see.
//!
//! It never looks at a message, and never prints: an [`Observer`] is told how far things are.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use ringway_acceptor::{Settings, Waker, engine::Engine, epoll::EpollDriver, uring::UringDriver};

use super::{
    links::Clock,
    plan::Plan,
    signal,
    worker::{self, Channels, Done, Order, Word, Worker},
    workload::Workload,
};
use crate::measure::{
    arrivals::Share,
    interval::{INTERVAL, Interval},
    process::{self, Scheduled},
    timeline::Seen,
};

/// From the order to the start: all threads have heard it by then.
pub const START_DELAY: Duration = Duration::from_millis(20);

/// A worker that says nothing for so long, while it has nothing else to wait for, hangs.
const SILENCE_TIME_MAX: Duration = Duration::from_secs(30);

/// Is told how far a run is, several times a second.
pub trait Observer {
    /// Connections are being opened.
    fn opening(&mut self, seen: &Seen, of: u32);

    /// A measurement is under way for `elapsed`.
    fn running(&mut self, seen: &Seen, elapsed: Duration);
}

/// What a measurement brought.
#[derive(Debug)]
pub struct Run<O> {
    /// What was seen during it.
    pub seen: Seen,
    /// When it started, since 1970.
    pub started_at: Duration,
    /// What each thread's workload knows.
    pub outcomes: Vec<O>,
    /// From the start to the last answer, the longest of all threads.
    pub elapsed: Duration,
    /// From the start to the end of the sending.
    pub lasted: Duration,
    /// The share of the time that the busiest thread worked; spinning is not work.
    pub busy: f64,
    /// The largest share of the time that a thread worked, or could not for want of a CPU.
    pub occupied: f64,
    /// What the machine kept from the threads.
    pub machine: MachineLoad,
    /// By so much the sending was behind what was due when it was told to stop.
    pub behind: Duration,
    /// CPU time of all threads.
    pub tester_cpu: Duration,
    /// CPU time of the server meanwhile, if its process is known and was there at the end.
    pub server_cpu: Option<Duration>,
    /// What else is known of the server then.
    pub server: Option<ServerLoad>,
    /// Connections open at the end.
    pub open: u32,
    /// Why it was cut short.
    pub interrupted: Option<Interruption>,
}

/// What a machine kept from the tester's threads.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MachineLoad {
    /// The largest share of the time that a thread had work and waited for a CPU.
    pub waited: f64,
    /// How often threads were taken off their CPUs although they had work.
    pub preempted: u64,
    /// The share of the time of all CPUs that the host of a virtual machine used for others.
    pub stolen: f64,
}

impl MachineLoad {
    /// The larger of each share, and all preemptions.
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
    /// The share of all the CPUs that it may use.
    pub used: f64,
    /// The share of the time that its threads wanted a CPU and waited for one, of the time that
    /// they wanted one.
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

    /// What its threads did between two looks at them.
    pub fn between(
        before: &BTreeMap<u32, Scheduled>,
        after: &BTreeMap<u32, Scheduled>,
        cores: u32,
        elapsed: Duration,
    ) -> Self {
        let (mut busiest, mut cpu, mut waited) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for (thread, now) in after {
            let then = before.get(thread).copied().unwrap_or_default();
            let spent = now.cpu.saturating_sub(then.cpu);
            busiest = busiest.max(spent);
            cpu += spent;
            waited += now.waited.saturating_sub(then.waited);
        }
        let seconds = elapsed.as_secs_f64().max(1e-9);
        Self {
            busiest: busiest.as_secs_f64() / seconds,
            used: cpu.as_secs_f64() / seconds / f64::from(cores.max(1)),
            starved: waited.as_secs_f64() / (cpu + waited).as_secs_f64().max(1e-9),
        }
    }
}

impl<O> Run<O> {
    /// Adds another measurement of the same connections, as if it had come right after this one.
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
        self.server_cpu = self.server_cpu.zip(other.server_cpu).map(|(a, b)| a + b);
        self.open = other.open;
        self.interrupted = self.interrupted.or(other.interrupted);
    }
}

/// Why a measurement was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The user asked for it.
    Signal,
}

/// The threads of a run, whose connections stay open between measurements.
pub struct Conductor<O> {
    plan: Arc<Plan>,
    clock: Clock,
    workers: Vec<Hand>,
    words: Receiver<(usize, Word<O>)>,
    seen: Seen,
    start: Duration,
}

/// A worker as the conductor sees it.
struct Hand {
    thread: Option<JoinHandle<()>>,
    orders: Sender<Order>,
    waker: Waker,
    spare: Sender<Box<Interval>>,
}

impl<O: Send + 'static> Conductor<O> {
    /// Starts the threads; each has a workload that `make` makes for its share.
    ///
    /// # Errors
    /// A thread or its driver cannot be had.
    pub fn start<W, M>(plan: Plan, make: M) -> Result<Self>
    where
        W: Workload<Outcome = O>,
        M: Fn(Share, &Plan) -> W + Send + Sync + 'static,
    {
        Self::start_by(Clock::start(), plan, make)
    }

    /// The same by a clock that other threads go by already.
    ///
    /// # Errors
    /// As above.
    pub fn start_by<W, M>(clock: Clock, plan: Plan, make: M) -> Result<Self>
    where
        W: Workload<Outcome = O>,
        M: Fn(Share, &Plan) -> W + Send + Sync + 'static,
    {
        signal::watch()?;
        let (plan, make) = (Arc::new(plan), Arc::new(make));
        let (word_in, words) = mpsc::channel();
        let mut workers = Vec::new();
        for thread in 0..plan.threads {
            let (plan, make, word_in) = (plan.clone(), make.clone(), word_in.clone());
            let (orders, order_out) = mpsc::channel();
            let (spare, spare_out) = mpsc::channel();
            let (waker_in, waker) = mpsc::channel();
            let body = move || {
                let index = thread as usize;
                let words = word_in.clone();
                let channels = Channels { orders: order_out, words, index, spare: spare_out };
                let share = Share { index: thread, of: plan.threads };
                let workload = make(share, &plan);
                if let Err(error) = work(&plan, thread, clock, workload, channels, &waker_in) {
                    // Nobody may be there to hear it.
                    let _ = word_in.send((index, Word::Failed(error)));
                }
            };
            let name = format!("load-{thread}");
            let handle = thread::Builder::new().name(name).spawn(body).context("a thread")?;
            match waker.recv() {
                Ok(waker) => {
                    let thread = Some(handle);
                    workers.push(Hand { thread, orders, waker, spare });
                }
                Err(_) => {
                    let failed = words.recv_timeout(SILENCE_TIME_MAX);
                    match failed {
                        Ok((_, Word::Failed(error))) => return Err(error),
                        _ => bail!("a thread ended before it began"),
                    }
                }
            }
        }
        Ok(Self { plan, clock, workers, words, seen: Seen::new(), start: Duration::ZERO })
    }

    /// Waits until each connection is open or was tried. What was seen meanwhile.
    ///
    /// # Errors
    /// A thread cannot go on.
    pub fn await_ready(&mut self, observer: &mut dyn Observer) -> Result<Seen> {
        let mut awaited = self.workers.len();
        while awaited > 0 && signal::seen().is_none() {
            if let Some(Word::Ready) = self.next_word()? {
                awaited -= 1;
            }
            observer.opening(&self.seen, self.plan.connections);
        }
        Ok(std::mem::take(&mut self.seen))
    }

    /// Waits until it is time to begin, if the plan says when that is.
    ///
    /// # Errors
    /// It is past that.
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

    /// Measures for `duration`, then waits for what is still to come.
    ///
    /// # Errors
    /// A thread cannot go on.
    pub fn measure(&mut self, duration: Duration, observer: &mut dyn Observer) -> Result<Run<O>> {
        self.measure_from(self.clock.now() + START_DELAY, duration, observer)
    }

    /// The same from a time on, as when several conductors measure together.
    ///
    /// # Errors
    /// As above.
    pub fn measure_from(
        &mut self,
        start: Duration,
        duration: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Run<O>> {
        // What came between two measurements belongs to none.
        let mut errors = std::mem::take(&mut self.seen.errors);
        while let Ok((_, word)) = self.words.try_recv() {
            if let Word::Interval(interval) = word {
                for (reason, count) in &interval.errors {
                    *errors.entry(reason.clone()).or_default() += count;
                }
            }
        }
        // But for failures, of which none must vanish.
        self.seen = Seen { errors, ..Seen::new() };
        let ahead = start.saturating_sub(self.clock.now());
        let started_at = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default() + ahead;
        self.start = start;
        let server_before = self.server();
        let stolen_before = process::stolen();
        self.order(Order::Run { start, duration });
        let mut done: Vec<Done<O>> = Vec::new();
        let mut interrupted = None;
        while done.len() < self.workers.len() {
            if interrupted.is_none() && signal::seen().is_some() {
                interrupted = Some(Interruption::Signal);
                self.order(Order::Stop);
            }
            if let Some(Word::Done(one)) = self.next_word()? {
                done.push(one);
            }
            observer.running(&self.seen, self.clock.now().saturating_sub(start));
        }
        let elapsed = done.iter().map(|one| one.elapsed).max().unwrap_or_default();
        let server = server_before.zip(self.server());
        let stolen = process::stolen().saturating_sub(stolen_before);
        let host_cores = thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        let server_cpu = server.as_ref().map(|(before, after)| {
            let sum = |all: &BTreeMap<u32, Scheduled>| all.values().map(|one| one.cpu).sum();
            let (before, after): (Duration, Duration) = (sum(before), sum(after));
            after.saturating_sub(before)
        });
        let cores = self.plan.server_pid.and_then(|pid| process::cores(pid).ok()).unwrap_or(1);
        let load =
            server.map(|(before, after)| ServerLoad::between(&before, &after, cores, elapsed));
        let share = |one: &Done<O>, time: Duration| {
            time.as_secs_f64() / one.elapsed.as_secs_f64().max(1e-9)
        };
        let most = |of: &dyn Fn(&Done<O>) -> f64| done.iter().map(of).fold(0.0, f64::max);
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
            server_cpu,
            server: load,
            open: done.iter().map(|one| one.open).sum(),
            outcomes: done.into_iter().map(|one| one.outcome).collect(),
            interrupted,
        })
    }

    /// Closes all connections politely.
    pub fn end(mut self) {
        self.order(Order::End);
        for hand in &mut self.workers {
            if let Some(thread) = hand.thread.take() {
                // A worker that failed has said so before.
                let _ = thread.join();
            }
        }
    }

    /// Wakes each of the threads, in their order.
    pub fn wakers(&self) -> Vec<Waker> {
        self.workers.iter().map(|hand| hand.waker.clone()).collect()
    }

    /// The clock that all times of the run are in.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    fn server(&self) -> Option<BTreeMap<u32, Scheduled>> {
        process::threads(self.plan.server_pid?).ok()
    }

    fn order(&self, order: Order) {
        for hand in &self.workers {
            // One that has failed does not hear.
            let _ = hand.orders.send(order);
            hand.waker.wake();
        }
    }

    /// The next word that is not an interval; intervals are added up. `None` after a while.
    fn next_word(&mut self) -> Result<Option<Word<O>>> {
        let has_ended = |hand: &Hand| hand.thread.as_ref().is_some_and(JoinHandle::is_finished);
        match self.words.recv_timeout(INTERVAL) {
            Ok((index, word)) => self.take(index, word),
            Err(RecvTimeoutError::Timeout) if !self.workers.iter().any(has_ended) => Ok(None),
            // Its last word may have come just now.
            Err(_) => match self.words.try_recv() {
                Ok((index, word)) => self.take(index, word),
                Err(_) => bail!("a thread has ended too early"),
            },
        }
    }

    fn take(&mut self, index: usize, word: Word<O>) -> Result<Option<Word<O>>> {
        match word {
            Word::Interval(interval) => {
                self.seen.add(&interval, self.start);
                // A worker that is gone needs it no more.
                let _ = self.workers[index].spare.send(interval);
                Ok(None)
            }
            Word::Failed(error) => Err(error),
            word => Ok(Some(word)),
        }
    }
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
    let settings = Settings {
        connections_max: share.1.max(1),
        receive_buffers: 1024,
        receive_buffer_bytes: if plan.message_bytes > 4096 { 64 << 10 } else { 4096 },
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
