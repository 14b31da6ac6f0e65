//! Carrying out what a client asks for, on whatever transport it came.
//!
//! It appends to the log and changes subscriptions; the answer is JSON text. It never writes to a
//! connection and never parses.

use crate::memory::{self, OutOfMemory, make_room};
use std::{borrow::Cow, sync::Arc, time::Duration};

use ringway_acceptor::Connection;
use ringway_hub::Cursor;

use crate::{
    broker::{
        Missed, Notice,
        mailbox::{Change, Order},
    },
    config::{reference::ConfigReference, settings::Settings},
    encoding::native as write,
    limits::{COMMAND_COST, RECIPIENT_COST},
    session::{
        Session, TooMany,
        command::{Command, CommandLimits},
        command_error::{CommandError, ErrorCode},
        core_hub::{Desk, Intake, News},
    },
    subprotocol::{depth, native as json, native::fields::Fault},
};

/// Who asks, and from where.
pub enum Speaker<'a> {
    /// A client on its connection.
    Session {
        /// Its place in the hub.
        session: &'a mut Session,
        /// Its connection.
        connection: Connection,
    },
    /// A client by a request of its own.
    Request {
        /// Who it says it is.
        client: &'a str,
    },
}

impl Speaker<'_> {
    fn client(&self) -> &str {
        match self {
            Self::Session { session, .. } => session.client(),
            Self::Request { client } => client,
        }
    }
}

/// How a command went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was carried out.
    Done,
    /// It was, but some of what was asked for is gone, which is to be said after the answer.
    DoneBehind(Missed),
    /// It was not; the answer says why.
    Refused,
    /// It was not, because the gateway is going away; another one may do it.
    GoingAway,
    /// It was not, because there is no memory for it now.
    NoMemory,
}

/// Carries out the command in `text` and appends the answer to `out`.
pub fn carry_out(
    text: &str,
    speaker: &mut Speaker<'_>,
    desk: &mut Desk,
    settings: &Settings,
    now: Duration,
    out: &mut Vec<u8>,
) -> Verdict {
    desk.spend(COMMAND_COST + text.len());
    let limits = CommandLimits { recipients_max: settings.clients.recipients_max };
    let result = json::read(text, &limits)
        .and_then(|command| check_depth(command, settings.clients.data_depth_max))
        .and_then(|command| perform(command, speaker, desk, settings, now, out));
    match result {
        Ok(None) => Verdict::Done,
        Ok(Some(missed)) => Verdict::DoneBehind(missed),
        Err(error) => {
            write::error(out, &error);
            match error.code {
                ErrorCode::GoingAway => Verdict::GoingAway,
                ErrorCode::OutOfMemory => Verdict::NoMemory,
                _ => Verdict::Refused,
            }
        }
    }
}

/// Receivers parse what is passed on to them, and not all parsers stand depth.
fn check_depth(command: Command<'_>, depth_max: usize) -> Result<Command<'_>, CommandError<'_>> {
    match command {
        Command::Notify { id, data, .. } | Command::Publish { id, data, .. }
            if !depth::is_within(data, depth_max) =>
        {
            Err(Fault::too_deep(depth_max).of(id))
        }
        command => Ok(command),
    }
}

