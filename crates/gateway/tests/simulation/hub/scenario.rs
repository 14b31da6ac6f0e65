//! Scenarios of the hub: how many clients connect, what they do, and the bounds of the gateway.
//!
//! The bounds are small, so that each of them is reached.

use std::time::Duration;

use fastrand::Rng;
use ringway::config::SlowReader;
use ringway::config::patterns::Patterns;
use ringway::config::settings::Settings;
use ringway::config::{Config, History};
use ringway_acceptor::{Settings as DriverSettings, sim::Faults};

use super::token::Naming;
use crate::scenario::{Scenario, faults};

/// Which clients the hub has, and what they do.
#[derive(Default)]
pub struct HubPlan {
    /// Names of clients.
    pub people: Vec<String>,
    /// Names of topics.
    pub topics: Vec<String>,
    /// Clients; several may have the same name.
    pub devices: usize,
    /// How many actions each of them takes.
    pub actions: u32,
    /// How long each usually waits between two actions.
    pub haste: Duration,
    /// How clients reconnect.
    pub memory: Memory,
    /// The most events that the application sends together, and their data.
    pub flood: Option<Flood>,
    /// Whether the settings are replaced during the run.
    pub reload: Reload,
    /// When events get their places in the log.
    pub placing: Placing,
    /// How clients say who they are.
    pub naming: Naming,
    /// How many of the clients send many commands at a time.
    pub flooders: usize,
}

/// When events get their places in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Placing {
    #[default]
    /// When they are submitted.
    AtOnce,
    /// Some turns later, and not all of them.
    Later,
}

/// Which position clients remember.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Memory {
    #[default]
    /// Most of them remember their cursor.
    Good,
    /// Most of them remember nothing.
    Bad,
}

/// Whether the settings are replaced while clients are connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reload {
    #[default]
    /// Never, because the checkers of scripted clients use the settings of the start.
    Never,
    /// Often.
    Often,
}

/// Many events together.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// How many events.
    pub events: usize,
    /// Bytes of data in each.
    pub bytes: usize,
}

const PEOPLE: [&str; 6] = ["ann", "böb", "c d", "e\"f", "eve/1", "zoë&co"];
const TOPICS: [&str; 5] = ["news", "chat.1", "chat.2", "a b", "ü"];

impl Scenario {
    /// Few clients that do everything.
    pub fn everything(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let settings = settings(rng);
        let buffers = [128, 600, 2_000, 8_000, 64 << 10];
        let faults = faults(rng.choice(buffers).expect("a choice"), rng);
        let driver = DriverSettings {
            connections_max: 256,
            receive_buffers: rng.u16(2..64),
            receive_buffer_bytes: rng.u32(64..512),
            ..DriverSettings::default()
        };
        let hub = HubPlan {
            people: some_of(&PEOPLE, rng.usize(1..5)),
            topics: some_of(&TOPICS, rng.usize(1..5)),
            devices: rng.usize(1..8),
            actions: rng.u32(5..40),
            haste: Duration::from_micros(rng.choice([200, 2_000, 20_000]).expect("a choice")),
            memory: Memory::Good,
            flood: None,
            reload: Reload::Often,
            placing: Placing::AtOnce,
            naming: Naming::SelfNamed,
            flooders: 0,
        };
        let stall = rng.choice([0.0, 0.0, 0.002, 0.02]).expect("a choice");
        Self { hub, stall, cores: 2, ..Self::empty(seed, settings, faults, driver) }
    }

    /// Clients of the hub and clients that play scripts.
    pub fn mixed(seed: u64) -> Self {
        let mut scenario = Self::everyone(seed);
        scenario.settings.limits.keep_alive_timeout = Duration::from_secs(60);
        scenario.driver.connections_max = 256;
        scenario.hub = HubPlan { reload: Reload::Never, ..Self::everything(seed).hub };
        scenario
    }

    /// The log answers later, and refuses some events.
    pub fn late_log(seed: u64) -> Self {
        let mut scenario = Self::everything(seed);
        scenario.hub.placing = Placing::Later;
        scenario
    }

