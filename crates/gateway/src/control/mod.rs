//! The control thread: signals, the private API, and the wait for the cores' end.
//!
//! It runs on tokio-uring if io_uring is allowed, otherwise only on tokio. It never serves a
//! client.

pub mod api;
mod application;
mod certificates;
mod failure;
mod issuer_keys;
mod key_files;
mod notifying;
mod signals;
#[cfg(test)]
mod tests;
mod watched;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ringway_acceptor::engine::Engine;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    task::JoinHandle,
    time::timeout,
};
use tracing::{error, info, warn};

pub use self::signals::EarlySignals;

use crate::{
    auth::token::keys::KeySet,
    broker::{Broker, mailbox::Mailbox},
    config::Config,
    control::{issuer_keys::IssuerKeys, signals::Signals},
    memory::release::Release,
    process::server::{Bound, CoreEnd},
};

/// How much later than promised an event may be dropped from the history.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(2);

/// When this much has expired from the history at once, the cores are woken to free memory.
const EXPIRED_BYTES_WORTH_WAKING: u64 = 1 << 20;

/// Added to `drain_time`, for the cores to end.
const GRACE: Duration = Duration::from_millis(500);

/// Starts the cores, and runs on this thread until the gateway has ended.
///
/// # Errors
/// See [`Bound::start`].
pub fn run(bound: Bound, config: &Config, early: &EarlySignals) -> anyhow::Result<ExitCode> {
    failure::survive(config.server.drain_time, |mailbox, core_ends, ends| {
        let engine = bound.engine.clone();
        block_on(&engine, async {
            // Before the first client: a signal that comes later must find a listener that tells
            // clients.
            let signals = Signals::listen()?;
            if early.is_to_end() {
                info!("stopped by a signal before the start");
                return Ok(ExitCode::SUCCESS);
            }
            supervise(bound, config, signals, mailbox, core_ends, ends).await
        })
    })
}

