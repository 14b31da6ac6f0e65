//! Reads a client's message: from fields to a command.
//!
//! It checks types, names and counts, but never what they refer to.

use crate::session::command_error::Fault;

use std::{borrow::Cow, fmt};

use ringway_hub::{NameFault, name};
use serde::{
    Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    auth::Secret,
    broker::{Echo, Ttl},
    config::reference::ConfigReference,
    session::{
        command::{Command, CommandLimits},
        command_error::{CommandError, ErrorCode},
    },
    subprotocol::native::fields::{Field, Fields, string},
};

/// Reads one message.
///
/// ```
/// use ringway::session::command::{Command, CommandLimits};
/// use ringway::subprotocol::native;
/// let limits = CommandLimits { recipients_max: 10, data_depth_max: 128 };
/// assert_eq!(native::read(r#"{"type":"ping"}"#, &limits), Ok(Command::Ping { id: None }));
/// ```
///
/// # Errors
/// The first fault of the message; the table is in [`native`](super).
pub fn read<'t>(text: &'t str, limits: &CommandLimits) -> Result<Command<'t>, CommandError<'t>> {
    let error = |Fault { code, message, reference }: Fault, id| CommandError {
        code,
        id,
        message,
        reference,
    };
    let fields = Fields::read(text).map_err(|fault| error(fault, None))?;
    command(&fields, limits).map_err(|fault| error(fault, id(&fields).ok()))
}

fn command<'t>(fields: &Fields<'t>, limits: &CommandLimits) -> Result<Command<'t>, Fault> {
    fields.check_known(&Field::OF_COMMANDS)?;
    fields.check_unique(&Field::OF_COMMANDS)?;
    Ok(match &*required_string(fields, Field::Type)? {
        "notify" => Command::Notify {
            id: id(fields)?,
            to: recipients(fields, limits.recipients_max)?,
            event: optional_name(fields, Field::Event)?,
            data: required(fields, Field::Data)?,
            ttl: ttl(fields)?,
        },
        "publish" => Command::Publish {
            id: id(fields)?,
            topic: required_name(fields, Field::Topic)?,
            event: optional_name(fields, Field::Event)?,
            data: required(fields, Field::Data)?,
            echo: echo(fields)?,
            ttl: ttl(fields)?,
        },
        "subscribe" => Command::Subscribe {
            id: id(fields)?,
            topic: required_name(fields, Field::Topic)?,
            since: optional_string(fields, Field::Since)?,
            last: last(fields)?,
            connection: optional_string(fields, Field::Connection)?,
        },
        "unsubscribe" => Command::Unsubscribe {
            id: id(fields)?,
            topic: required_name(fields, Field::Topic)?,
            connection: optional_string(fields, Field::Connection)?,
        },
        "refresh" => Command::Refresh {
            id: id(fields)?,
            token: optional_string(fields, Field::Token)?
                .map(|token| Secret::new(token.as_bytes())),
            connection: optional_string(fields, Field::Connection)?,
        },
        "auth" => Command::Auth {
            id: optional_id(fields)?,
            token: Secret::new(required_string(fields, Field::Token)?.as_bytes()),
        },
        "ping" => Command::Ping { id: optional_id(fields)? },
        _ => {
            return Err(Fault::new(
                ErrorCode::UnknownType,
                "\"type\" is one of notify, publish, subscribe, unsubscribe, refresh, auth, ping",
            ));
        }
    })
}

fn id<'t>(fields: &Fields<'t>) -> Result<Cow<'t, str>, Fault> {
    id_of(required(fields, Field::Id)?)
}

fn optional_id<'t>(fields: &Fields<'t>) -> Result<Option<Cow<'t, str>>, Fault> {
    optional(fields, Field::Id).map(id_of).transpose()
}

fn id_of(json: &str) -> Result<Cow<'_, str>, Fault> {
    let text = string_of(json, Field::Id)?;
    name::check_id(&text).map_err(|fault| bad_name("\"id\"", fault))?;
    Ok(text)
}

pub(crate) fn required<'t>(fields: &Fields<'t>, field: Field) -> Result<&'t str, Fault> {
    fields.text(field).ok_or_else(|| {
        Fault::new(ErrorCode::MissingField, format!("\"{}\" is missing", field.name()))
    })
}

/// Many languages write an absent value as `null`.
fn optional<'t>(fields: &Fields<'t>, field: Field) -> Option<&'t str> {
    fields.text(field).filter(|text| *text != "null")
}

fn wrong_type(field: Field, must: &str) -> Fault {
    Fault::new(ErrorCode::WrongType, format!("\"{}\" must be {must}", field.name()))
}

