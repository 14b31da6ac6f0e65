//! The simulated network: all links, the drivers' gates, one clock and one random generator.
//!
//! It never sleeps: time is a number that advances when all drivers are idle.

use std::{
    cell::{RefCell, RefMut},
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use fastrand::Rng;

use super::{Client, Faults, SimDriver, link::Link, server::Listening};
use crate::{Settings, Waker};

/// A network in memory. Clones are the same network.
///
/// One seed gives one sequence of events, as long as the test itself is deterministic. A panic while
/// a network lives prints its seed.
///
/// ```
/// use std::time::Duration;
/// use ringway_acceptor::{Completion, Driver, Settings, sim::{Faults, Network}};
/// let network = Network::new(42, Faults::none());
/// let mut driver = network.driver(Settings::default());
/// let client = network.connect();
/// client.send(b"hello");
/// driver.wait(Some(Duration::from_secs(1))).unwrap();
/// assert!(matches!(driver.next(), Some(Completion::Accepted { .. })));
/// let Some(Completion::Received { bytes, .. }) = driver.next() else { panic!() };
/// assert_eq!(bytes, b"hello");
/// ```
#[derive(Debug, Clone)]
pub struct Network {
    world: Rc<RefCell<World>>,
}

#[derive(Debug)]
pub(super) struct World {
    seed: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    now: Duration,
    pub(super) links: Vec<Link>,
    pub(super) gates: Vec<Gate>,
    pub(super) servers: Vec<Listening>,
}

/// The connection between one driver and the network.
#[derive(Debug)]
pub(super) struct Gate {
    /// Links not accepted yet.
    pub(super) waiting: VecDeque<usize>,
    /// Links that are not over.
    live: Vec<usize>,
    pub(super) is_listening: bool,
    /// The driver will find something, or may.
    is_restless: bool,
    /// The driver waits until this time (`None`: for ever).
    asleep: Option<Option<Duration>>,
    waker: Waker,
    is_woken: bool,
    is_gone: bool,
    pub(super) backlog_bytes: usize,
    pub(super) backlog_bytes_peak: usize,
}

impl Network {
    /// A network without drivers and clients, at time zero.
    pub fn new(seed: u64, faults: Faults) -> Self {
        let rng = Rng::with_seed(seed);
        let (links, gates, servers) = (Vec::new(), Vec::new(), Vec::new());
        let world = World { seed, rng, faults, now: Duration::ZERO, links, gates, servers };
        Self { world: Rc::new(RefCell::new(world)) }
    }

    /// A driver on this network. With several drivers, clients are spread over them at random, and
    /// time advances only when all of them wait.
    pub fn driver(&self, settings: Settings) -> SimDriver {
        let waker = Waker::new().expect("a descriptor for an eventfd");
        let mut world = self.world();
        world.gates.push(Gate {
            waiting: VecDeque::new(),
            live: Vec::new(),
            is_listening: true,
            is_restless: false,
            asleep: None,
            waker: waker.clone(),
            is_woken: false,
            is_gone: false,
            backlog_bytes: 0,
            backlog_bytes_peak: 0,
        });
        SimDriver::new(self.clone(), world.gates.len() - 1, settings, waker)
    }

    /// A client that connects from a unique address.
    pub fn connect(&self) -> Client {
        self.connect_from(self.own_address())
    }

    /// The unique address of the client that connects next.
    pub fn own_address(&self) -> SocketAddr {
        let [_, high, middle, low] = (self.world().links.len() as u32).to_be_bytes();
        SocketAddr::from(([10, high, middle, low], 40_000))
    }

    /// A client that connects from `address`. It is refused if no driver listens.
    pub fn connect_from(&self, address: SocketAddr) -> Client {
        self.connect_to(0, address)
    }

    /// A client that connects from `address` to the listener of this number.
    pub fn connect_to(&self, listener: u16, address: SocketAddr) -> Client {
        let world = &mut *self.world();
        let number = world.links.len();
        world.links.push(Link::new(listener, address));
        let listening: Vec<_> =
            (0..world.gates.len()).filter(|gate| world.gates[*gate].is_listening).collect();
        let gate = world.rng.choice(listening);
        match gate {
            Some(gate) => {
                world.gates[gate].waiting.push_back(number);
                world.stir(gate);
            }
            None => world.links[number].reset(&mut world.rng),
        }
        Client::new(self.clone(), number, gate)
    }

    /// The virtual time.
    pub fn now(&self) -> Duration {
        self.world().now
    }

    /// The seed of this sequence of events.
    pub fn seed(&self) -> u64 {
        self.world().seed
    }

    /// Advances the time.
    pub fn advance(&self, time: Duration) {
        self.world().now += time;
    }

    /// Whether all that a driver can find is its own timeout or its owner's operations.
    pub fn is_quiet(&self) -> bool {
        let mut world = self.world();
        world.notice_wakers();
        world.gates.iter().all(|gate| gate.is_gone || gate.is_calm())
    }

    /// The most bytes that one driver has ever kept for slow readers.
    pub fn backlog_bytes_peak(&self) -> usize {
        self.world().gates.iter().map(|gate| gate.backlog_bytes_peak).max().unwrap_or(0)
    }

    pub(super) fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation's seed was {}", self.seed);
        }
    }
}