    /// Clients with tokens that expire and are renewed, and clients that are revoked.
    pub fn identified(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(!seed);
        let mut scenario = Self::everything(seed);
        scenario.hub.naming = Naming::ByToken;
        scenario.hub.haste = Duration::from_millis(rng.u64(5..60));
        scenario.settings.clients.may_notify = Patterns::new(["*"]);
        scenario
    }

    /// Some clients flood a history with shares; the others have what is within theirs.
    pub fn crowded(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(!seed);
        let mut scenario = Self::everything(seed);
        scenario.hub.devices = rng.usize(3..8);
        scenario.hub.flooders = rng.usize(1..3);
        let shares = Config::default().history;
        scenario.settings.history = History {
            events_max: rng.u64(40..600),
            bytes_max: rng.choice([64 << 10, 64 << 20]).expect("a choice"),
            age_max: Duration::from_millis(rng.choice([600, 2_500, 60_000]).expect("a choice")),
            ..shares
        };
        scenario
    }

    /// Clients whose connections become too old.
    pub fn aging_hub(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(!seed);
        let mut scenario = Self::everything(seed);
        scenario.settings.server.max_connection_age =
            Duration::from_millis(rng.choice([20, 200, 2_000]).expect("a choice"));
        scenario
    }

    /// A perfect network and generous bounds.
    pub fn calm(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(!seed);
        let mut scenario = Self::everything(seed);
        scenario.faults = Faults { send_buffer_bytes: 1 << 20, ..Faults::none() };
        scenario.settings.clients.queue_bytes_max = 1 << 20;
        scenario.settings.history.events_max = 10_000;
        scenario.settings.history.bytes_max = 64 << 20;
        scenario.hub.haste = Duration::from_millis(rng.u64(1..20));
        scenario.stall = 0.0;
        scenario
    }

    /// Many clients that keep up, over cores that send little in a turn.
    pub fn audience(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(!seed);
        let mut scenario = Self::calm(seed);
        scenario.settings.turn_sends_max = rng.usize(1..5);
        scenario.settings.deflate.enabled = false;
        scenario.hub.devices = rng.usize(8..40);
        scenario.hub.actions = rng.u32(5..15);
        scenario
    }

    /// Clients that leave soon and reconnect without a cursor, over sockets that take little.
    pub fn forgetful(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(!seed);
        let mut scenario = Self::everything(seed);
        scenario.hub.memory = Memory::Bad;
        scenario.hub.devices = rng.usize(1..4);
        scenario.hub.people.truncate(2);
        scenario.hub.haste = Duration::from_micros(rng.u64(100..2_000));
        scenario.faults.send_buffer_bytes = rng.usize(128..600);
        scenario.faults.short_send = scenario.faults.short_send.max(0.3);
        scenario.settings.clients.queue_bytes_max = 64 << 10;
        scenario
    }

    /// The application sends many events together, to more clients than a turn serves.
    pub fn flood(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let mut scenario = Self::everything(seed);
        scenario.driver.receive_buffer_bytes = 512;
        scenario.hub.devices = rng.usize(2..100);
        scenario.hub.actions = rng.u32(4..8);
        scenario.hub.haste = Duration::from_millis(rng.u64(10..30));
        if rng.bool() {
            scenario.settings.clients.queue_bytes_max = 1 << 20;
            scenario.faults.send_buffer_bytes = 1 << 20;
        }
        scenario.settings.history.events_max = rng.u64(500..5_000);
        scenario.settings.history.bytes_max = 64 << 20;
        let (events, bytes) =
            rng.choice([(600, 10), (100, 2_000), (40, 50_000)]).expect("a choice");
        scenario.hub.flood = Some(Flood { events, bytes });
        scenario.stall = 0.0;
        scenario
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
    // No command is refused, so that the model knows what is performed.
    (history.client_share, history.topic_share, history.recipient_share) = (100, 100, 100);
    history.age_max =
        Duration::from_millis(rng.choice([40, 600, 2_500, 60_000]).expect("a choice"));
    http.poll_bytes_max = rng.choice([1, 200, 1_000, 1 << 20]).expect("a choice");
    settings.turn_sends_max = rng.choice([1, 2, 5, 512]).expect("a choice");
    settings
}

fn some_of(names: &[&str], count: usize) -> Vec<String> {
    names.iter().take(count).map(|name| (*name).to_owned()).collect()
}
