//! A world in one thread: two shards on simulated drivers, one log, the clients and the model.
//!
//! It begins and ends a course of events. What happens in between is told by `cores` (the gateway),
//! `acting` and `hearing` (the clients).

use std::{ops::AddAssign, sync::Arc, time::Duration};

use fastrand::Rng;
use ringway::broker::Broker;
use ringway::broker::mailbox::Mailbox;
use ringway::broker::source::LogSource;
use ringway::edge::limiter::ConnectionLimiter;
use ringway::edge::limiter::ConnectionLimits;
use ringway_acceptor::sim::Network;
use ringway_hub::{Cursor, Epoch, Liveness};

use super::{
    application::Application,
    cores::{CORES, Core},
    course::{Course, Flood, Memory, Placing},
    late_log::LateLog,
    model::Model,
};

/// More turns than any course of events takes: past this the gateway, or the world, hangs.
const TURNS_MAX: u64 = 400_000;

/// All that there is.
pub struct World {
    pub(super) network: Network,
    pub(super) cores: [Core; CORES],
    pub(super) model: Model,
    pub(super) broker: Arc<Broker>,
    pub(super) mailbox: Mailbox,
    pub(super) names: Vec<String>,
    pub(super) topics: Vec<String>,
    pub(super) devices: Vec<Device>,
    pub(super) application: Application,
    /// What gives events their places, unless the log does.
    pub(super) late_log: Option<Arc<LateLog>>,
    pub(super) rng: Rng,
    pub(super) haste: Duration,
    pub(super) memory: Memory,
    pub(super) stall: f64,
    pub(super) flood: Option<Flood>,
    pub(super) application_acts_at: Duration,
    pub(super) application_actions: u32,
    pub(super) send_buffer_bytes: usize,
    pub(super) serial: u64,
    limiter: Arc<ConnectionLimiter>,
}

/// A client, over all of its connections.
pub struct Device {
    /// Its name, by number.
    pub person: usize,
    /// The connection that it is told events by.
    pub line: Option<usize>,
    /// The connection that it sends by, where the other one does not go both ways.
    pub post: Option<usize>,
    /// How far it has come.
    pub cursor: Option<Cursor>,
    /// Where it was before.
    pub older: Vec<Cursor>,
    /// Topics that it asks for, whenever it comes.
    pub topics: Vec<String>,
    /// What it will still do.
    pub actions: u32,
    /// When.
    pub acts_at: Duration,
    /// When it reads on.
    pub reads_at: Option<Duration>,
}

/// What a course of events came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Story {
    /// Turns of the cores.
    pub turns: u64,
    /// Events in the log.
    pub events: u64,
    /// Events that clients heard.
    pub heard: u64,
    /// Gaps that clients heard of.
    pub gaps: u64,
    /// Comings with a cursor of this log, with another one, without one.
    pub resumed: u64,
    /// As above.
    pub foreign: u64,
    /// As above.
    pub alone: u64,
    /// How often a connection fell behind.
    pub lagged: u64,
    /// How often one was closed because it was too slow.
    pub too_slow: u64,
    /// Answers to commands that came twice.
    pub repeated: u64,
    /// Connections that were closed by an order.
    pub ordered: u64,
    /// How often every core got other settings.
    pub replaced: u64,
    /// Events that the log refused.
    pub unavailable: u64,
    /// Recipients that were there, and that were not.
    pub delivered: u64,
    /// As above.
    pub queued: u64,
    /// As above.
    pub offline: u64,
    /// As above.
    pub denied: u64,
    /// Moments at which nothing moved, and all was checked.
    pub rests: u64,
    /// A hash of all that was heard.
    pub trace: u64,
}