impl Gate {
    fn is_calm(&self) -> bool {
        !self.is_restless && !self.is_woken
    }
}

impl World {
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.rng.f64() < probability
    }

    /// How many turns a completion is held back.
    pub(super) fn delay(&mut self) -> u64 {
        if self.chance(self.faults.delay) {
            self.rng.u64(0..=self.faults.delay_turns_max.into())
        } else {
            0
        }
    }

    /// Panics for a breach of the contract that the driver found.
    #[track_caller]
    pub(super) fn violation(&self, what: &str) -> ! {
        panic!("the driver's contract is broken: {what} (simulation seed {})", self.seed)
    }

    /// Records a change that the gate's driver may notice.
    pub(super) fn stir(&mut self, gate: usize) {
        self.gates[gate].is_restless = true;
    }

    /// A link was accepted or refused: from now on its client's side changes.
    pub(super) fn make_live(&mut self, gate: usize, link: usize) {
        self.gates[gate].live.push(link);
    }

    /// Moves all clients of a gate on.
    pub(super) fn progress(&mut self, gate: usize) {
        let Self { gates, links, rng, faults, .. } = self;
        gates[gate].live.retain(|link| {
            let link = &mut links[*link];
            link.progress(faults, rng);
            !link.is_over()
        });
    }

    pub(super) fn is_moving(&self, gate: usize) -> bool {
        self.gates[gate].live.iter().any(|link| self.links[*link].is_moving())
    }

    /// Ends a driver's wait. Time advances: a little while any driver has something to do, else
    /// until the first driver's timeout. Returns whether the driver was woken by another.
    pub(super) fn rest(&mut self, gate: usize, timeout: Option<Duration>, found: Found) -> bool {
        self.notice_wakers();
        let until = timeout.map(|timeout| self.now + timeout);
        let own = &mut self.gates[gate];
        own.is_restless = found == Found::Later;
        let may_sleep = found == Found::Nothing && !own.is_woken;
        own.asleep = may_sleep.then_some(until);
        let step = Duration::from_micros(self.rng.u64(1..=500));
        let sleepers = || self.gates.iter().filter(|gate| !gate.is_gone);
        if sleepers().all(|gate| gate.is_calm() && gate.asleep.is_some()) {
            if let Some(first) = sleepers().filter_map(|gate| gate.asleep.flatten()).min() {
                self.now = self.now.max(first);
            }
        } else if !may_sleep {
            self.now += timeout.map_or(step, |timeout| timeout.min(step));
        }
        // A gate whose timeout has passed counts as awake until it waits again.
        let now = self.now;
        for gate in &mut self.gates {
            gate.asleep = gate.asleep.filter(|until| until.is_none_or(|until| until > now));
        }
        std::mem::take(&mut self.gates[gate].is_woken)
    }

    /// A driver is dropped: its connections break.
    pub(super) fn leave(&mut self, gate: usize) {
        let gate = &mut self.gates[gate];
        gate.is_gone = true;
        gate.is_listening = false;
        for link in gate.waiting.drain(..).chain(gate.live.drain(..)) {
            self.links[link].reset(&mut self.rng);
        }
    }

    fn notice_wakers(&mut self) {
        for gate in &mut self.gates {
            gate.is_woken |= gate.waker.wake_up();
        }
    }
}

/// The result of a driver's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing now nor, as far as is known, later.
    Nothing,
    /// Something to report now, and nothing later.
    Now,
    /// Something to report, or to do, in a later turn.
    Later,
}
