//! Starting the gateway: it raises limits, chooses the engine, binds the listeners, and starts one
//! thread per core.
//!
//! It decides nothing about a client. Its errors are for the operator, and say what to change.

use std::{
    any::Any,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Arc,
    thread,
    time::{Instant, SystemTime},
};

use anyhow::{Context, bail};
use ringway_acceptor::{
    Driver, Listener, Settings as DriverSettings, WaitMode, cores, descriptors,
    engine::{self, Engine},
    epoll::EpollDriver,
    uring::UringDriver,
};
use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tracing::{info, warn};

use crate::{
    auth::{
        ApiKeys, CertificateNames, IdentitySource, SelfNamed,
        token::{Tokens, fetch, issuers::Issuers, keys::KeySet},
    },
    broker::{Broker, mailbox::Mailbox},
    config::{self, Config, settings::Settings},
    core::shard::{Shard, ShardParts},
    doctor::host::Host,
    edge::limiter::{ConnectionLimiter, ConnectionLimits},
    hooks::{Applications, HookSource},
    limits,
    memory::MemoryBudget,
    metrics::CoreMetrics,
    notifications::{Feed, Occurrence, Told},
    outbox::channel::Channels,
    process::{
        epoch, event_loop,
        inherited::Inherited,
        private_socket::{self, PrivateSocket},
        sockets::{self, Listeners},
        tls::{self, TlsServers},
    },
};

/// A gateway whose cores are running.
pub struct Running {
    /// The addresses for clients, with the real ports.
    pub addresses: Vec<SocketAddr>,
    /// The TLS of its listeners and of the private API, where they speak it.
    pub tls: TlsServers,
    /// What is asked of applications.
    pub hooks: Arc<Applications>,
    /// Verifies tokens, if there are keys for them.
    pub tokens: Option<Arc<Tokens>>,
    /// The private API's socket.
    pub api: PrivateSocket,
    /// The keys of the private API.
    pub api_keys: Arc<ApiKeys>,
    /// Sends messages to the cores.
    pub mailbox: Mailbox,
    /// Counts all connections.
    pub limiter: Arc<ConnectionLimiter>,
    /// The events of the process.
    pub broker: Arc<Broker>,
    /// For each hook, what has become of what it is told, if it is told anything.
    pub told: Vec<Option<Arc<Told>>>,
    /// What the cores hand over for applications, if any is told anything. The control thread takes it.
    pub occurrences: Option<Receiver<Occurrence>>,
    /// The budget of buffered bytes.
    pub memory: Arc<MemoryBudget>,
    /// The settings of all connections.
    pub settings: Arc<Settings>,
    /// The time origin of all cores.
    pub start: Instant,
    /// One for each core.
    pub metrics: Vec<Arc<CoreMetrics>>,
    /// The engine in use.
    pub engine: Engine,
    /// The number of cores.
    pub cores: usize,
    /// Connections that the private API may hold.
    pub private_connections_max: usize,
}

/// A core's thread has ended.
#[derive(Debug)]
pub struct CoreEnd {
    /// The core.
    pub core: usize,
    /// The number of clients left behind, or the error that stopped the core.
    pub result: io::Result<usize>,
}

/// Listeners and limits, before any core runs.
pub struct Bound {
    /// The engine to be used.
    pub engine: Engine,
    core_numbers: Vec<usize>,
    listeners: Listeners,
    channels: Channels,
    tls: TlsServers,
    api: PrivateSocket,
    api_keys: ApiKeys,
    descriptors: u64,
    connections_max: u32,
    memory_bytes: u64,
    tokens: Option<Arc<Tokens>>,
}

