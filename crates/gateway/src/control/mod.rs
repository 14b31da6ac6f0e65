//! The control thread: signals, the private API, and the wait for the cores' end.
//!
//! It runs on tokio-uring where io_uring is allowed, else on tokio alone. It never serves a
//! client.

pub mod api;
mod signals;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use ringway_acceptor::engine::Engine;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::timeout,
};
use tracing::{error, info, warn};

pub use self::signals::EarlySignals;
use self::signals::Signals;
use crate::{
    config::Config,
    exchange::Exchange,
    memory::release::Release,
    orders::Orders,
    server::{Bound, CoreEnd},
};

/// How much later than promised an event may leave the history.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(2);

/// When so much has left the history at once, the cores look for what they can give back.
const EXPIRED_BYTES_WORTH_WAKING: u64 = 1 << 20;

/// Beyond `drain_time`, for the way out.
const GRACE: Duration = Duration::from_millis(500);

/// Starts the cores, and runs on this thread until the gateway has ended.
///
/// # Errors
/// See [`Bound::start`].
pub fn run(bound: Bound, config: &Config, early: &EarlySignals) -> anyhow::Result<ExitCode> {
    // This thread's ring is a convenience: where there is no memory for it, the cores' come first.
    if let Engine::Uring(_) = bound.engine
        && let Ok(runtime) = tokio_uring::Runtime::new(&tokio_uring::builder())
    {
        return runtime.block_on(supervise(bound, config, early));
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(supervise(bound, config, early))
}

async fn supervise(
    bound: Bound,
    config: &Config,
    early: &EarlySignals,
) -> anyhow::Result<ExitCode> {
    // Before the first client, so that no signal finds clients and nobody to tell them.
    let mut signals = Signals::listen()?;
    if early.is_to_end() {
        info!("told to end before the start");
        return Ok(ExitCode::SUCCESS);
    }
    let (core_ends, mut ends) = mpsc::unbounded_channel();
    let running = bound.start(config, &core_ends)?;
    drop(core_ends);
    let drain_time = config.server.drain_time;
    let cores = running.cores;
    let orders = running.orders.clone();
    let upkeep = tokio::spawn(upkeep(Arc::clone(&running.exchange), orders.clone(), running.start));
    let api = api::start(&running)?;
    let first = tokio::select! {
        signal = signals.next() => Ok(signal),
        end = ends.recv() => Err(end),
    };
    let signal = match first {
        Ok(signal) => signal,
        Err(end) => {
            report(end);
            return Ok(ExitCode::FAILURE);
        }
    };
    info!(signal, ?drain_time, "accepting stops, clients are told to leave");
    let begun = Instant::now();
    orders.drain();
    let code = tokio::select! {
        code = all_end(&mut ends, cores, drain_time) => code,
        signal = signals.next() => {
            warn!(signal, "a second signal: ending at once");
            ExitCode::FAILURE
        }
    };
    upkeep.abort();
    // Whoever is in the middle of a request gets an answer, in what is left of the time.
    let left = drain_time.saturating_sub(begun.elapsed());
    tokio::select! {
        () = api.finish(left) => {}
        signal = signals.next() => {
            warn!(signal, "a second signal: ending at once");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(code)
}

/// Lets go of what is too old, also when nothing new comes.
///
/// What leaves the history is memory of the cores that appended it: they are woken, so that each gives
/// its own back to the kernel (`memory::release`). This thread does so, too.
async fn upkeep(exchange: Arc<Exchange>, orders: Orders, start: Instant) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    let mut release = Release::default();
    loop {
        ticks.tick().await;
        let now = start.elapsed();
        let before = exchange.log.size().bytes;
        exchange.expire(now);
        if before.saturating_sub(exchange.log.size().bytes) > EXPIRED_BYTES_WORTH_WAKING {
            orders.wake_all();
        }
        release.was_busy(now);
        release.expire(now);
    }
}

/// Waits for the cores, but not longer than was promised.
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

/// The clients that a core left behind; `None` when it broke.
fn report(end: Option<CoreEnd>) -> Option<usize> {
    let CoreEnd { core, result } = end?;
    result.inspect_err(|error| error!(core, %error, "a core has failed")).ok()
}
