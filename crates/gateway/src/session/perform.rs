//! Performs the commands of clients, independent of their transport.
//!
//! It appends to the log and changes subscriptions. It knows no subprotocol: commands and replies
//! are values. It never writes to a connection.

use std::{borrow::Cow, sync::Arc, time::Duration};

use ringway_acceptor::ConnectionId;
use ringway_hub::{Cursor, Name, OnceError, Publisher};

use crate::{
    auth::{Act, Credentials, Decision, Grants, Identity, Secret, TokenPlace},
    broker::{
        Answer, Awaited, Broker, CommandOutcome, Missed, Notice, Place, Receipt, ReceiptRoom,
        Waiter,
        crowding::{Sender, UsedUp},
        mailbox::{Change, CoreMessage},
        source::{SubmitError, Submitter, Unavailable},
    },
    config::{reference::ConfigReference, settings::Settings},
    limits::RECIPIENT_COST,
    session::{
        Session, TooMany,
        command::Command,
        command_error::{CommandError, ErrorCode, Fault},
        core_hub::{Appended, CoreHub, Intake, Renewed},
        served,
    },
};

/// The client that sends a command, and how.
pub enum Caller<'a> {
    /// A client on its connection.
    Session {
        /// Its place in the hub.
        session: &'a mut Session,
        /// Its connection.
        connection: ConnectionId,
    },
    /// A client that sends the command in a request of its own.
    Request {
        /// The client's identity.
        identity: &'a Identity,
        /// Who is responsible for its events.
        publisher: Publisher,
        /// The connection of the request.
        connection: ConnectionId,
    },
}

impl Caller<'_> {
    fn client(&self) -> &str {
        match self {
            Self::Session { session, .. } => session.client(),
            Self::Request { identity, .. } => &identity.client,
        }
    }

    fn publisher(&self) -> Publisher {
        match self {
            Self::Session { session, .. } => session.publisher,
            Self::Request { publisher, .. } => *publisher,
        }
    }

    fn grants(&self) -> &Grants {
        match self {
            Self::Session { session, .. } => session.grants(),
            Self::Request { identity, .. } => &identity.grants,
        }
    }

    /// Whether the client has the grant for this name.
    fn check(&self, act: Act, name: &str, settings: &Settings) -> Result<(), Fault> {
        match self.grants().names(act, &settings.clients).allow(name) {
            true => Ok(()),
            false => Err(not_granted(act, self.grants().key(act))),
        }
    }

    fn connection(&self) -> ConnectionId {
        match self {
            Self::Session { connection, .. } | Self::Request { connection, .. } => *connection,
        }
    }
}

/// Whether a command is complete.
#[derive(Debug)]
pub enum Performed<'t> {
    /// It was performed.
    Done(Reply<'t>),
    /// Its event has no place in the log yet. The connection is told when the outcome is known.
    Awaited(Arc<Awaited>),
}

/// The reply to a command that was performed.
#[derive(Debug)]
pub enum Reply<'t> {
    /// The position of the log.
    Position {
        /// The client's own name for the command, if it gave one.
        id: Option<Cow<'t, str>>,
        /// The position.
        cursor: Cursor,
    },
    /// An event was appended, now or for an earlier command with this id.
    Accepted {
        /// As in `Position`.
        id: Cow<'t, str>,
        /// Its outcome.
        receipt: Arc<Receipt>,
    },
    /// The token was taken over.
    Refreshed {
        /// As in `Position`.
        id: Cow<'t, str>,
        /// The position.
        cursor: Cursor,
        /// When the token expires, as time since 1970.
        expires_at: Option<Duration>,
    },
    /// The subscription has begun or ended.
    Subscribed {
        /// As in `Position`.
        id: Cow<'t, str>,
        /// Events after this position will be sent.
        cursor: Cursor,
        /// The requested events that are gone; a gap reports them after the reply.
        missed: Option<Missed>,
    },
}

