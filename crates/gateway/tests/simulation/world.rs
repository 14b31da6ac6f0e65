//! A world in one thread: the real shard on the simulated driver, and its visitors.
//!
//! It turns the gateway's loop by hand, in virtual time, and audits it after every turn.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use fastrand::Rng;
use ringway::broker::Broker;
use ringway::broker::mailbox::Mailbox;
use ringway::config::settings::Settings;
use ringway::core::shard::Shard;
use ringway::core::shard::ShardParts;
use ringway::edge::limiter::ConnectionLimiter;
use ringway::memory::MemoryBudget;
use ringway::metrics::CoreMetrics;
use ringway_acceptor::{
    Driver, Operations,
    sim::{Network, SimDriver},
};
use ringway_hub::Epoch;

use super::{
    ledger::Ledger,
    scenario::Scenario,
    visitor::{LATENESS, Moment, Visitor},
};

/// More turns than any course of events takes: past this the gateway, or the world, hangs.
const TURNS_MAX: u64 = 400_000;

/// How much time passes at most while bytes are on their way.
const STEP: Duration = Duration::from_millis(1);

/// All that there is.
pub struct World {
    network: Network,
    driver: SimDriver,
    shard: Shard,
    operations: Operations,
    limiter: Arc<ConnectionLimiter>,
    mailbox: Mailbox,
    settings: Arc<Settings>,
    ledger: Ledger,
    visitors: Vec<Visitor>,
    addresses: Vec<SocketAddr>,
    drain_at: Option<Duration>,
    drained_at: Option<Duration>,
    rng: Rng,
}

/// What a course of events came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// A hash of all that the gateway was told and all that it said.
    pub trace: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Visitors that got all that they were owed.
    pub satisfied: usize,
    /// How often reading was paused past the bound of the queue.
    pub overruns: usize,
}

impl World {
    /// The world of a scenario, before anything has happened.
    pub fn new(scenario: Scenario) -> Self {
        let Scenario { seed, faults, driver, settings, limiter, visitors, addresses, drain_at } =
            scenario;
        let network = Network::new(seed, faults);
        let ledger = Ledger::new(&limiter, &settings, &driver, &faults);
        let driver = network.driver(driver);
        let (mailbox, settings) = (Mailbox::default(), Arc::new(settings));
        mailbox.register(driver.waker());
        let limiter = Arc::new(ConnectionLimiter::new(limiter));
        let shard = Shard::new(ShardParts {
            settings: Arc::clone(&settings),
            limiter: Arc::clone(&limiter),
            broker: Arc::new(Broker::new(
                Epoch::new(seed),
                &settings.history,
                &settings.history_topics,
            )),
            mailbox: mailbox.clone(),
            memory: Arc::new(MemoryBudget::new(1 << 30)),
            metrics: Arc::new(CoreMetrics::default()),
            channels: ringway::outbox::channel::Channels::default(),
            core: 0,
        });
        let operations = Operations::default();
        let rng = Rng::with_seed(!seed);
        Self {
            network,
            driver,
            shard,
            operations,
            limiter,
            mailbox,
            settings,
            ledger,
            visitors,
            addresses,
            drain_at,
            drained_at: None,
            rng,
        }
    }

    /// Lets everything happen.
    pub fn run(self) -> Outcome {
        self.run_and_ask(|_| ()).0
    }

    /// Lets everything happen, then asks each visitor how it fared.
    pub fn run_and_ask<T>(mut self, ask: impl Fn(&Visitor) -> T) -> (Outcome, Vec<T>) {
        let mut turns = 0;
        while !self.is_over() {
            self.turn();
            turns += 1;
            assert!(turns < TURNS_MAX, "the world hangs; {}", self.describe());
        }
        // The last words are on their way to the ears.
        self.visit(self.network.now());
        match self.drained_at {
            Some(drained_at) => self.audit_drain(drained_at),
            None => self.audit_rest(),
        }
        let satisfied = self.visitors.iter().filter(|visitor| visitor.got_all()).count();
        let (trace, overruns) = (self.ledger.trace(), self.ledger.overruns());
        let told = self.visitors.iter().map(ask).collect();
        (Outcome { trace, turns, satisfied, overruns }, told)
    }

