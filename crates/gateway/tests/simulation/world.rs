//! A world in one thread: cores on simulated drivers, one network, one clock, and all clients.
//!
//! It runs the loop of every core in virtual time, and audits each turn.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use ringway::{
    auth::IdentitySource,
    broker::{Broker, mailbox::Mailbox, source::LogSource},
    config::settings::Settings,
    edge::limiter::ConnectionLimiter,
    memory::MemoryBudget,
    rates::PauseReason,
    refusal::EndReason,
};
use ringway_acceptor::{Completion, Driver, sim::Network};
use ringway_hub::Epoch;

use crate::{
    checkers::{Audit, Trace, check},
    core::Core,
    hub::{
        Hub, LateLog, Place, Placing,
        token::{self, Naming},
    },
    identities::Identified,
    relay::{self, Pair, Servers},
    scenario::Scenario,
    script::{Moment, Scripts},
    tally::{Count, Tally},
};

const PROPERTY: &str = "a run ends";

/// How often a turn's operations are sent before its end although they are few.
const SENT_EARLY: f64 = 0.05;

/// The state that all cores share.
pub struct Shared {
    /// The settings at the start.
    pub settings: Arc<Settings>,
    /// The log and the directory.
    pub broker: Arc<Broker>,
    /// The source that gives events their places, unless the log does.
    pub late_log: Option<Arc<LateLog>>,
    /// The source of clients' identities.
    pub identities: Arc<dyn IdentitySource>,
    /// The limits of connections.
    pub limiter: Arc<ConnectionLimiter>,
    /// The mailbox for messages to the cores.
    pub mailbox: Mailbox,
    /// The memory budget of the process: more than a run ever uses.
    pub memory: Arc<MemoryBudget>,
}

/// The whole simulated world.
pub struct World {
    network: Network,
    shared: Shared,
    cores: Vec<Core>,
    audit: Audit,
    trace: Trace,
    tally: Tally,
    scripts: Scripts,
    hub: Hub,
    pairs: Vec<Pair>,
    drain_at: Option<Duration>,
    drained_at: Option<Duration>,
    stall: f64,
    turns_max: u64,
    rng: Rng,
}

impl World {
    /// The world of a scenario, before anything has happened.
    pub fn new(scenario: Scenario) -> Self {
        let Scenario { seed, faults, driver, .. } = scenario;
        let network = Network::new(seed, faults);
        let mut rng = Rng::with_seed(!seed);
        let settings = Arc::new(scenario.settings);
        let mailbox = Mailbox::default();
        // The model of the hub must know in which turn a request is served.
        let identified = match scenario.hub.devices == 0 && seed % 2 == 1 {
            true => Identified::Later,
            false => Identified::AtOnce,
        };
        let broker = Broker::new(Epoch::new(seed + 1), &settings.history, &settings.history_topics);
        let late_log = match scenario.hub.placing {
            Placing::AtOnce => None,
            Placing::Later => Some(Arc::new(LateLog::new(seed))),
        };
        let shared = Shared {
            identities: match scenario.hub.naming {
                Naming::SelfNamed => identified.source(&mailbox),
                Naming::ByToken => token::source(),
            },
            broker: Arc::new(match &late_log {
                Some(late_log) => broker.with_source(Arc::clone(late_log) as Arc<dyn LogSource>),
                None => broker,
            }),
            late_log,
            limiter: Arc::new(ConnectionLimiter::new(scenario.limits.clone())),
            mailbox,
            memory: Arc::new(MemoryBudget::new(1 << 40)),
            settings,
        };
        let audit = Audit::new(scenario.limits, &shared.settings);
        let mut pairs = Vec::new();
        let cores = match scenario.relays {
            Some(plan) => {
                let servers: Vec<_> = (0..rng.usize(1..=3))
                    .map(|_| Servers::new(&network, plan.losses, &mut rng))
                    .collect();
                let (metrics, driver) = (Arc::default(), network.driver(driver.clone()));
                shared.mailbox.register(driver.waker());
                let shard = relay::shard(plan, &servers, &metrics, &shared);
                for (number, servers) in servers.into_iter().enumerate() {
                    pairs.push(Pair::new(&network, plan.losses, number, servers, &mut rng));
                }
                let mut core = Core::of(driver, shard, metrics);
                core.relays = true;
                vec![core]
            }
            None => (0..scenario.cores)
                .map(|number| Core::new(number, &network, driver.clone(), &shared))
                .collect(),
        };
        Self {
            scripts: Scripts::new(scenario.scripted, &shared.settings, &driver, &faults),
            hub: Hub::new(scenario.hub, &network, &shared, &faults, &mut rng),
            network,
            shared,
            cores,
            audit,
            trace: Trace::default(),
            tally: Tally::default(),
            pairs,
            drain_at: scenario.drain_at,
            drained_at: None,
            stall: scenario.stall,
            turns_max: scenario.turns_max,
            rng,
        }
    }