/// Performs a command.
///
/// # Errors
/// Why the command was not performed. After [`ErrorCode::OutOfMemory`] it may have been performed:
/// if the client sends it again, it is performed, or the client gets the reply that could not be
/// written.
pub fn perform<'t>(
    command: Command<'t>,
    caller: &mut Caller<'_>,
    hub: &mut CoreHub,
    settings: &Settings,
    now: Duration,
) -> Result<Performed<'t>, CommandError<'t>> {
    let reply = match command {
        Command::Ping { id } => {
            let cursor = match caller {
                Caller::Session { session, .. } => session.cursor(hub),
                Caller::Request { .. } => hub.broker.cursor(hub.settled()),
            };
            Ok(Reply::Position { id, cursor })
        }
        Command::Notify { id, to, event, data, ttl } => {
            let client = caller.client();
            if hub.intake == Intake::Closed {
                return reply_again(client, id, hub, now).map(Performed::Done);
            }
            if let Err(fault) = served::pay(client, hub, settings, now) {
                return Err(fault.of(id));
            }
            hub.spend(to.len() * RECIPIENT_COST);
            let notice = Notice { from: Some(client), event: event.as_deref(), data, ttl };
            return submit(id, caller, hub, settings, now, |broker, submitter| {
                let room = ReceiptRoom::new(&to)?;
                let allowed = caller.grants().names(Act::Notify, &settings.clients);
                let notified = broker.notify(submitter, notice, &to, allowed, now)?;
                Ok((notified.place, room.notified(notified.place, &notified.outcome)))
            });
        }
        Command::Publish { id, topic, event, data, echo, ttl } => {
            let client = caller.client();
            if let Err(fault) = caller.check(Act::Publish, &topic, settings) {
                return Err(fault.of(id));
            }
            if hub.intake == Intake::Closed {
                return reply_again(client, id, hub, now).map(Performed::Done);
            }
            if let Err(fault) = served::pay(client, hub, settings, now) {
                return Err(fault.of(id));
            }
            let notice = Notice { from: Some(client), event: event.as_deref(), data, ttl };
            return submit(id, caller, hub, settings, now, |broker, submitter| {
                let place = broker.publish(submitter, notice, &topic, echo, now)?;
                Ok((place, Receipt::published(place)))
            });
        }
        Command::Subscribe { id, topic, since, last, connection } => {
            let since = match begin_of(&topic, since.as_deref(), caller, settings) {
                Ok(since) => since,
                Err(fault) => return Err(fault.of(id)),
            };
            let since = since.or_else(|| {
                let after = hub.before_last(&topic, last?, settings.clients.last_events_max, now);
                Some(hub.broker.cursor(after))
            });
            let listening = Listening { id, topic, connection, change: Change::Subscribe(since) };
            listen(listening, caller, hub, settings)
        }
        Command::Refresh { id, token, connection } => {
            match refresh(token.as_ref(), connection.as_deref(), caller, hub, settings, now) {
                Ok((cursor, expires_at)) => Ok(Reply::Refreshed { id, cursor, expires_at }),
                Err(fault) => Err(fault.of(id)),
            }
        }
        Command::Auth { id, .. } => {
            let message = "the client is known already; a refresh renews its token";
            let fault = Fault::new(ErrorCode::NotOnThisTransport, message);
            Err(CommandError { id, ..fault.without_id() })
        }
        Command::Unsubscribe { id, topic, connection } => {
            let listening = Listening { id, topic, connection, change: Change::Unsubscribe };
            listen(listening, caller, hub, settings)
        }
    };
    reply.map(Performed::Done)
}

/// Submits the event of a command, unless the command was already submitted.
fn submit<'t>(
    id: Cow<'t, str>,
    caller: &Caller<'_>,
    hub: &mut CoreHub,
    settings: &Settings,
    now: Duration,
    submit: impl FnOnce(&Broker, &mut Submitter) -> Result<(Place, Receipt), SubmitError>,
) -> Result<Performed<'t>, CommandError<'t>> {
    let CoreHub { broker, submitter, submissions, ahead, appended, core, .. } = hub;
    let (client, waiter) =
        (caller.client(), Waiter { core: *core, connection: caller.connection() });
    let publisher = caller.publisher();
    submitter.publisher = publisher;
    let answer = broker.receipts.try_once(publisher.number(), client, &id, now, || {
        let (place, receipt) = submit(broker, submitter)?;
        Ok(match place {
            Place::At(cursor) => {
                *appended = Appended::Some;
                let (sequence, slowest) = (cursor.sequence, broker.progress.slowest());
                ahead.note(waiter.connection, sequence, submitter.submitted_bytes, slowest);
                Answer::Given(Arc::new(receipt))
            }
            Place::Pending(submission) => {
                let awaited = Awaited::new(client, &id, waiter, &receipt);
                submissions.insert(submission, receipt, Arc::clone(&awaited));
                Answer::Awaited(awaited)
            }
        })
    });
    match answer {
        Ok((Answer::Given(receipt), _)) => Ok(Performed::Done(Reply::Accepted { id, receipt })),
        Ok((Answer::Awaited(awaited), _)) => match awaited.join(waiter) {
            Some(outcome) => reply_of(id, outcome).map(Performed::Done),
            None => Ok(Performed::Awaited(awaited)),
        },
        Err(OnceError::Failed(SubmitError::OutOfMemory)) => Err(no_memory(settings).of(id)),
        Err(OnceError::Failed(SubmitError::Unavailable)) => Err(unavailable().of(id)),
        Err(OnceError::Failed(SubmitError::Crowded(crowded))) => {
            broker.crowding.note(crowded.share.into(), Sender::Client(client), now);
            Err(served::used_up(crowded.share.into(), crowded.retry_after, settings).of(id))
        }
        Err(OnceError::Full(retry_after)) => {
            broker.crowding.note(UsedUp::Outcomes, Sender::Client(client), now);
            Err(served::used_up(UsedUp::Outcomes, retry_after, settings).of(id))
        }
    }
}

