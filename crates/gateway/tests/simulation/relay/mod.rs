//! Relayed WebSockets on a simulated driver: a shard with routes, and both sides of each relay
//! (`pair`).

mod pair;

pub use pair::Pair;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ringway::{
    config::{Config, Route, settings::Settings, upstream_url::UpstreamUrl},
    core::shard::{Shard, ShardParts},
    memory::MemoryBudget,
    metrics::CoreMetrics,
};
use ringway_acceptor::{
    Settings as DriverSettings,
    sim::{Network, Server},
};

use crate::{
    checkers::check,
    sealing,
    tally::{Count, Tally},
    world::Shared,
};

const PROPERTY: &str = "the memory of a relay is bounded";

/// A server may take this long to accept a connection, and this long to answer.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(120);
const RESPONSE_TIME_MAX: Duration = Duration::from_secs(2);

const BUFFERS: usize = 8;
const BUFFER_BYTES: usize = 512;

/// The most bytes that the driver may keep for a relay. One turn can fill all buffers. For each
/// direction it keeps the bytes of the turn in which a reader falls behind, of the turn that reports
/// it, and of the turn after the pause; and for the client also the bytes that came before the server
/// had answered, which wait in the gateway until then.
const KEPT_BYTES_MAX: usize = (3 + 3 + 3) * BUFFERS * BUFFER_BYTES;

/// The faults of relayed connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    /// Either side, or the network, may reset a connection; a server may refuse, hang, or answer
    /// wrongly.
    Any,
    /// The sides may only be slow.
    None,
}

/// The clients and bounds of a world with relays.
#[derive(Debug, Clone, Copy)]
pub struct RelayPlan {
    /// The possible faults.
    pub losses: Losses,
    /// What the gateway may keep for its clients and their servers.
    pub memory_bytes: u64,
}

/// The bounds of a driver with few buffers.
pub fn driver_settings() -> DriverSettings {
    DriverSettings {
        connections_max: 64,
        receive_buffers: BUFFERS as u16,
        receive_buffer_bytes: BUFFER_BYTES as u32,
        ..DriverSettings::default()
    }
}

/// The servers of a route.
pub struct Servers {
    /// Another one that is asked first, and never serves.
    pub absent: Option<Server>,
    /// The one that serves.
    pub serving: Server,
}

impl Servers {
    /// Servers that the clients of a pair are relayed to.
    pub fn new(network: &Network, losses: Losses, rng: &mut fastrand::Rng) -> Self {
        let absent = (losses == Losses::Any && rng.u8(..3) == 0).then(|| network.listen());
        match &absent {
            Some(absent) if rng.bool() => absent.refuse(),
            Some(absent) => absent.ignore(),
            None => {}
        }
        Self { absent, serving: network.listen() }
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.absent.iter().chain([&self.serving]).map(Server::address)
    }
}

/// The path of a pair's route.
fn path(number: usize) -> String {
    format!("/{number}/")
}

/// A core that relays each of the clients to its servers.
pub fn shard(
    plan: RelayPlan,
    servers: &[Servers],
    metrics: &Arc<CoreMetrics>,
    shared: &Shared,
) -> Shard {
    let routes = servers
        .iter()
        .enumerate()
        .map(|(number, servers)| {
            let url = |address| UpstreamUrl::parse(&format!("ws://{address}")).expect("a URL");
            Route {
                path: path(number),
                upstream: servers.addresses().map(url).collect(),
                connect_timeout: CONNECT_TIME_MAX,
                response_timeout: RESPONSE_TIME_MAX,
                ..Route::default_at(&path(number))
            }
        })
        .collect();
    let config = Config { routes, ..Config::default() };
    Shard::new(ShardParts {
        settings: Arc::new(Settings::from_config(&config)),
        identities: Arc::clone(&shared.identities),
        limiter: Arc::clone(&shared.limiter),
        broker: Arc::clone(&shared.broker),
        mailbox: shared.mailbox.clone(),
        memory: Arc::new(MemoryBudget::new(plan.memory_bytes)),
        metrics: Arc::clone(metrics),
        channels: sealing::channels(),
        core: 0,
    })
}

/// Checks the most bytes that the driver has ever kept, for all relays.
pub fn check_peak(bytes: usize, relays: usize, tally: &mut Tally) {
    check!(bytes <= KEPT_BYTES_MAX * relays, "{bytes} bytes were kept");
    tally.add_all(Count::RelaysHeldBack, u64::from(bytes > 0));
}
