//! Scenarios: which clients connect, over what kind of network, and the bounds of the gateway, all
//! from a seed. Those of the hub are in `hub::scenario`.
//!
//! The bounds are small, so that each of them is reached.

use std::{net::SocketAddr, time::Duration};

use fastrand::Rng;
use ringway::config::Automatic;
use ringway::config::Config;
use ringway::config::FastSender;
use ringway::config::settings::Settings;
use ringway::edge::limiter::ConnectionLimits;
use ringway_acceptor::{Settings as DriverSettings, sim::Faults};

use crate::{
    behaviour::{Behaviour, Courtesy, Leaving, Opening, Reading, Splitting},
    hub::HubPlan,
    relay::{self, Losses, RelayPlan},
    script::{PAYLOAD_BYTES_MAX, Script, ScriptedClient},
    sealing::{Handshake, Sealing, Version},
};

/// A run that has not started.
pub struct Scenario {
    /// The seed of all random decisions.
    pub seed: u64,
    /// The faults of the network.
    pub faults: Faults,
    /// The bounds of each driver.
    pub driver: DriverSettings,
    /// The settings of the gateway.
    pub settings: Settings,
    /// The limits of connections.
    pub limits: ConnectionLimits,
    /// Cores of the gateway.
    pub cores: usize,
    /// The probability per turn that a core stands still for a while.
    pub stall: f64,
    /// More turns than a run takes: a run that exceeds this hangs.
    pub turns_max: u64,
    /// When the gateway is told to drain.
    pub drain_at: Option<Duration>,
    /// Clients that play a script.
    pub scripted: Vec<ScriptedClient>,
    /// Clients of the hub.
    pub hub: HubPlan,
    /// Clients that are relayed, by a core that does nothing else.
    pub relays: Option<RelayPlan>,
}

/// How long a client may be silent before it is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(13);

/// How long it may stay silent after that.
const PONG_TIMEOUT: Duration = Duration::from_secs(7);

/// How long a client may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(13 + 7);

/// How long a client may take to read its last bytes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The largest message; a longer length is written in the 64-bit form.
const MESSAGE_BYTES_MAX: usize = 128 << 10;

const _: () = assert!(PAYLOAD_BYTES_MAX < MESSAGE_BYTES_MAX && MESSAGE_BYTES_MAX > 0xFFFF + 100);

const PATIENCE: (Duration, Duration) = (SILENCE_MAX, CLOSE_TIMEOUT);

fn settings(rng: &mut Rng) -> Settings {
    let mut settings = Settings::from_config(&Config::default());
    let Settings { server, websocket, deflate, clients, limits, .. } = &mut settings;
    limits.header_bytes_max = 2_048;
    limits.header_fields_max = 32;
    limits.target_bytes_max = 512;
    limits.handshake_timeout = Duration::from_secs(5);
    limits.keep_alive_timeout = Duration::from_secs(7);
    limits.requests_per_connection_max = 100;
    websocket.frame_bytes_max = Automatic::Exactly(MESSAGE_BYTES_MAX);
    websocket.echo_message_bytes_max = MESSAGE_BYTES_MAX;
    websocket.ping_interval = PING_INTERVAL;
    websocket.pong_timeout = PONG_TIMEOUT;
    websocket.close_timeout = CLOSE_TIMEOUT;
    deflate.enabled = false;
    clients.queue_bytes_max = rng.usize(1..64 << 10);
    server.drain_time = Duration::from_secs(8);
    settings
}

/// A network that is perfect, faulty without losses, faulty, or harsh.
pub fn faults(send_buffer_bytes: usize, rng: &mut Rng) -> Faults {
    match rng.u8(0..8) {
        0..2 => Faults { send_buffer_bytes, ..Faults::none() },
        2 => Faults { reset: 0.000_5, refusal: 0.02, send_buffer_bytes, ..Faults::harsh() },
        3..6 => Faults { reset: 0.0, refusal: 0.0, send_buffer_bytes, ..Faults::default() },
        _ => Faults { send_buffer_bytes, ..Faults::default() },
    }
}

impl Scenario {
    /// A world without clients.
    pub fn empty(seed: u64, settings: Settings, faults: Faults, driver: DriverSettings) -> Self {
        Self {
            seed,
            faults,
            driver,
            settings,
            limits: ConnectionLimits {
                connections_max: 10_000,
                connections_per_address_max: 10_000,
                exempt: Vec::new(),
            },
            cores: 1,
            stall: 0.0,
            turns_max: 400_000,
            drain_at: None,
            scripted: Vec::new(),
            hub: HubPlan::default(),
            relays: None,
        }
    }