/// The reply to a command whose outcome is known.
///
/// # Errors
/// The event was not appended to the log.
pub fn reply_of(id: Cow<'_, str>, outcome: CommandOutcome) -> Result<Reply<'_>, CommandError<'_>> {
    match outcome {
        Ok(receipt) => Ok(Reply::Accepted { id, receipt }),
        Err(Unavailable) => Err(unavailable().of(id)),
    }
}

/// The log's source does not answer, or refuses the event.
pub fn unavailable() -> Fault {
    let message = "the log cannot accept the event now, send it again later";
    Fault::new(ErrorCode::Unavailable, message)
}

/// The gateway has no more time to wait for the event's place.
pub fn going_away() -> Fault {
    let message = "the gateway is going away; send the command again after reconnecting";
    Fault::new(ErrorCode::GoingAway, message)
}

/// There is no memory for the event, or for its reply. If the command is sent again, it is
/// performed or acknowledged then.
pub fn no_memory(settings: &Settings) -> Fault {
    let message = "the memory for buffers is used up, send it again later";
    let limit = ConfigReference::memory(settings.memory_bytes);
    Fault::of_limit(ErrorCode::OutOfMemory, message, limit)
}

/// The settings or the client's identity deny it the topic.
fn not_granted(act: Act, key: Option<&'static str>) -> Fault {
    let message = format!("this client may not {} to this topic", act.as_str());
    let Some(key) = key else { return Fault::new(ErrorCode::NotAllowed, message) };
    let reference = ConfigReference::list(key);
    let message = format!("{message} {reference}");
    Fault { reference: Some(reference), ..Fault::new(ErrorCode::NotAllowed, message) }
}

/// While the gateway is going away: acknowledges a command that was performed before, and refuses
/// every other one.
fn reply_again<'t>(
    client: &str,
    id: Cow<'t, str>,
    hub: &CoreHub,
    now: Duration,
) -> Result<Reply<'t>, CommandError<'t>> {
    let outcome = match hub.broker.receipts.earlier(client, &id, now) {
        Some(Answer::Given(receipt)) => Some(Ok(receipt)),
        Some(Answer::Awaited(awaited)) => awaited.outcome(),
        None => None,
    };
    match outcome {
        Some(outcome) => reply_of(id, outcome),
        None => Err(going_away().of(id)),
    }
}

/// The cursor from which a subscription begins; `None`: it begins now.
fn begin_of(
    topic: &str,
    since: Option<&str>,
    caller: &Caller<'_>,
    settings: &Settings,
) -> Result<Option<Cursor>, Fault> {
    caller.check(Act::Subscribe, topic, settings)?;
    since
        .map(str::parse)
        .transpose()
        .map_err(|_| Fault::new(ErrorCode::BadCursor, "`since` is not a cursor of this gateway"))
}

/// A command that subscribes or unsubscribes.
struct Listening<'t> {
    id: Cow<'t, str>,
    topic: Cow<'t, str>,
    /// The name of the connection, if the command is sent by another one.
    connection: Option<Cow<'t, str>>,
    change: Change,
}