/// Binds all addresses, except those of inherited sockets, and chooses the engine and the cores.
///
/// # Errors
/// The operator can fix each: an address in use, cores that do not exist, limits, a kernel that
/// refuses io_uring.
pub fn bind(config: &Config, inherited: Inherited) -> anyhow::Result<Bound> {
    let tokens = tokens(config)?;
    let api_keys = ApiKeys::load(&config.api_keys, |name| std::env::var_os(name))?;
    let descriptors = descriptors::raise_limit().context("raising the limit of open files")?;
    let core_numbers = core_numbers(config)?;
    let sockets = config.listeners.len().max(inherited.clients.len());
    let room = descriptors::connections_max(descriptors, core_numbers.len(), sockets);
    let room = room / connections_per_client(config);
    let connections_max = config.limits.connections_max_within(room)?;
    let engine = choose_engine(config, core_numbers.len())?;
    let tls = tls::servers(config)?;
    let listeners = client_listeners(config, inherited.clients, core_numbers.len())?;
    let api = private_socket::open(config, inherited.api)?;
    let memory_bytes = super::memory_limit::of(config, &Host::below(Path::new("/")));
    let mut channels = tls::channels(tls.clients.as_ref(), &listeners.settings);
    tls::add_servers(&mut channels, &config.routes)?;
    Ok(Bound {
        engine,
        core_numbers,
        listeners,
        channels,
        tls,
        api,
        api_keys,
        descriptors,
        connections_max,
        memory_bytes,
        tokens,
    })
}

/// Loads the keys that verify tokens, if there are any; keys at URLs are not fetched yet.
///
/// # Errors
/// A key cannot be used.
pub fn tokens(config: &Config) -> anyhow::Result<Option<Arc<Tokens>>> {
    if config.auth_keys.is_empty() {
        return Ok(None);
    }
    let keys = KeySet::load(&config.auth_keys, |name| std::env::var_os(name))?;
    let issuers = Issuers::new(keys, fetch::sources(&config.auth_keys)?);
    Ok(Some(Arc::new(Tokens::of(issuers, config.auth.clone()))))
}

/// How clients are identified: by tokens, if there is a key for them, and by their certificates, if
/// the configuration says so.
fn identities(config: &Config, tokens: Option<&Arc<Tokens>>) -> Arc<dyn IdentitySource> {
    let tokens = tokens.map(|tokens| Arc::clone(tokens) as Arc<dyn IdentitySource>);
    if config.tls.client_id_from_certificate {
        return Arc::new(CertificateNames::new(tokens));
    }
    tokens.unwrap_or_else(|| Arc::new(SelfNamed))
}

fn client_listeners(
    config: &Config,
    inherited: Vec<OwnedFd>,
    cores: usize,
) -> anyhow::Result<Listeners> {
    if inherited.is_empty() {
        return sockets::bind_all(config, cores);
    }
    let listeners = sockets::inherit_all(config, inherited, cores)?;
    info!(
        inherited = %listed(&listeners.addresses),
        unused = %listed(config.listeners.iter().map(|listener| listener.address)),
        "the clients' sockets were inherited, so listener.address and listener.backlog are not used",
    );
    Ok(listeners)
}