    /// A world for clients that play scripts, before any is added.
    fn for_scripts(seed: u64, rng: &mut Rng) -> Self {
        let driver = DriverSettings {
            connections_max: 64,
            receive_buffers: rng.u16(1..64),
            receive_buffer_bytes: rng.u32(64..4_096),
            ..DriverSettings::default()
        };
        let (cores, faults) = (rng.usize(1..=2), faults(rng.usize(256..64 << 10), rng));
        Self { cores, ..Self::empty(seed, settings(rng), faults, driver) }
    }

    /// All kinds of clients.
    pub fn everyone(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let mut scenario = Self::for_scripts(seed, rng);
        for _ in 0..rng.u8(1..8) {
            let script = any_script(&scenario.settings, rng);
            let behaviour = Behaviour::any(&script, PATIENCE, rng);
            scenario.admit(script, behaviour, rng);
        }
        scenario
    }

    /// All kinds of clients, some of them behind a layer of records.
    pub fn everyone_sealed(seed: u64) -> Self {
        let (rng, mut scenario) = (&mut Rng::with_seed(!seed), Self::everyone(seed));
        for client in scenario.scripted.iter_mut().filter(|_| rng.u8(0..3) > 0) {
            client.sealing = match seed % 8 {
                0 => Sealing::Tls(Version::Tls13, Handshake::Right),
                4 => Sealing::Tls(Version::Tls12, Handshake::Right),
                _ => Sealing::Xor,
            };
        }
        scenario
    }

    /// Clients that read less than they are sent, on a network without resets.
    pub fn slow_readers(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let mut scenario = Self::for_scripts(seed, rng);
        scenario.faults = Faults {
            reset: 0.0,
            refusal: 0.0,
            send_buffer_bytes: rng.usize(256..8_192),
            ..Faults::default()
        };
        // Small compared with the clients' bytes, so that a missing pause shows.
        scenario.driver.receive_buffer_bytes = rng.u32(64..512);
        scenario.settings.clients.queue_bytes_max = rng.usize(1..8_192);
        scenario.settings.websocket.frame_bytes_max = Automatic::Exactly(4_096);
        scenario.settings.websocket.echo_message_bytes_max = 4_096;
        for _ in 0..rng.u8(1..4) {
            let mut script = Script::default();
            script.open(rng);
            script.talk(rng.usize(4..120), 4_096, rng);
            let length = script.bytes.len();
            let (leaving, patience) = match rng.bool() {
                true => (Leaving::HalfCloses, CLOSE_TIMEOUT),
                false => (Leaving::FallsSilent, SILENCE_MAX),
            };
            let nap = patience.mul_f64(0.8 * rng.f64());
            let reading = match rng.u8(0..4) {
                0 => Reading::AtMost(1 + length / 400),
                // In total this takes longer than the gateway would wait.
                1 => Reading::Sips(1 + length / 20, nap),
                2 => Reading::Naps(rng.usize(0..=length), nap),
                _ => Reading::Never(rng.usize(0..=length)),
            };
            let opening = Opening::Eager;
            let behaviour = Behaviour { reading, leaving, opening, ..Behaviour::plain(&script) };
            scenario.admit(script, behaviour, rng);
        }
        scenario
    }

    /// Clients that stay, and some that do not, until the gateway drains.
    pub fn drain(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let mut scenario = Self::for_scripts(seed, rng);
        let moments = [60_000, 1_000_000, 30_000_000];
        let latest = rng.choice(moments).expect("a choice");
        let drain_at = Duration::from_micros(rng.u64(0..latest));
        scenario.drain_at = Some(drain_at);
        for _ in 0..rng.u8(1..12) {
            let script = any_script(&scenario.settings, rng);
            let mut behaviour = Behaviour::any(&script, PATIENCE, rng);
            if rng.u8(0..3) > 0 {
                behaviour.leaving = Leaving::Stays;
                behaviour.courtesy = Courtesy::Polite;
            }
            if rng.u8(0..4) == 0 {
                // Just in time, or a moment too late.
                behaviour.comes_at = drain_at + Duration::from_micros(rng.u64(0..1_000));
            }
            scenario.admit(script, behaviour, rng);
        }
        scenario
    }

    /// All kinds of clients, some of whose connections become too old.
    pub fn aging(seed: u64) -> Self {
        let (rng, mut scenario) = (&mut Rng::with_seed(!seed), Self::everyone_sealed(seed));
        let ages = [50_000, 1_000_000, 20_000_000];
        let most = rng.choice(ages).expect("a choice");
        let age_max = Duration::from_micros(rng.u64(10_000..most));
        scenario.settings.server.max_connection_age = age_max;
        scenario
    }