impl AddAssign for Story {
    fn add_assign(&mut self, other: Self) {
        let Self { turns, events, heard, gaps, resumed, foreign, alone, .. } = other;
        let sums = [
            (&mut self.turns, turns),
            (&mut self.events, events),
            (&mut self.heard, heard),
            (&mut self.gaps, gaps),
            (&mut self.resumed, resumed),
            (&mut self.foreign, foreign),
            (&mut self.alone, alone),
            (&mut self.lagged, other.lagged),
            (&mut self.too_slow, other.too_slow),
            (&mut self.repeated, other.repeated),
            (&mut self.ordered, other.ordered),
            (&mut self.replaced, other.replaced),
            (&mut self.unavailable, other.unavailable),
            (&mut self.delivered, other.delivered),
            (&mut self.queued, other.queued),
            (&mut self.offline, other.offline),
            (&mut self.denied, other.denied),
            (&mut self.rests, other.rests),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
    }
}

impl Story {
    /// Whether everything has happened, as it does over many courses.
    pub fn is_rich(&self) -> bool {
        let Self { heard, gaps, resumed, foreign, alone, lagged, too_slow, .. } = *self;
        let Self { repeated, ordered, delivered, queued, offline, denied, rests, .. } = *self;
        let counts = [
            [heard, gaps, resumed, foreign, alone, lagged, too_slow],
            [repeated, ordered, delivered, queued, offline, denied, rests],
        ];
        self.replaced > 0 && counts.as_flattened().iter().all(|count| *count > 0)
    }
}

impl World {
    /// The world of a course, before anything has happened.
    pub fn new(course: Course) -> Self {
        let Course { seed, faults, driver, settings, people, topics, .. } = course;
        let network = Network::new(seed, faults);
        let mut rng = Rng::with_seed(!seed);
        let settings = Arc::new(settings);
        let broker = Broker::new(Epoch::new(seed + 1), &settings.history, &settings.history_topics);
        let late_log = match course.placing {
            Placing::AtOnce => None,
            Placing::Later => Some(Arc::new(LateLog::new(seed))),
        };
        let broker = Arc::new(match &late_log {
            Some(late_log) => broker.with_source(Arc::clone(late_log) as Arc<dyn LogSource>),
            None => broker,
        });
        let mailbox = Mailbox::default();
        let limiter = Arc::new(ConnectionLimiter::new(ConnectionLimits {
            connections_max: 10_000,
            connections_per_address_max: 10_000,
            exempt: Vec::new(),
        }));
        let cores = std::array::from_fn(|number| {
            Core::new(number, &network, driver.clone(), &settings, &broker, &limiter, &mailbox)
        });
        let devices = (0..course.devices)
            .map(|_| Device {
                person: rng.usize(0..people.len()),
                line: None,
                post: None,
                cursor: None,
                older: Vec::new(),
                topics: topics.iter().filter(|_| rng.bool()).cloned().collect(),
                actions: course.actions,
                acts_at: course.haste.mul_f64(3.0 * rng.f64()),
                reads_at: None,
            })
            .collect();
        Self {
            cores,
            model: Model::new(&broker, &settings, &people, course.flood, course.placing),
            broker,
            limiter,
            names: people,
            topics,
            devices,
            application: Application::new(&mailbox),
            late_log,
            mailbox,
            rng,
            haste: course.haste,
            memory: course.memory,
            stall: course.stall,
            flood: course.flood,
            application_acts_at: Duration::ZERO,
            application_actions: 10 * course.actions,
            send_buffer_bytes: faults.send_buffer_bytes,
            serial: 0,
            network,
        }
    }

    /// Lets everything happen.
    pub fn run(mut self) -> Story {
        let mut turns = 0;
        while !self.is_over() {
            self.turn();
            turns += 1;
            assert!(turns < TURNS_MAX, "the world hangs: {:#?}", self.describe());
        }
        self.audit_end();
        let lagged = self.cores.iter().map(|core| core.metrics.lagged.value()).sum();
        Story { turns, events: self.model.truth.head(), lagged, ..self.model.story }
    }

    fn is_over(&self) -> bool {
        self.devices.iter().all(Device::is_done)
            && self.cores.iter().all(|core| core.shard.clients() == 0)
            && self.is_at_rest()
    }

    /// Clients act, then the cores take a turn, in any order.
    fn turn(&mut self) {
        let now = self.network.now();
        self.turn_late_log(now);
        self.hear_all(now);
        if self.is_at_rest() {
            self.model.audit_rest(now);
        }
        let next = self.act_all(now);
        let first = self.rng.usize(0..CORES);
        for place in 0..CORES {
            self.turn_core((first + place) % CORES, next);
        }
    }

    /// After the last client has gone, nothing is left.
    fn audit_end(&self) {
        assert_eq!(self.limiter.connections(), 0, "seats");
        for core in &self.cores {
            core.audit_end(self.network.now());
        }
        assert_eq!(self.broker.pending(), 0, "submissions without an outcome");
        let directory = &self.broker.directory;
        for name in &self.names {
            assert_eq!(directory.connections(name), 0, "connections of {name}");
            let liveness = directory.liveness(name);
            assert!(matches!(liveness, Liveness::Away | Liveness::Unknown), "{name} {liveness:?}");
        }
    }

    fn describe(&self) -> Vec<String> {
        let lines = self.model.lines.iter().filter(|line| !line.is_closed);
        let lines = lines.map(|line| format!("{:?} {:?} {:?}", line.route, line.phase, line.view));
        let cores = self.cores.iter().map(|core| format!("{} clients", core.shard.clients()));
        lines.chain(cores).collect()
    }
}

impl Device {
    /// Whether nothing more will happen to it.
    pub fn is_done(&self) -> bool {
        self.actions == 0 && self.line.is_none() && self.post.is_none()
    }
}