fn block_on<T>(
    engine: &Engine,
    control: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    // This thread's ring is optional: if memory is short, the cores' rings come first.
    if let Engine::Uring(_) = engine
        && let Ok(runtime) = tokio_uring::Runtime::new(&tokio_uring::builder())
    {
        return runtime.block_on(control);
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(control)
}

/// Why the gateway ends.
enum Cause {
    Signal(&'static str),
    /// A core has ended, which never happens without a fault.
    Core(Option<CoreEnd>),
    /// A task of this thread has ended, which never happens without a fault.
    Task(&'static str),
}

async fn supervise(
    bound: Bound,
    config: &Config,
    mut signals: Signals,
    mailbox: Mailbox,
    core_ends: UnboundedSender<CoreEnd>,
    ends: &mut UnboundedReceiver<CoreEnd>,
) -> anyhow::Result<ExitCode> {
    let mut running = bound.start(config, mailbox.clone(), &core_ends)?;
    drop(core_ends);
    let mut upkeep =
        tokio::spawn(upkeep(Arc::clone(&running.broker), mailbox.clone(), running.start));
    let servers = running.tls.all();
    if !servers.is_empty() {
        // It ends with the runtime.
        tokio::spawn(certificates::watch(servers, signals.reload()));
    }
    if running.api_keys.files().next().is_some() {
        tokio::spawn(key_files::watch_api(Arc::clone(&running.api_keys), signals.reload()));
    }
    if let Some(tokens) = &running.tokens {
        let tables = &config.auth_keys;
        if KeySet::files(tables).next().is_some() {
            let (tables, tokens) = (tables.clone(), Arc::clone(tokens));
            tokio::spawn(key_files::watch_tokens(tables, tokens, signals.reload()));
        }
        let (tokens, broker) = (Arc::clone(tokens), Arc::clone(&running.broker));
        let refresh = config.auth.jwks_refresh;
        let keys = IssuerKeys::new(tokens, mailbox.clone(), broker, running.start, refresh);
        // The task ends with the runtime, or at once if there is nothing to fetch.
        tokio::spawn(keys.follow());
    }
    let mut notifying = match running.occurrences.take() {
        Some(feed) => {
            let (told, broker) = (&running.told, &running.broker);
            notifying::start(&config.hooks, told, broker, feed, running.start)?
        }
        None => None,
    };
    let mut api = api::start(&running)?;
    let cause = first_cause(&mut signals, ends, &mut upkeep, &mut api, notifying.as_mut()).await;
    let (mut cores, mut drain_time) = (running.cores, config.server.drain_time);
    let has_failed = !matches!(cause, Cause::Signal(_));
    if has_failed {
        drain_time = failure::drain_time(drain_time);
    }
    match cause {
        Cause::Signal(signal) => {
            info!(signal, ?drain_time, "accepting stops, clients are told to leave");
        }
        Cause::Core(end) => {
            report(end);
            cores -= 1;
            error!(?drain_time, "the clients of the other cores are told to leave");
        }
        Cause::Task(task) => {
            error!(task, ?drain_time, "a task has failed: all clients are told to leave");
        }
    }
    let begun = Instant::now();
    mailbox.drain(drain_time);
    let mut code = tokio::select! {
        code = all_end(ends, cores, drain_time) => code,
        signal = signals.next() => {
            warn!(signal, "a second signal: ending at once");
            ExitCode::FAILURE
        }
    };
    if has_failed {
        code = ExitCode::FAILURE;
    }
    upkeep.abort();
    // Requests in progress are answered within the remaining time. Applications are told that the last
    // clients have left, even if that took all of it.
    let left = drain_time.saturating_sub(begun.elapsed());
    let told = async {
        if let Some(notifying) = notifying {
            notifying.finish(left.max(GRACE)).await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(api.finish(left), told) } => {}
        signal = signals.next() => {
            warn!(signal, "a second signal: ending at once");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(code)
}

async fn first_cause(
    signals: &mut Signals,
    ends: &mut UnboundedReceiver<CoreEnd>,
    upkeep: &mut JoinHandle<()>,
    api: &mut api::Stop,
    notifying: Option<&mut notifying::Stop>,
) -> Cause {
    let notifying = async {
        match notifying {
            Some(notifying) => notifying.failed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        signal = signals.next() => Cause::Signal(signal),
        end = ends.recv() => Cause::Core(end),
        _ = upkeep => Cause::Task("upkeep of the history"),
        () = api.failed() => Cause::Task("private listener"),
        () = notifying => Cause::Task("notifications of applications"),
    }
}

/// Drops expired events even if no new ones are appended, and reads the wall clock for the cores.
///
/// The memory of dropped events belongs to the cores that appended them: they are woken, so that
/// each returns its own to the kernel (`memory::release`). So does this thread.
async fn upkeep(broker: Arc<Broker>, mailbox: Mailbox, start: Instant) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    let mut release = Release::default();
    loop {
        ticks.tick().await;
        let now = start.elapsed();
        let before = broker.log.size().bytes;
        broker.set_clock(SystemTime::now(), now);
        broker.expire(now);
        if before.saturating_sub(broker.log.size().bytes) > EXPIRED_BYTES_WORTH_WAKING {
            mailbox.wake_all();
        }
        release.was_busy(now);
        release.expire(now);
    }
}

/// Waits for the cores, but not longer than promised.
async fn all_end(
    ends: &mut UnboundedReceiver<CoreEnd>,
    cores: usize,
    drain_time: Duration,
) -> ExitCode {
    let mut left_behind = 0;
    let wait = async {
        let mut code = ExitCode::SUCCESS;
        for _ in 0..cores {
            match report(ends.recv().await) {
                Some(clients) => left_behind += clients,
                None => code = ExitCode::FAILURE,
            }
        }
        code
    };
    let Ok(code) = timeout(drain_time + GRACE, wait).await else {
        error!("a core has not ended in time");
        return ExitCode::FAILURE;
    };
    match left_behind {
        0 => info!("all clients have left"),
        clients => warn!(clients, "some clients had not left in time and were dropped"),
    }
    code
}

/// The number of clients that a core left behind; `None` if it failed.
fn report(end: Option<CoreEnd>) -> Option<usize> {
    let CoreEnd { core, result } = end?;
    result.inspect_err(|error| error!(core, %error, "a core has failed")).ok()
}