fn perform<'t>(
    command: Command<'t>,
    speaker: &mut Speaker<'_>,
    desk: &mut Desk,
    settings: &Settings,
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<Option<Missed>, CommandError<'t>> {
    match command {
        Command::Ping { id } => {
            let cursor = match speaker {
                Speaker::Session { session, .. } => session.cursor(desk),
                Speaker::Request { .. } => desk.exchange.cursor(desk.settled()),
            };
            write::pong(out, &cursor.to_string(), id.as_deref());
        }
        Command::Notify { id, to, event, data, ttl } => {
            let client = speaker.client();
            if desk.intake == Intake::Closed {
                return answer_again(client, id, desk, settings, now, out);
            }
            desk.spend(to.len() * RECIPIENT_COST);
            let Desk { exchange, tail, news, .. } = desk;
            let notified = exchange.receipts.try_once(client, &id, now, || {
                let notice = Notice { from: Some(client), event: event.as_deref(), data, ttl };
                // Before anything is appended, which has to be acknowledged.
                let mut ack = Vec::new();
                make_room(&mut ack, write::ack_bytes_max(&id, &to))?;
                let notified =
                    exchange.notify(tail, notice, &to, &settings.clients.may_notify, now)?;
                *news = News::Some;
                let cursor = notified.cursor.to_string();
                let outcome = notified.outcome.iter().map(|(name, of)| (*name, of.as_str()));
                write::ack_with_outcome(&mut ack, &id, &cursor, outcome);
                Ok(Arc::new(ack))
            });
            let appended = notified.and_then(|(ack, _)| memory::append(out, &ack));
            appended.map_err(|fault| no_memory(fault, settings).of(id))?;
        }
        Command::Publish { id, topic, event, data, echo, ttl } => {
            let client = speaker.client();
            if !settings.clients.may_publish.allow(&topic) {
                return Err(not_allowed("publish", "clients.may_publish").of(id));
            }
            if desk.intake == Intake::Closed {
                return answer_again(client, id, desk, settings, now, out);
            }
            let Desk { exchange, tail, news, .. } = desk;
            let published = exchange.receipts.try_once(client, &id, now, || {
                let notice = Notice { from: Some(client), event: event.as_deref(), data, ttl };
                let cursor = exchange.publish(tail, notice, &topic, echo, now)?;
                *news = News::Some;
                let mut ack = Vec::new();
                write::ack(&mut ack, &id, &cursor.to_string());
                Ok(Arc::new(ack))
            });
            let (ack, _) = published.map_err(|fault| no_memory(fault, settings).of(id))?;
            out.extend_from_slice(&ack);
        }
        Command::Subscribe { id, topic, since, last, connection } => {
            let since = match begin_of(&topic, since.as_deref(), settings) {
                Ok(since) => since,
                Err(fault) => return Err(fault.of(id)),
            };
            let since = since.or_else(|| {
                let after = desk.before_last(&topic, last?, settings.clients.last_events_max, now);
                Some(desk.exchange.cursor(after))
            });
            let listening = Listening { id, topic, connection, change: Change::Subscribe(since) };
            return listen(listening, speaker, desk, settings, out);
        }
        Command::Unsubscribe { id, topic, connection } => {
            let listening = Listening { id, topic, connection, change: Change::Unsubscribe };
            return listen(listening, speaker, desk, settings, out);
        }
    }
    Ok(None)
}

/// Nothing was appended, and the command is not remembered; or it was acknowledged, and there is no
/// memory for saying so: then it is remembered, and acknowledged again when it is sent again.
fn no_memory(OutOfMemory: OutOfMemory, settings: &Settings) -> Fault {
    let message = "the memory for buffers is used up, send it again later";
    let limit = ConfigReference::memory(settings.memory_bytes);
    Fault::of_limit(ErrorCode::OutOfMemory, message, limit)
}

/// The operator does not let clients do this with the topic.
fn not_allowed(verb: &str, key: &'static str) -> Fault {
    let reference = ConfigReference::list(key);
    let message = format!("this client may not {verb} to this topic {reference}").into();
    Fault { code: ErrorCode::NotAllowed, message, reference: Some(reference) }
}

/// While the gateway goes away: a command that was carried out is acknowledged again, and no other.
fn answer_again<'t>(
    client: &str,
    id: Cow<'t, str>,
    desk: &Desk,
    settings: &Settings,
    now: Duration,
    out: &mut Vec<u8>,
) -> Result<Option<Missed>, CommandError<'t>> {
    let Some(ack) = desk.exchange.receipts.earlier(client, &id, now) else {
        let message = "the gateway is going away; send the command again after reconnecting";
        return Err(error(ErrorCode::GoingAway, id, message));
    };
    memory::append(out, &ack).map_err(|fault| no_memory(fault, settings).of(id))?;
    Ok(None)
}