    /// Runs until nothing more happens.
    pub fn run(mut self) -> Tally {
        let mut turns = 0;
        while !self.is_over() {
            self.turn();
            turns += 1;
            check!(turns < self.turns_max, "the world hangs; {}", self.describe());
        }
        self.check_end();
        let mut tally = self.tally;
        tally.add_all(Count::Turns, turns);
        for core in &self.cores {
            tally.add_all(Count::Lagged, core.metrics.lagged.value());
            tally.add_all(Count::ChannelErrors, core.metrics.channel_errors.value());
            let paused = [PauseReason::Messages, PauseReason::Bytes];
            let paused = paused.map(|reason| core.metrics.paused[reason as usize].value());
            tally.add_all(Count::Paused, paused.into_iter().sum());
            let too_fast = core.metrics.ended.0[EndReason::Rate as usize].value();
            tally.add_all(Count::TooFast, too_fast);
        }
        self.scripts.count(&mut tally);
        self.hub.model.count_outcomes();
        tally += self.hub.model.tally;
        tally.trace = self.trace.value();
        tally
    }

    fn is_over(&self) -> bool {
        let now = self.network.now();
        let is_finished = |core: &Core| match self.drained_at {
            Some(_) => core.shard.is_finished(now),
            None => core.shard.clients() == 0,
        };
        let are_done = self.drained_at.is_some()
            || (self.scripts.are_done()
                && self.hub.is_done()
                && self.pairs.iter().all(Pair::has_ended)
                && self.is_at_rest());
        are_done && self.cores.iter().all(is_finished) && self.is_quiet()
    }

    /// Whether nothing is in flight.
    fn is_quiet(&self) -> bool {
        self.network.is_quiet()
            && self.hub.has_all_places()
            && self.cores.iter().all(|core| core.operations.is_empty())
    }

    /// Whether nothing will happen without a client's action or a timeout.
    fn is_at_rest(&self) -> bool {
        let now = self.network.now();
        self.network.is_quiet()
            && self.hub.has_all_places()
            && self.cores.iter().all(|core| core.is_at_rest(now))
    }

    /// Lets clients act, then lets the cores take a turn, in any order.
    fn turn(&mut self) {
        let now = self.network.now();
        self.hub.place_events(now);
        self.hub.check(now, &mut self.trace);
        let is_at_rest = self.is_at_rest();
        if is_at_rest {
            self.hub.model.audit_rest(now);
            self.cores.iter().for_each(Audit::at_rest);
        }
        let next = self.act(now).into_iter().chain(self.hub.act(now, is_at_rest)).min();
        let first = self.rng.usize(0..self.cores.len());
        for place in 0..self.cores.len() {
            self.turn_core((first + place) % self.cores.len(), next);
        }
    }

    /// Lets scripted and relayed clients act. Returns when the next one wants to act.
    fn act(&mut self, now: Duration) -> Option<Duration> {
        let drain_at = self.drain_at.filter(|_| self.drained_at.is_none());
        if drain_at.is_some_and(|at| at <= now) {
            self.shared.mailbox.drain(self.shared.settings.server.drain_time);
            self.drained_at = Some(now);
        }
        let draining = self.drained_at.is_some();
        let moment = Moment { now, draining, settings: &self.shared.settings };
        let drain = drain_at.filter(|at| *at > now);
        let scripts = self.scripts.act(&self.network, moment, &mut self.trace, &mut self.rng);
        let pairs = self.pairs.iter_mut().filter_map(|pair| pair.act(now, &mut self.rng)).min();
        drain.into_iter().chain(scripts).chain(pairs).min()
    }

