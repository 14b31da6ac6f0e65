//! The private API: the application sends events and asks about events and clients, and the
//! operator reads metrics.
//!
//! It listens on a separate address, or a unix socket, and is never reachable from the edge listener.
//! Its keys (`access`) say what a request may do; the permissions of clients do not apply to it.

mod access;
mod awaited;
mod body;
mod bulk;
mod clients;
mod done;
mod exposition;
mod history;
mod idempotency;
mod lines;
mod parameters;
mod post;
mod problem;
mod routes;
mod server;
mod submission;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ringway_hub::Publisher;
use ringway_tls::server::Server;

use crate::{
    auth::{ApiKeys, Caller, token::Tokens},
    broker::{
        Broker, Echo, Place, Receipt, ReceiptRoom, crowding::Sender, mailbox::Mailbox,
        source::SubmitError,
    },
    config::{patterns::Patterns, settings::Settings},
    control::api::{
        awaited::{Answer, Submissions},
        body::{BodyLimit, MESSAGE_BYTES_KEY},
        done::Done,
        idempotency::{IdempotencyStore, Key},
        problem::Problem,
        server::stream::Listener,
        submission::{Submission, To},
    },
    limits::BULK_BYTES_MAX,
    memory::MemoryBudget,
    metrics::{CoreMetrics, Counter},
    notifications::Told,
    process::server::Running,
    session::served,
};

pub use self::server::Stop;

/// Serves the API until it is stopped.
///
/// # Errors
/// The runtime does not accept the socket.
pub fn start(running: &Running) -> anyhow::Result<Stop> {
    let listener = Listener::of(&running.api, running.tls.api.clone())?;
    let api = Arc::new(Api::of(running));
    api.follow_outcomes();
    let router = routes::router(api);
    let settings = Arc::clone(&running.settings);
    Ok(server::start(listener, router, settings, running.private_connections_max))
}

/// The state of the routes. Only the control thread uses it.
struct Api {
    broker: Arc<Broker>,
    mailbox: Mailbox,
    settings: Arc<Settings>,
    metrics: Vec<Arc<CoreMetrics>>,
    memory: Arc<MemoryBudget>,
    tls: Option<Arc<Server>>,
    keys: Arc<ApiKeys>,
    tokens: Option<Arc<Tokens>>,
    told: Vec<Arc<Told>>,
    engine: String,
    /// Where the private API listens, as the log names it.
    listener: String,
    start: Instant,
    /// The application may address every client and topic.
    everyone: Patterns,
    /// Locked because axum requires shared state to be `Sync`, although only this thread uses it.
    submissions: Mutex<Submissions>,
    ledger: IdempotencyStore,
    appended: Counter,
}

impl Api {
    fn of(running: &Running) -> Self {
        Self {
            broker: Arc::clone(&running.broker),
            mailbox: running.mailbox.clone(),
            settings: Arc::clone(&running.settings),
            metrics: running.metrics.clone(),
            memory: Arc::clone(&running.memory),
            tls: running.tls.all().into_iter().next(),
            keys: Arc::clone(&running.api_keys),
            tokens: running.tokens.clone(),
            told: running.told.iter().flatten().cloned().collect(),
            engine: running.engine.to_string(),
            listener: running.api.url(running.tls.api.is_some()),
            start: running.start,
            everyone: Patterns::new(["*"]),
            submissions: Mutex::default(),
            ledger: IdempotencyStore::default(),
            appended: Counter::default(),
        }
    }

    /// Time since the process started, as the cores count it.
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The limit of one object, in bytes.
    fn message_bytes_max(&self) -> usize {
        self.settings.websocket.message_bytes_max
    }

    /// The bound of a body of one object.
    fn message_limit(&self) -> BodyLimit {
        BodyLimit { bytes_max: self.message_bytes_max(), key: Some(MESSAGE_BYTES_KEY) }
    }

    /// The bound of a body of many objects.
    fn bulk_limit(&self) -> BodyLimit {
        match self.message_limit() {
            limit if limit.bytes_max > BULK_BYTES_MAX => limit,
            _ => BodyLimit { bytes_max: BULK_BYTES_MAX, key: None },
        }
    }

    fn recipients_max(&self) -> usize {
        self.settings.clients.recipients_max
    }

    /// Submits an event, without waking the cores.
    ///
    /// # Errors
    /// There is no memory for it, or the log refuses it now.
    fn perform(
        &self,
        submission: &Submission<'_>,
        caller: Caller,
        key: Option<&Key>,
    ) -> Result<Answer, Problem> {
        self.submit(submission, caller, key).map_err(|error| match error {
            SubmitError::OutOfMemory => body::out_of_memory(&self.memory),
            SubmitError::Unavailable => awaited::unavailable(),
            SubmitError::Crowded(crowded) => {
                let used_up = crowded.share.into();
                let sender = Sender::Application(self.keys.name(caller));
                self.broker.crowding.note(used_up, sender, self.now());
                served::used_up(used_up, crowded.retry_after, &self.settings).into()
            }
        })
    }

    fn submit(
        &self,
        submission: &Submission<'_>,
        caller: Caller,
        key: Option<&Key>,
    ) -> Result<Answer, SubmitError> {
        let (broker, now) = (&self.broker, self.now());
        let mut submissions = self.submissions();
        let submitter = &mut submissions.submitter;
        submitter.publisher = Publisher::of_application(caller.number());
        let notice = submission.notice();
        let (pending, receipt) = match &submission.to {
            To::Recipients(names) => {
                let notified = broker.notify(submitter, notice, names, &self.everyone, now)?;
                match notified.place {
                    Place::At(cursor) => {
                        self.appended.add(1);
                        let done = Done::notified(cursor, &notified.outcome);
                        return Ok(Answer::Done(done));
                    }
                    Place::Pending(pending) => {
                        let room = ReceiptRoom::new(names)?;
                        (pending, room.notified(notified.place, &notified.outcome))
                    }
                }
            }
            To::Topic(topic) => {
                let place = broker.publish(submitter, notice, topic, Echo::Yes, now)?;
                match place {
                    Place::At(cursor) => {
                        self.appended.add(1);
                        return Ok(Answer::Done(Done::published(cursor)));
                    }
                    Place::Pending(pending) => (pending, Receipt::published(place)),
                }
            }
        };
        Ok(submissions.insert(pending, receipt, key.cloned()))
    }

    fn submissions(&self) -> MutexGuard<'_, Submissions> {
        self.submissions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the cores read the log.
    fn wake_cores(&self) {
        self.mailbox.wake_all();
    }
}