    /// Clients that send faster than they may, and are paused.
    pub fn fast_senders(seed: u64) -> Self {
        let (rng, mut scenario) = (&mut Rng::with_seed(!seed), Self::everyone_sealed(seed));
        // Pings and requests are not late because of a pause.
        scenario.driver.receive_buffer_bytes = rng.u32(64..512);
        let limits = &mut scenario.settings.limits;
        limits.messages_per_second_max = rng.u32(20..500);
        limits.bytes_per_second_max = rng.u64(16 << 10..1 << 20);
        limits.burst_time = Duration::from_millis(rng.u64(10..1_000));
        scenario
    }

    /// Clients that send faster than they may, and are closed.
    pub fn fast_senders_closed(seed: u64) -> Self {
        let mut scenario = Self::fast_senders(seed);
        scenario.settings.limits.fast_sender = FastSender::Close;
        scenario
    }

    /// More clients than the limits allow, in total or from one address.
    pub fn crowd(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let mut scenario = Self::for_scripts(seed, rng);
        scenario.limits.connections_max = rng.u32(1..12);
        scenario.limits.connections_per_address_max = rng.u32(1..6);
        for number in 0..rng.u16(4..24) {
            let mut script = Script::default();
            script.open(rng);
            script.talk(rng.usize(0..4), 2_000, rng);
            script.close(rng);
            let behaviour = Behaviour::any(&script, PATIENCE, rng);
            scenario.admit(script, behaviour, rng);
            let host = rng.u8(1..5);
            let client = scenario.scripted.last_mut().expect("it was admitted");
            client.address = Some(SocketAddr::from(([10, 0, 0, host], 1_000 + number)));
        }
        scenario
    }

    /// Clients whose first or next request is never complete.
    pub fn slow_handshakes(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let mut scenario = Self::for_scripts(seed, rng);
        scenario.faults.reset = 0.0;
        scenario.faults.refusal = 0.0;
        for _ in 0..rng.u8(1..6) {
            let mut script = Script::default();
            script.requests(rng.usize(0..2), rng);
            let begun = script.bytes.len();
            script.open(rng);
            let mut behaviour = Behaviour::plain(&script);
            behaviour.comes_at = Duration::from_micros(rng.u64(0..50_000));
            behaviour.says = rng.usize(begun..script.bytes.len());
            behaviour.leaving = Leaving::FallsSilent;
            if rng.bool() {
                (behaviour.says, behaviour.leaving) = (script.bytes.len(), Leaving::Stays);
                behaviour.splitting = Splitting::Drip(Duration::from_millis(rng.u64(150..1_000)));
            }
            scenario.admit(script, behaviour, rng);
        }
        scenario
    }

    /// Clients that are relayed over a lossy network.
    pub fn relay(seed: u64) -> Self {
        let faults = match seed % 3 {
            0 => Faults::none(),
            1 => Faults::default(),
            _ => Faults::harsh(),
        };
        Self::relaying(seed, faults, RelayPlan { losses: Losses::Any, memory_bytes: 1 << 40 })
    }

    /// Relayed clients, on a network that is at most slow.
    pub fn lossless_relay(seed: u64) -> Self {
        let faults = Faults { reset: 0.0, refusal: 0.0, connect_failure: 0.0, ..Faults::harsh() };
        Self::relaying(seed, faults, RelayPlan { losses: Losses::None, memory_bytes: 1 << 40 })
    }

    fn relaying(seed: u64, faults: Faults, plan: RelayPlan) -> Self {
        let settings = Settings::from_config(&Config::default());
        let faults = Faults { send_buffer_bytes: 1 << 10, ..faults };
        let scenario = Self::empty(seed, settings, faults, relay::driver_settings());
        Self { relays: Some(plan), turns_max: 30_000, ..scenario }
    }

    /// Adds a client that plays `script` with `behaviour`.
    fn admit(&mut self, script: Script, behaviour: Behaviour, rng: &mut Rng) {
        self.scripted.push(ScriptedClient::new(script, behaviour, rng.u64(..)));
    }
}

fn any_script(settings: &Settings, rng: &mut Rng) -> Script {
    let mut script = Script::default();
    if rng.u8(0..4) == 0 {
        script.requests(rng.usize(0..4), rng);
    }
    if rng.u8(0..10) == 0 {
        script.last_request(&settings.head(), rng);
        return script;
    }
    script.open(rng);
    let payload_bytes_max = if rng.u8(0..4) == 0 { PAYLOAD_BYTES_MAX } else { 3_000 };
    script.talk(rng.usize(0..12), payload_bytes_max, rng);
    match rng.u8(0..5) {
        0 => {}
        1..3 => script.close(rng),
        _ => script.violate_somehow(&settings.echo(), rng),
    }
    script
}
