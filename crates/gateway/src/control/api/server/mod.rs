//! The private listener: its connections, their limit, and their end.
//!
//! It uses the edge's HTTP codec, so that both listeners refuse the same requests for the same
//! reasons. The router decides what a request does.

mod connection;
mod input;
mod request_body;
mod response;
pub mod stream;
mod tls_stream;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::Router;
use ringway_http::HttpError;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::yield_now,
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use crate::{
    auth::AccessFault,
    config::settings::Settings,
    control::api::server::{
        connection::Connection,
        stream::{Listener, Peer, Stream},
    },
    edge::response::Refused,
    log::sampler::{Sampled, Sampler},
    refusal::{ErrorClass, Refusal},
};

/// How long accepting pauses when the kernel has no descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that is evicted may take to end.
const EVICTION_PAUSE: Duration = Duration::from_millis(100);

/// State that all connections share.
struct Shared {
    router: Router,
    settings: Arc<Settings>,
    waiting: Waiting,
    start: Instant,
    /// Limits the log lines for each reason of refusal.
    refusals: Mutex<Sampler<{ ErrorClass::ALL.len() + 1 }>>,
    /// Becomes true when the gateway begins to end.
    stop: watch::Receiver<bool>,
}

impl Shared {
    /// Logs a refused request or connection, once a second for each reason.
    fn log_refusal(&self, refusal: Refusal, peer: Peer) {
        let class = refusal.class();
        let kind = class.map_or(ErrorClass::ALL.len(), |class| class as usize);
        let reason = class.map_or("turned_away", ErrorClass::as_str);
        self.log(kind, reason, refusal.status(), refusal.reason(), peer);
    }

    /// Logs a request that may not use its route.
    fn log_fault(&self, fault: AccessFault, peer: Peer) {
        let (status, detail) = match fault {
            AccessFault::Missing => (401, "it has no key"),
            AccessFault::Invalid => (401, "its key is not one of server.api_key"),
            AccessFault::Scope(_) => (403, "its key does not have the scope of the route"),
        };
        self.log(ErrorClass::Identity as usize, fault.as_str(), status, detail, peer);
    }

    fn log(&self, kind: usize, reason: &str, status: u16, detail: &str, peer: Peer) {
        let address = peer;
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match refusals.judge(kind, self.start.elapsed()) {
            Sampled::Line { suppressed } => {
                info!(reason, status, detail, %address, suppressed, "an application was refused");
            }
            Sampled::Suppressed => {
                debug!(reason, status, detail, %address, "an application was refused");
            }
        }
    }
}

/// Ends the listener.
pub struct Stop {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Stop {
    /// Waits until the listener has ended without [`Stop::finish`], which only a panic causes.
    pub async fn failed(&mut self) {
        let _ = (&mut self.task).await;
    }

    /// Stops accepting, waits until the requests in progress are answered, and then closes each
    /// connection; all within `patience`.
    pub async fn finish(self, patience: Duration) {
        // If there is no receiver, the listener has already ended.
        let _ = self.stop.send(true);
        if self.task.is_finished() {
            return;
        }
        let abort = self.task.abort_handle();
        if timeout(patience, self.task).await.is_err() {
            warn!("requests on the private listener were not answered in time");
            abort.abort();
        }
    }
}

/// The refusal of a request or a connection before it reaches a route. It names no key: the limit
/// of connections follows from the open files, the route decides how large a body may be, and no page
/// of another origin is allowed.
pub fn refused(refusal: Refusal, settings: &Settings) -> Refused<'static> {
    match refusal {
        Refusal::Full | Refusal::ForeignOrigin | Refusal::Http(HttpError::BodyTooLarge) => {
            Refused::by_itself(refusal)
        }
        _ => Refused::by(refusal, settings),
    }
}

/// Serves `router` on `listener`, to as many connections at a time as `connections_max`.
pub fn start(
    listener: Listener,
    router: Router,
    settings: Arc<Settings>,
    connections_max: usize,
) -> Stop {
    let (stop, is_stopped) = watch::channel(false);
    let waiting = Waiting::default();
    let (start, refusals) = (Instant::now(), Mutex::default());
    let shared = Shared { router, settings, waiting, start, refusals, stop: is_stopped };
    let task = tokio::spawn(serve(listener, Arc::new(shared), connections_max));
    Stop { stop, task }
}

async fn serve(listener: Listener, shared: Arc<Shared>, connections_max: usize) {
    let permits = Arc::new(Semaphore::new(connections_max));
    let mut stop = shared.stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                debug!(address = %peer, "an application has connected");
                admit(stream, peer, &shared, &permits).await;
            }
            // accept(2): accepting continues after a client's error; without descriptors it pauses.
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                warn!(%error, "accepting on the private listener pauses for a moment");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Each connection gives its permit back when it ends.
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    let _ = permits.acquire_many(all).await;
}

fn is_of_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Starts to serve a connection. At the limit, the connection that has kept the gateway waiting
/// longest is evicted: silent and slow connections must not keep a health check out.
async fn admit(stream: Stream, peer: Peer, shared: &Arc<Shared>, permits: &Arc<Semaphore>) {
    let permit = match Arc::clone(permits).try_acquire_owned() {
        Ok(permit) => permit,
        Err(_) => match room(shared, permits).await {
            Some(permit) => permit,
            None => {
                shared.log_refusal(Refusal::Full, peer);
                return connection::turn_away(&stream, &shared.settings);
            }
        },
    };
    let connection = Connection::new(stream, peer, Arc::clone(shared));
    tokio::spawn(with_permit(connection.serve(), permit));
    // The new connection is entered in `waiting` before the next one needs room.
    yield_now().await;
}

/// Makes room for a connection; `None` if all others are being answered.
async fn room(shared: &Shared, permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    while shared.waiting.close_oldest() {
        // It ends at once, unless its last answer is still to be read.
        if let Ok(permit) = timeout(EVICTION_PAUSE, Arc::clone(permits).acquire_owned()).await {
            return permit.ok();
        }
    }
    None
}

async fn with_permit(connection: impl Future<Output = ()>, permit: OwnedSemaphorePermit) {
    connection.await;
    drop(permit);
}

/// What the gateway waits for on a connection, in the order in which connections are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// The client has had its last answer and must end the connection.
    End,
    /// A whole request head.
    Head,
    /// The rest of a request's body.
    Body,
}

/// The connections that keep the gateway waiting, in the order in which they would be evicted.
#[derive(Debug, Default)]
struct Waiting {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    connections: BTreeMap<(Phase, u64), Arc<Notify>>,
}

impl Waiting {
    /// Adds a connection.
    fn enter(&self, phase: Phase) -> Ticket<'_> {
        let evicted = Arc::new(Notify::new());
        let mut queue = self.lock();
        let place = (phase, queue.next);
        queue.next += 1;
        queue.connections.insert(place, Arc::clone(&evicted));
        Ticket { waiting: self, place, evicted }
    }

    /// Evicts the connection that has waited longest; false if none waits.
    fn close_oldest(&self) -> bool {
        let oldest = self.lock().connections.pop_first();
        oldest.inspect(|(_, evicted)| evicted.notify_one()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in [`Waiting`], released on drop.
struct Ticket<'w> {
    waiting: &'w Waiting,
    place: (Phase, u64),
    evicted: Arc<Notify>,
}

impl Ticket<'_> {
    /// Waits until the connection is evicted.
    async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waiting.lock().connections.remove(&self.place);
    }
}