/// Changes a subscription of this connection or, by a request, of another connection of the client.
fn listen<'t>(
    listening: Listening<'t>,
    caller: &mut Caller<'_>,
    hub: &mut CoreHub,
    settings: &Settings,
) -> Result<Reply<'t>, CommandError<'t>> {
    let Listening { id, topic, connection: named, change } = listening;
    let (cursor, missed) = match caller {
        Caller::Session { session, connection } => {
            match apply(change, session, &topic, *connection, settings, hub) {
                // As in a welcome, the cursor before a gap. If the connection breaks before the
                // client has read the gap, the client is sent it again.
                Ok(missed) => {
                    (missed.map_or_else(|| session.cursor(hub), |(from, _)| from), missed)
                }
                Err(TooMany) => {
                    let (code, message) = (ErrorCode::TooManySubscriptions, "too many topics");
                    let limit = ConfigReference::count(
                        "clients.subscriptions_max",
                        settings.clients.subscriptions_max,
                        "topics per client",
                    );
                    return Err(Fault::of_limit(code, message, limit).of(id));
                }
            }
        }
        Caller::Request { identity, .. } => {
            let Some((core, connection)) = named.as_deref().and_then(place_of) else {
                let message = "name the `connection` that its welcome named, or put the topics \
                               into the query of the transport";
                return Err(Fault::new(ErrorCode::NotOnThisTransport, message).of(id));
            };
            // The connection's core reads its mailbox later, and may have read further by then.
            let cursor = hub.broker.cursor(hub.settled());
            let change = match change {
                Change::Subscribe(None) => Change::SubscribeSince(cursor),
                other => other,
            };
            let client = Name::from(&*identity.client);
            let topic = topic.into_owned().into();
            let order = CoreMessage::Listen { connection, client, topic, change };
            hub.mailbox.tell(core, order);
            (cursor, None)
        }
    };
    Ok(Reply::Subscribed { id, cursor, missed })
}

/// Takes over another token of the client: on its connection, or by a request for another one.
fn refresh(
    token: Option<&Secret>,
    named: Option<&str>,
    caller: &mut Caller<'_>,
    hub: &mut CoreHub,
    settings: &Settings,
    now: Duration,
) -> Result<(Cursor, Option<Duration>), Fault> {
    let identity = match (token, &*caller) {
        (Some(token), caller) => {
            let client = Some(caller.client());
            let token = Some((token, TokenPlace::Command));
            let now = hub.broker.wall_clock(now);
            let certificate = None;
            let credentials = Credentials { client, token, certificate, now };
            let decision = hub.identities.identify(&credentials);
            hub.spend(hub.identities.take_cost());
            match decision {
                Decision::Identified(identity) => identity,
                Decision::Refused(refusal) if refusal.is_temporary() => {
                    return Err(unavailable_key());
                }
                Decision::Refused(refusal) => {
                    return Err(Fault::new(ErrorCode::TokenRefused, refusal.reason()));
                }
                Decision::Waiting(_) => return Err(unavailable_key()),
            }
        }
        (None, Caller::Request { identity, .. }) => (*identity).clone(),
        (None, Caller::Session { .. }) => {
            return Err(Fault::new(ErrorCode::MissingField, "\"token\" is missing"));
        }
    };
    let expires_at = identity.expires_at;
    match caller {
        Caller::Session { session, connection } => {
            session.renew(&identity, *connection, &settings.clients, hub);
            hub.renewed = Renewed::Some;
            Ok((session.cursor(hub), expires_at))
        }
        Caller::Request { .. } => {
            let Some((core, connection)) = named.and_then(place_of) else {
                let message = "name the `connection` that its welcome named";
                return Err(Fault::new(ErrorCode::NotOnThisTransport, message));
            };
            let identity = Box::new(identity);
            hub.mailbox.tell(core, CoreMessage::Renew { connection, identity });
            Ok((hub.broker.cursor(hub.settled()), expires_at))
        }
    }
}

/// The source needs time to find the token's key.
fn unavailable_key() -> Fault {
    Fault::new(ErrorCode::Unavailable, "the token's key is being fetched, send it again later")
}

/// Changes a session's subscriptions; returns the events that are missing.
///
/// # Errors
/// [`TooMany`] topics.
pub fn apply(
    change: Change,
    session: &mut Session,
    topic: &str,
    connection: ConnectionId,
    settings: &Settings,
    hub: &mut CoreHub,
) -> Result<Option<Missed>, TooMany> {
    let topics_max = settings.clients.subscriptions_max;
    match change {
        Change::Subscribe(since) => session.subscribe(topic, since, connection, topics_max, hub),
        Change::SubscribeSince(_) if session.listens_to(topic, hub) => Ok(None),
        Change::SubscribeSince(cursor) => {
            session.subscribe(topic, Some(cursor), connection, topics_max, hub)
        }
        Change::Unsubscribe => {
            session.unsubscribe(topic, connection, hub);
            Ok(None)
        }
    }
}

/// The name of a connection that its client is told: core, slot and generation.
pub fn name_of(core: usize, connection: ConnectionId) -> String {
    format!("{core}-{}-{}", connection.slot(), connection.generation())
}

/// The connection with this name.
pub fn place_of(name: &str) -> Option<(usize, ConnectionId)> {
    let mut parts = name.split('-');
    let (core, slot, generation) = (parts.next()?, parts.next()?, parts.next()?);
    let connection = ConnectionId::new(slot.parse().ok()?, generation.parse().ok()?);
    parts.next().is_none().then_some((core.parse().ok()?, connection))
}