impl Bound {
    /// The addresses for clients, with the real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listeners.addresses
    }

    /// Starts all cores, which follow `mailbox`; each reports its end on `ends`.
    ///
    /// # Errors
    /// The kernel refuses a thread, a ring or a descriptor.
    pub fn start(
        mut self,
        config: &Config,
        mailbox: Mailbox,
        ends: &UnboundedSender<CoreEnd>,
    ) -> anyhow::Result<Running> {
        let start = Instant::now();
        let limiter =
            Arc::new(ConnectionLimiter::new(connection_limits(config, self.connections_max)));
        let settings = Arc::new(Settings {
            connections_max: self.connections_max,
            memory_bytes: self.memory_bytes,
            ..Settings::from_config(config)
        });
        let memory = Arc::new(MemoryBudget::new(self.memory_bytes));
        let told = Told::of(&config.hooks);
        let broker = Broker::new(epoch::random()?, &settings.history, &settings.history_topics);
        let (broker, occurrences) = match told.iter().flatten().next() {
            None => (broker, None),
            Some(_) => {
                let (feed, occurrences) = Feed::of(told.iter().flatten());
                (broker.with_feed(feed), Some(occurrences))
            }
        };
        let broker = Arc::new(broker);
        broker.set_clock(SystemTime::now(), start.elapsed());
        let hooks = Arc::new(Applications::new(&config.hooks));
        let identities = identities(config, self.tokens.as_ref());
        let driver_settings = driver_settings(config, self.connections_max);
        let mut metrics = Vec::new();
        for (place, &core) in self.core_numbers.iter().enumerate() {
            let core_metrics = Arc::new(CoreMetrics::default());
            metrics.push(Arc::clone(&core_metrics));
            spawn_core(Core {
                number: core,
                is_uring: matches!(self.engine, Engine::Uring(_)),
                settings: driver_settings.clone(),
                listeners: self.listeners.sets.pop().expect("a set of listeners for each core"),
                shard: Shard::new(ShardParts {
                    settings: Arc::clone(&settings),
                    identities: Arc::clone(&identities),
                    limiter: Arc::clone(&limiter),
                    broker: Arc::clone(&broker),
                    mailbox: mailbox.clone(),
                    memory: Arc::clone(&memory),
                    metrics: core_metrics,
                    channels: self.channels.clone(),
                    core: place,
                })
                .asking(Arc::clone(&hooks) as Arc<dyn HookSource>),
                start,
                mailbox: mailbox.clone(),
                ends: ends.clone(),
            })?;
        }
        self.announce(config);
        let Self { listeners, tls, tokens, api, api_keys, engine, core_numbers, .. } = self;
        let cores = core_numbers.len();
        Ok(Running {
            addresses: listeners.addresses,
            tls,
            hooks,
            tokens,
            api,
            api_keys: Arc::new(api_keys),
            mailbox,
            limiter,
            broker,
            told,
            occurrences,
            memory,
            settings,
            start,
            metrics,
            engine,
            cores,
            private_connections_max: descriptors::private_connections_max(self.descriptors),
        })
    }

    /// The addresses for clients as URLs.
    fn urls(&self) -> Vec<String> {
        let url = |(address, settings): (&SocketAddr, &config::Listener)| {
            let scheme = if settings.speaks_tls { "wss" } else { "ws" };
            format!("{scheme}://{address}")
        };
        self.addresses().iter().zip(&self.listeners.settings).map(url).collect()
    }

    /// Logs the addresses and limits of the gateway, and the warnings of its configuration.
    fn announce(&self, config: &Config) {
        info!(
            version = env!("CARGO_PKG_VERSION"),
            clients = %listed(self.urls()),
            private_api = %self.api.url(self.tls.api.is_some()),
            "ringway is listening",
        );
        info!(
            engine = %self.engine,
            cores = self.core_numbers.len(),
            core_numbers = %listed(&self.core_numbers),
            connections_max = self.connections_max,
            open_files_max = self.descriptors,
            buffered_bytes_max = self.memory_bytes,
            "ringway is serving",
        );
        for warning in config.warnings_at(self.addresses(), self.api.address()) {
            warn!("{warning}");
        }
    }
}

fn core_numbers(config: &Config) -> anyhow::Result<Vec<usize>> {
    let numbers = match &config.server.cores {
        config::Cores::Auto => cores::allowed(),
        config::Cores::Count(count) => cores::first(*count),
        config::Cores::List(list) => cores::exactly(list),
    };
    numbers.context("server.cores")
}

fn choose_engine(config: &Config, cores: usize) -> anyhow::Result<Engine> {
    let wanted = match config.server.io {
        config::Io::Auto => engine::Io::Auto,
        config::Io::Uring => engine::Io::Uring,
        config::Io::Epoll => engine::Io::Epoll,
    };
    let engine = match engine::choose(wanted, cores) {
        Ok(engine) => engine,
        Err(reason) => {
            bail!("io_uring is unavailable: {reason}; set server.io = \"auto\" to allow epoll")
        }
    };
    match &engine {
        Engine::Epoll { fallback_reason: Some(reason) } => warn!(
            %reason,
            "io_uring cannot be used, so epoll serves, at a higher cost per message"
        ),
        Engine::Uring(offer) if !offer.has_min_wait => {
            info!("this kernel cannot batch wake-ups; Linux 6.12 and newer can");
        }
        Engine::Uring(offer) if !offer.has_bounded_receive => {
            info!(
                "on this kernel one client may fill a core's receive buffers in one turn; \
                 Linux 6.17 and newer bound it"
            );
        }
        _ => {}
    }
    Ok(engine)
}