    /// Runs a core's loop once, as `event_loop` does, unless it sleeps or stands still.
    fn turn_core(&mut self, number: usize, next: Option<Duration>) {
        if self.cores[number].is_stalled(&self.network, self.stall, &mut self.rng) {
            return;
        }
        let is_quiet = self.is_quiet();
        let until = self.cores[number].wait(&self.network, next, is_quiet);
        let now = self.network.now();
        let completions = self.complete(number, now);
        if self.cores[number].sleeps_on(completions, until, now) {
            return;
        }
        let Self { cores, hub: Hub { model, .. }, .. } = self;
        let Core { driver, shard, operations, .. } = &mut cores[number];
        model.has_received_all(number);
        model.expect_a_gap(number, shard.hub().position());
        model.before_resuming();
        let before = shard.hub().dispatch.place();
        shard.follow_log(now, operations);
        model.has_visited(number, (before.pass, before.slot), shard);
        model.has_resumed(shard, Place::of(number, shard, now));
        shard.expire(now, operations);
        shard.count(&driver.counters(), operations);
        // A turn takes time.
        self.network.advance(Duration::from_micros(self.rng.u64(1..20)));
        model.learn();
        model.end_turn();
        self.audit.after_turn(number, &self.cores[number], &self.shared.limiter);
    }

    /// Serves the completions; returns how many there were. The checkers see them first.
    fn complete(&mut self, number: usize, now: Duration) -> usize {
        let Self { cores, hub, scripts, audit, trace, tally, rng, .. } = self;
        let Core { driver, shard, operations, relays, .. } = &mut cores[number];
        let mut completions = 0;
        while let Some(completion) = driver.next_in(&mut **shard) {
            completions += 1;
            trace.note(number, &completion, now);
            if *relays {
                shard.complete(completion, now, operations);
                continue;
            }
            let is_placed = matches!(completion, Completion::Placed { .. });
            tally.add_all(Count::Placed, u64::from(is_placed));
            let place = Place::of(number, shard, now);
            let patience = hub.model.patience(number, &completion);
            let rejected = audit.note(number, &completion, patience, now);
            scripts.note(number, &completion, rejected, tally);
            hub.model.note(&completion, place);
            let received = match completion {
                Completion::Received { connection, .. } | Completion::Placed { connection, .. } => {
                    Some(connection)
                }
                _ => None,
            };
            shard.complete(completion, now, operations);
            if operations.is_due_early() || rng.f64() < SENT_EARLY {
                shard.count(&driver.counters(), operations);
                driver.send_early(operations);
            }
            if let Some(connection) = received {
                hub.model.is_taken(connection, shard, place);
            }
            hub.model.learn();
        }
        completions
    }

    /// Checks the properties that hold at the end of a run.
    fn check_end(&mut self) {
        let now = self.network.now();
        // Clients read the bytes of the last turn.
        self.act(now);
        if let Some(drained_at) = self.drained_at {
            self.scripts.check_drained(now - drained_at, self.shared.settings.server.drain_time);
        }
        for core in self.cores.iter().filter(|core| core.shard.clients() == 0) {
            Audit::at_end(core, self.drained_at.is_some(), now);
        }
        if self.cores.iter().all(|core| core.shard.clients() == 0) {
            self.audit.at_last(&self.shared.limiter);
            self.hub.check_end();
        }
        if self.pairs.is_empty() {
            return;
        }
        let (peak, pairs) = (self.network.backlog_bytes_peak(), self.pairs.len());
        relay::check_peak(peak, pairs, &mut self.tally);
        self.pairs.iter_mut().for_each(|pair| pair.check(&mut self.tally));
    }

    fn describe(&self) -> String {
        let connections = self.cores.iter().map(|core| core.shard.clients());
        let connections: Vec<_> = connections.collect();
        format!(
            "connections {connections:?}; {:#?} {:#?}",
            self.scripts.describe(),
            self.hub.describe()
        )
    }
}
