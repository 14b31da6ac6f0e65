//! One JSON object, split into the fields that the subprotocol knows.
//!
//! Each field keeps its original text; nothing here knows which fields a command needs. The parser
//! skips unknown values without recursion, so that their depth costs no stack.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    config::spelling,
    session::command_error::{ErrorCode, Fault},
};

/// The fields that some command or submission uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Type,
    Id,
    To,
    Topic,
    Event,
    Data,
    Ttl,
    Echo,
    Since,
    Last,
    Connection,
    From,
    IdempotencyKey,
}

impl Field {
    /// All fields, in the order of their declaration, which is that of `Fields`.
    const ALL: [Self; 13] = [
        Self::Type,
        Self::Id,
        Self::To,
        Self::Topic,
        Self::Event,
        Self::Data,
        Self::Ttl,
        Self::Echo,
        Self::Since,
        Self::Last,
        Self::Connection,
        Self::From,
        Self::IdempotencyKey,
    ];

    /// The fields of commands.
    pub const OF_COMMANDS: [Self; 11] = [
        Self::Type,
        Self::Id,
        Self::To,
        Self::Topic,
        Self::Event,
        Self::Data,
        Self::Ttl,
        Self::Echo,
        Self::Since,
        Self::Last,
        Self::Connection,
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Id => "id",
            Self::To => "to",
            Self::Topic => "topic",
            Self::Event => "event",
            Self::Data => "data",
            Self::Ttl => "ttl",
            Self::Echo => "echo",
            Self::Since => "since",
            Self::Last => "last",
            Self::Connection => "connection",
            Self::From => "from",
            Self::IdempotencyKey => "idempotency_key",
        }
    }
}

/// The text of each field that was present; all of it is JSON.
#[derive(Debug, Default)]
pub struct Fields<'t> {
    given: [Given<'t>; Field::ALL.len()],
    /// The first unknown name; empty if it is not valid text.
    unknown: Option<Cow<'t, str>>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Given<'t> {
    #[default]
    Never,
    Once(&'t str),
    /// Readers disagree on which duplicate counts (RFC 8259 §4), so none does.
    Repeatedly,
}

impl<'t> Fields<'t> {
    /// Splits a message, and checks that all of it is JSON.
    pub fn read(text: &'t str) -> Result<Self, Fault> {
        // The parser judges a value that is not an object by its first byte, so a failed text is
        // parsed again.
        serde_json::from_str(text).map_err(|_| match serde_json::from_str::<IgnoredAny>(text) {
            Ok(IgnoredAny) => Fault::new(ErrorCode::WrongType, "a message is one JSON object"),
            Err(_) if text.starts_with('\u{feff}') => Fault::new(
                ErrorCode::NotJson,
                "a message begins with its object, not with a byte order mark",
            ),
            Err(error) => Fault::new(ErrorCode::NotJson, format!("not JSON: {error}")),
        })
    }

    /// The field's JSON, if the field was present.
    pub fn text(&self, field: Field) -> Option<&'t str> {
        match self.given[field as usize] {
            Given::Once(text) => Some(text),
            Given::Never | Given::Repeatedly => None,
        }
    }

    /// Checks that every field is one of these. The fault names the known field with the most
    /// similar name, and never repeats the client's input.
    pub fn check_known(&self, fields: &[Field]) -> Result<(), Fault> {
        let Some(unknown) = &self.unknown else { return self.check_foreign(fields) };
        let names = fields.iter().map(|field| field.name());
        let message = match spelling::nearest(unknown, names.clone()) {
            Some(near) => format!("unknown field; did you mean \"{near}\"?"),
            None => {
                format!("unknown field; the known fields are {}", Vec::from_iter(names).join(", "))
            }
        };
        Err(Fault::new(ErrorCode::UnknownField, message))
    }

    /// Checks that no field of another command or submission was given.
    fn check_foreign(&self, fields: &[Field]) -> Result<(), Fault> {
        let is_foreign = |field: &Field| {
            !matches!(self.given[*field as usize], Given::Never) && !fields.contains(field)
        };
        match Field::ALL.into_iter().find(is_foreign) {
            None => Ok(()),
            Some(field) => Err(Fault::new(
                ErrorCode::UnknownField,
                format!("\"{}\" is not a field of this command", field.name()),
            )),
        }
    }

    /// Checks that none of these fields was given twice.
    pub fn check_unique(&self, fields: &[Field]) -> Result<(), Fault> {
        let repeated = |field: &&Field| matches!(self.given[**field as usize], Given::Repeatedly);
        match fields.iter().find(repeated) {
            None => Ok(()),
            Some(field) => Err(Fault::new(
                ErrorCode::WrongType,
                format!("\"{}\" is given more than once", field.name()),
            )),
        }
    }
}

impl<'t> Deserialize<'t> for Fields<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'t> Visitor<'t> for Object {
            type Value = Fields<'t>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Fields<'t>, A::Error> {
                let mut fields = Fields::default();
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let name = string(key.get());
                    let name = name.unwrap_or_default();
                    let Some(field) = Field::named(&name) else {
                        fields.unknown.get_or_insert(name);
                        continue;
                    };
                    let given = &mut fields.given[field as usize];
                    *given = match given {
                        Given::Never => Given::Once(value.get()),
                        Given::Once(_) | Given::Repeatedly => Given::Repeatedly,
                    };
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The string that a JSON text contains; `None` if it is not a string, or has an escape that is
/// half a surrogate pair and so stands for no text.
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        serde_json::from_str(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}