    fn is_over(&self) -> bool {
        let is_done = |visitor: &Visitor| visitor.is_done();
        let is_quiet = self.network.is_quiet() && self.operations.is_empty();
        match self.drained_at {
            Some(_) => self.shard.is_finished(self.network.now()) && is_quiet,
            None => self.visitors.iter().all(is_done) && self.shard.clients() == 0 && is_quiet,
        }
    }

    /// One turn of the visitors, then one of the gateway, as its event loop does it.
    fn turn(&mut self) {
        let now = self.network.now();
        let next = self.visit(now);
        let is_calm = self.network.is_quiet() && self.operations.is_empty();
        self.driver.submit(&mut self.operations);
        let deadline = self.shard.next_deadline(now);
        let next = next.map(|next| next.saturating_sub(now));
        // No time passes unseen while anything moves.
        let step = (!is_calm).then_some(STEP);
        let timeout = deadline.into_iter().chain(next).chain(step).min();
        self.driver.wait(timeout).expect("the simulation has no kernel");
        let now = self.network.now();
        while let Some(completion) = self.driver.next() {
            self.ledger.note(&completion, now, &mut self.visitors);
            self.shard.complete(completion, now, &mut self.operations);
        }
        self.shard.follow_log(now, &mut self.operations);
        self.shard.expire(now, &mut self.operations);
        self.shard.count(&self.driver.counters(), &self.operations);
        assert_eq!(self.shard.clients(), self.ledger.connections(), "clients of the shard");
        assert_eq!(self.limiter.connections(), self.ledger.seats(), "seats of the census");
    }

    /// All visitors act, in any order; returns when the next one wants to.
    fn visit(&mut self, now: Duration) -> Option<Duration> {
        let drain_at = self.drain_at.filter(|_| self.drained_at.is_none());
        if drain_at.is_some_and(|at| at <= now) {
            self.mailbox.drain(self.settings.server.drain_time);
            self.drained_at = Some(now);
        }
        let moment = Moment {
            now,
            draining: self.drained_at.is_some(),
            ping_interval: self.settings.websocket.ping_interval,
            silence_max: self.settings.websocket.ping_interval
                + self.settings.websocket.pong_timeout,
            handshake_timeout: self
                .settings
                .limits
                .handshake_timeout
                .min(self.settings.limits.keep_alive_timeout),
            message_timeout: self.settings.websocket.message_timeout,
        };
        let mut next = drain_at.filter(|at| *at > now);
        let first = self.rng.usize(0..self.visitors.len());
        for place in 0..self.visitors.len() {
            let number = (first + place) % self.visitors.len();
            let visitor = &mut self.visitors[number];
            let address = self.addresses.get(number).copied();
            if let Some(address) = visitor.come(&self.network, address, now) {
                self.ledger.expect(address, number);
            }
            let wish = visitor.act(moment);
            next = next.into_iter().chain(wish).min();
        }
        next
    }

    /// After the last visitor has gone, nothing is left.
    fn audit_rest(&self) {
        assert_eq!(self.shard.clients(), 0, "clients");
        assert_eq!(self.limiter.connections(), 0, "seats");
        assert_eq!(self.driver.connections(), 0, "connections of the driver");
        assert_eq!(self.driver.leases_taken(), 0, "leases");
        assert_eq!(self.shard.next_deadline(self.network.now()), None, "deadlines");
    }

    /// After a drain nobody is left who could have left.
    fn audit_drain(&self, drained_at: Duration) {
        let took = self.network.now() - drained_at;
        assert!(took <= self.settings.server.drain_time + LATENESS, "the drain took {took:?}");
        for visitor in self.visitors.iter().filter(|visitor| visitor.is_attentive()) {
            assert!(visitor.is_done() || !visitor.has_come(), "left behind: {}", visitor.summary());
        }
        if self.shard.clients() == 0 {
            assert_eq!(self.limiter.connections(), 0, "seats");
            assert_eq!(self.driver.connections(), 0, "connections of the driver");
            assert_eq!(self.driver.leases_taken(), 0, "leases");
        }
    }

    fn describe(&self) -> String {
        let left = self.visitors.iter().filter(|visitor| !visitor.is_done());
        let left: Vec<_> = left.map(Visitor::summary).collect();
        format!("{} clients in the shard; not done: {left:#?}", self.shard.clients())
    }
}
