//! How many come, what they do, and to a gateway with which bounds: all from one seed.
//!
//! The bounds are small, so that every one of them is reached.

use std::time::Duration;

use fastrand::Rng;
use ringway::config::Config;
use ringway::config::SlowReader;
use ringway::config::patterns::Patterns;
use ringway::config::settings::Settings;
use ringway_acceptor::{Settings as DriverSettings, sim::Faults};

/// A course of events that has not begun.
pub struct Course {
    /// What all chance comes from.
    pub seed: u64,
    /// What goes wrong on the network.
    pub faults: Faults,
    /// The drivers' bounds.
    pub driver: DriverSettings,
    /// The peers' bounds.
    pub settings: Settings,
    /// Names of clients.
    pub people: Vec<String>,
    /// Names of topics.
    pub topics: Vec<String>,
    /// Clients; several may have the same name.
    pub devices: usize,
    /// What each of them does, in number.
    pub actions: u32,
    /// How long each waits between two of them, mostly.
    pub haste: Duration,
    /// How clients come back.
    pub memory: Memory,
    /// How likely a core is to stand still for a while, per turn.
    pub stall: f64,
    /// How many events the application sends at once, at most, and their data.
    pub flood: Option<Flood>,
    /// When events get their places in the log.
    pub placing: Placing,
}

/// When events get their places in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// When they are submitted.
    AtOnce,
    /// Some turns later, and not all of them.
    Later,
}

/// What clients remember of where they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Their cursor, most of them.
    Good,
    /// Nothing, most of them.
    Bad,
}

/// Many events at once.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// Events.
    pub events: usize,
    /// Bytes of data of each.
    pub bytes: usize,
}

const PEOPLE: [&str; 6] = ["ann", "böb", "c d", "e\"f", "eve/1", "zoë&co"];
const TOPICS: [&str; 5] = ["news", "chat.1", "chat.2", "a b", "ü"];

impl Course {
    /// Few clients, who do everything.
    pub fn everything(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let settings = settings(rng);
        Self {
            seed,
            faults: faults(rng),
            driver: DriverSettings {
                connections_max: 256,
                receive_buffers: rng.u16(2..64),
                receive_buffer_bytes: rng.u32(64..512),
                ..DriverSettings::default()
            },
            settings,
            people: some_of(&PEOPLE, rng.usize(1..5)),
            topics: some_of(&TOPICS, rng.usize(1..5)),
            devices: rng.usize(1..8),
            actions: rng.u32(5..40),
            haste: Duration::from_micros(rng.choice([200, 2_000, 20_000]).expect("a choice")),
            memory: Memory::Good,
            stall: rng.choice([0.0, 0.0, 0.002, 0.02]).expect("a choice"),
            flood: None,
            placing: Placing::AtOnce,
        }
    }

    /// The log answers later, and refuses some events. Clients often send a command again.
    pub fn late(seed: u64) -> Self {
        Self { placing: Placing::Later, ..Self::everything(seed) }
    }

    /// A perfect network and roomy bounds: nobody has an excuse.
    pub fn calm(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(!seed);
        let mut course = Self::everything(seed);
        course.faults = Faults { send_buffer_bytes: 1 << 20, ..Faults::none() };
        course.settings.clients.queue_bytes_max = 1 << 20;
        course.settings.history.events_max = 10_000;
        course.settings.history.bytes_max = 64 << 20;
        course.haste = Duration::from_millis(rng.u64(1..20));
        course.stall = 0.0;
        course
    }

    /// Clients that leave soon and come back without a cursor, over sockets that take little.
    pub fn forgetful(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(!seed);
        let mut course = Self::everything(seed);
        course.memory = Memory::Bad;
        course.devices = rng.usize(1..4);
        course.people.truncate(2);
        course.haste = Duration::from_micros(rng.u64(100..2_000));
        course.faults.send_buffer_bytes = rng.usize(128..600);
        course.faults.short_send = course.faults.short_send.max(0.3);
        course.settings.clients.queue_bytes_max = 64 << 10;
        course
    }

    /// The application sends a lot at once, to more clients than a turn serves.
    pub fn flood(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let mut course = Self::everything(seed);
        course.driver.receive_buffer_bytes = 512;
        course.devices = rng.usize(2..100);
        course.actions = rng.u32(4..8);
        course.haste = Duration::from_millis(rng.u64(10..30));
        if rng.bool() {
            course.settings.clients.queue_bytes_max = 1 << 20;
            course.faults.send_buffer_bytes = 1 << 20;
        }
        course.settings.history.events_max = rng.u64(500..5_000);
        course.settings.history.bytes_max = 64 << 20;
        let (events, bytes) =
            rng.choice([(600, 10), (100, 2_000), (40, 50_000)]).expect("a choice");
        course.flood = Some(Flood { events, bytes });
        course.stall = 0.0;
        course
    }
}

fn settings(rng: &mut Rng) -> Settings {
    let queues = [1, 300, 1 << 10, 4 << 10, 64 << 10, 1 << 20];
    let slow_reader = if rng.u8(0..3) == 0 { SlowReader::Close } else { SlowReader::Gap };
    let notify = if rng.u8(0..4) == 0 { &["a*", "c d", "e*"][..] } else { &["*"] };
    let mut settings = Settings::from_config(&Config::default());
    let Settings { websocket, deflate, clients, history, http, limits, .. } = &mut settings;
    deflate.enabled = rng.bool();
    limits.handshake_timeout = Duration::from_secs(5);
    limits.keep_alive_timeout = Duration::from_secs(60);
    websocket.ping_interval = Duration::from_millis(rng.u64(100..3_000));
    websocket.pong_timeout = Duration::from_millis(rng.u64(100..2_000));
    websocket.close_timeout = Duration::from_millis(500);
    clients.queue_bytes_max = rng.choice(queues).expect("a choice");
    clients.slow_reader = slow_reader;
    clients.may_notify = Patterns::new(notify.iter().copied());
    history.events_max = rng.choice([16, 24, 40, 100, 10_000]).expect("a choice");
    history.bytes_max = rng.choice([20 << 10, 64 << 10, 64 << 20]).expect("a choice");
    history.age_max =
        Duration::from_millis(rng.choice([40, 600, 2_500, 60_000]).expect("a choice"));
    http.poll_bytes_max = rng.choice([1, 200, 1_000, 1 << 20]).expect("a choice");
    settings
}

fn faults(rng: &mut Rng) -> Faults {
    let send_buffer_bytes = rng.choice([128, 600, 2_000, 8_000, 64 << 10]).expect("a choice");
    match rng.u8(0..8) {
        0..3 => Faults { send_buffer_bytes, ..Faults::none() },
        3 => Faults { reset: 0.000_5, refusal: 0.02, send_buffer_bytes, ..Faults::harsh() },
        4..6 => Faults { reset: 0.0, refusal: 0.0, send_buffer_bytes, ..Faults::default() },
        _ => Faults { send_buffer_bytes, ..Faults::default() },
    }
}

fn some_of(names: &[&str], count: usize) -> Vec<String> {
    names.iter().take(count).map(|name| (*name).to_owned()).collect()
}