fn string_of(json: &str, field: Field) -> Result<Cow<'_, str>, Fault> {
    string(json).ok_or_else(|| wrong_type(field, "a string"))
}

fn required_string<'t>(fields: &Fields<'t>, field: Field) -> Result<Cow<'t, str>, Fault> {
    string_of(required(fields, field)?, field)
}

pub(crate) fn optional_string<'t>(
    fields: &Fields<'t>,
    field: Field,
) -> Result<Option<Cow<'t, str>>, Fault> {
    optional(fields, field).map(|json| string_of(json, field)).transpose()
}

fn check_name(text: &str, what: &str) -> Result<(), Fault> {
    name::check(text).map_err(|fault| bad_name(what, fault))
}

fn bad_name(what: &str, fault: NameFault) -> Fault {
    Fault::new(ErrorCode::BadName, format!("{what} {}", fault.reason()))
}

fn name_of(json: &str, field: Field) -> Result<Cow<'_, str>, Fault> {
    let text = string_of(json, field)?;
    check_name(&text, &format!("\"{}\"", field.name()))?;
    Ok(text)
}

pub(crate) fn required_name<'t>(fields: &Fields<'t>, field: Field) -> Result<Cow<'t, str>, Fault> {
    name_of(required(fields, field)?, field)
}

pub(crate) fn optional_name<'t>(
    fields: &Fields<'t>,
    field: Field,
) -> Result<Option<Cow<'t, str>>, Fault> {
    optional(fields, field).map(|json| name_of(json, field)).transpose()
}

pub(crate) fn ttl(fields: &Fields<'_>) -> Result<Option<Ttl>, Fault> {
    let Some(json) = optional(fields, Field::Ttl) else { return Ok(None) };
    // The text is valid JSON, so it can only be wrong by a sign, a fraction, an exponent, another
    // type or its size.
    let seconds = json
        .parse()
        .map_err(|_| wrong_type(Field::Ttl, "a whole number of seconds from 0 to 4294967295"))?;
    Ok(Some(Ttl::from_seconds(seconds)))
}

fn last(fields: &Fields<'_>) -> Result<Option<u32>, Fault> {
    let Some(json) = optional(fields, Field::Last) else { return Ok(None) };
    let last = json.parse().ok().filter(|last| *last > 0);
    last.map(Some).ok_or_else(|| wrong_type(Field::Last, "a whole number from 1 to 4294967295"))
}

fn echo(fields: &Fields<'_>) -> Result<Echo, Fault> {
    match optional(fields, Field::Echo) {
        None | Some("true") => Ok(Echo::Yes),
        Some("false") => Ok(Echo::No),
        Some(_) => Err(wrong_type(Field::Echo, "true or false")),
    }
}

pub(crate) fn recipients<'t>(
    fields: &Fields<'t>,
    recipients_max: usize,
) -> Result<Vec<Cow<'t, str>>, Fault> {
    let json = required(fields, Field::To)?;
    let mut fault = None;
    let list = List { recipients_max, fault: &mut fault };
    match serde_json::Deserializer::from_str(json).deserialize_seq(list) {
        Ok(names) if names.is_empty() => {
            Err(wrong_type(Field::To, "a list of at least one recipient"))
        }
        Ok(names) => Ok(names),
        Err(_) => Err(fault.unwrap_or_else(|| wrong_type(Field::To, "a list of strings"))),
    }
}

/// A list whose parsing stops at the first fault, before it becomes long.
struct List<'f> {
    recipients_max: usize,
    fault: &'f mut Option<Fault>,
}

impl<'t> Visitor<'t> for List<'_> {
    type Value = Vec<Cow<'t, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some(json) = list.next_element::<&RawValue>()? {
            match recipient(json.get(), names.len(), self.recipients_max) {
                Ok(name) if names.try_reserve(1).is_ok() => names.push(name),
                Ok(_) => {
                    let message = "there is no memory for the list of recipients";
                    *self.fault = Some(Fault::new(ErrorCode::OutOfMemory, message));
                    return Err(A::Error::custom("no memory for the list"));
                }
                Err(fault) => {
                    *self.fault = Some(fault);
                    return Err(A::Error::custom("a fault in the list"));
                }
            }
        }
        Ok(names)
    }
}

fn recipient(json: &str, position: usize, max: usize) -> Result<Cow<'_, str>, Fault> {
    if position >= max {
        let limit = ConfigReference::count("clients.recipients_max", max, "recipients");
        let message = "\"to\" has too many recipients";
        return Err(Fault::of_limit(ErrorCode::TooManyRecipients, message, limit));
    }
    let text = string(json).ok_or_else(|| wrong_type(Field::To, "a list of strings"))?;
    check_name(&text, "a recipient in \"to\"")?;
    Ok(text)
}