/// The cursor from which a subscription begins; `None`: it begins now.
fn begin_of(
    topic: &str,
    since: Option<&str>,
    settings: &Settings,
) -> Result<Option<Cursor>, Fault> {
    if !settings.clients.may_subscribe.allow(topic) {
        return Err(not_allowed("subscribe", "clients.may_subscribe"));
    }
    since
        .map(str::parse)
        .transpose()
        .map_err(|_| Fault::new(ErrorCode::BadCursor, "`since` is not a cursor of this gateway"))
}

/// Refuses what is not even text.
pub fn refuse_bytes(out: &mut Vec<u8>) -> Verdict {
    let message = "a command is JSON in UTF-8".into();
    let (code, id, reference) = (ErrorCode::NotJson, None, None);
    write::error(out, &CommandError { code, id, message, reference });
    Verdict::Refused
}

/// A command that changes what a client listens to.
struct Listening<'t> {
    id: Cow<'t, str>,
    topic: Cow<'t, str>,
    /// The name of the connection, where the command does not come over it.
    connection: Option<Cow<'t, str>>,
    change: Change,
}

/// Changes a subscription, of this connection or, by a request, of another one of the client.
fn listen<'t>(
    listening: Listening<'t>,
    speaker: &mut Speaker<'_>,
    desk: &mut Desk,
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<Option<Missed>, CommandError<'t>> {
    let Listening { id, topic, connection: named, change } = listening;
    let (cursor, missed) = match speaker {
        Speaker::Session { session, connection } => {
            match apply(change, session, &topic, connection.slot(), settings, desk) {
                // As in a welcome: until it has heard of the gap, it is to be told again.
                Ok(missed) => {
                    (missed.map_or_else(|| session.cursor(desk), |(from, _)| from), missed)
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
        Speaker::Request { client } => {
            let Some((core, connection)) = named.as_deref().and_then(place_of) else {
                let message = "name the `connection` that its welcome named, or put the topics \
                               into the query of the transport";
                return Err(error(ErrorCode::NotOnThisTransport, id, message));
            };
            // The core of the connection obeys later, when it may have read on.
            let cursor = desk.exchange.cursor(desk.settled());
            let change = match change {
                Change::Subscribe(None) => Change::SubscribeSince(cursor),
                other => other,
            };
            let client = (*client).into();
            let topic = topic.into_owned().into();
            let order = Order::Listen { connection, client, topic, change };
            desk.orders.tell(core, order);
            (cursor, None)
        }
    };
    write::ack(out, &id, &cursor.to_string());
    Ok(missed)
}

/// Changes what a session listens to; says what of it is missing.
///
/// # Errors
/// [`TooMany`] topics.
pub fn apply(
    change: Change,
    session: &mut Session,
    topic: &str,
    slot: u32,
    settings: &Settings,
    desk: &mut Desk,
) -> Result<Option<Missed>, TooMany> {
    match change {
        Change::Subscribe(since) => {
            session.subscribe(topic, since, slot, settings.clients.subscriptions_max, desk)
        }
        Change::SubscribeSince(_) if session.listens_to(topic, desk) => Ok(None),
        Change::SubscribeSince(cursor) => {
            session.subscribe(topic, Some(cursor), slot, settings.clients.subscriptions_max, desk)
        }
        Change::Unsubscribe => {
            session.unsubscribe(topic, slot, desk);
            Ok(None)
        }
    }
}

/// The name of a connection as its client is told it: core, slot and generation.
pub fn name_of(core: usize, connection: Connection) -> String {
    format!("{core}-{}-{}", connection.slot(), connection.generation())
}

/// The connection of a name.
pub fn place_of(name: &str) -> Option<(usize, Connection)> {
    let mut parts = name.split('-');
    let (core, slot, generation) = (parts.next()?, parts.next()?, parts.next()?);
    let connection = Connection::new(slot.parse().ok()?, generation.parse().ok()?);
    parts.next().is_none().then_some((core.parse().ok()?, connection))
}

fn error<'t>(
    code: ErrorCode,
    id: Cow<'t, str>,
    message: impl Into<Cow<'static, str>>,
) -> CommandError<'t> {
    Fault::new(code, message).of(id)
}