fn connection_limits(config: &Config, connections_max: u32) -> ConnectionLimits {
    ConnectionLimits {
        connections_max,
        connections_per_address_max: config.limits.connections_per_address_max,
        exempt: config.limits.connections_per_address_exempt.clone(),
    }
}

/// A client that another server serves has two connections.
fn connections_per_client(config: &Config) -> u64 {
    if config.routes.is_empty() { 1 } else { 2 }
}

fn driver_settings(config: &Config, connections_max: u32) -> DriverSettings {
    let connections_max = connections_max * connections_per_client(config) as u32;
    DriverSettings {
        connections_max: connections_max + limits::TURNED_AWAY_MAX,
        receive_buffers: config.server.receive_buffers,
        receive_buffer_bytes: config.server.receive_buffer_bytes,
        wait: match config.server.wait {
            config::Wait::Latency => WaitMode::Latency,
            config::Wait::Adaptive => WaitMode::Adaptive,
            config::Wait::Throughput => WaitMode::Throughput,
        },
        ..DriverSettings::default()
    }
}

/// The state that a core's thread takes over.
struct Core {
    number: usize,
    is_uring: bool,
    settings: DriverSettings,
    listeners: Vec<Listener>,
    shard: Shard,
    start: Instant,
    mailbox: Mailbox,
    ends: UnboundedSender<CoreEnd>,
}

/// Starts a core's thread and waits until its driver is ready.
fn spawn_core(core: Core) -> anyhow::Result<()> {
    let number = core.number;
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new()
        .name(format!("core-{number}"))
        .spawn(move || {
            let ends = core.ends.clone();
            let result = survive(|| run_core(core, &ready));
            // At the end of the process, nothing receives this any more.
            let _ = ends.send(CoreEnd { core: number, result });
        })
        .with_context(|| format!("starting the thread of core {number}"))?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error).with_context(|| format!("setting up core {number}")),
        Err(_) => bail!("the thread of core {number} died while it was set up"),
    }
}

/// Turns a panic into an ordinary end: the other cores hold `ends` open, so a thread that died
/// silently would leave its clients unserved until the process ends.
fn survive(run: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    // Half-done work is dropped with the core.
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        Err(io::Error::other(format!("its thread panicked{}", said(&*panic))))
    })
}

/// The text of a panic, if it has one; its place is in the log already.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.map_or_else(String::new, |text| format!(": {text}"))
}

type Ready = std::sync::mpsc::SyncSender<io::Result<()>>;

fn run_core(mut core: Core, ready: &Ready) -> io::Result<usize> {
    if let Err(error) = cores::pin(core.number) {
        warn!(core = core.number, %error, "the thread cannot be pinned to its core");
    }
    let listeners = std::mem::take(&mut core.listeners);
    if core.is_uring {
        let built = UringDriver::new(&core.settings, listeners);
        built.and_then(|driver| {
            let waker = driver.waker();
            serve(driver, waker, core, ready)
        })
    } else {
        let built = EpollDriver::new(&core.settings, listeners);
        built.and_then(|driver| {
            let waker = driver.waker();
            serve(driver, waker, core, ready)
        })
    }
    .inspect_err(|error| {
        // The receiver is gone after the core was ready.
        let _ = ready.try_send(Err(io::Error::new(error.kind(), error.to_string())));
    })
}

fn serve(
    mut driver: impl Driver,
    waker: ringway_acceptor::Waker,
    mut core: Core,
    ready: &Ready,
) -> io::Result<usize> {
    core.mailbox.register(waker);
    let _ = ready.try_send(Ok(()));
    event_loop::run(&mut driver, &mut core.shard, core.start)?;
    Ok(core.shard.clients())
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicked_core_counts_as_failed() {
        assert_eq!(survive(|| Ok(3)).unwrap(), 3);
        let error = survive(|| panic!("on purpose")).unwrap_err();
        assert_eq!(error.to_string(), "its thread panicked: on purpose");
    }
}
