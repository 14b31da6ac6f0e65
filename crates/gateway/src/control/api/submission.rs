//! An event that the application submits: one JSON object, by the rules of the subprotocol.
//!
//! An unknown field is an error. Nothing here appends events.

use crate::session::command_error::Fault;

use std::{borrow::Cow, collections::HashSet};

use crate::{
    broker::{Notice, Ttl},
    control::api::{
        idempotency::Key,
        problem::{Kind, Problem},
    },
    subprotocol::native::{
        fields::{Field, Fields},
        read,
    },
};

/// The kind of submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `POST /v1/notify`: to clients.
    Notify,
    /// `POST /v1/publish`: to the subscribers of a topic.
    Publish,
}

/// A submitted event. Equal submissions are the same request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Submission<'t> {
    /// The event's destination.
    pub to: To<'t>,
    /// The event's name.
    pub event: Option<Cow<'t, str>>,
    /// One JSON value, byte for byte.
    pub data: &'t str,
    /// The client that is named as the sender.
    pub from: Option<Cow<'t, str>>,
    /// How long it is kept for disconnected clients.
    pub ttl: Option<Ttl>,
}

/// The destination of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum To<'t> {
    /// These clients, each named once.
    Recipients(Vec<Cow<'t, str>>),
    /// The subscribers of this topic.
    Topic(Cow<'t, str>),
}

/// The fields of each verb; none may be repeated.
const OF_NOTIFY: [Field; 6] =
    [Field::To, Field::Event, Field::Data, Field::From, Field::Ttl, Field::IdempotencyKey];
const OF_PUBLISH: [Field; 6] =
    [Field::Topic, Field::Event, Field::Data, Field::From, Field::Ttl, Field::IdempotencyKey];

impl<'t> Submission<'t> {
    /// Reads one object, and its idempotency key.
    ///
    /// # Errors
    /// The first error in the object.
    pub fn read(
        verb: Verb,
        bytes: &'t [u8],
        recipients_max: usize,
    ) -> Result<(Self, Option<Key>), Problem> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Problem::new(Kind::NotJson, "JSON is UTF-8 (RFC 8259 §8.1)"))?;
        let fields = Fields::read(text)?;
        let known = match verb {
            Verb::Notify => &OF_NOTIFY,
            Verb::Publish => &OF_PUBLISH,
        };
        fields.check_known(known)?;
        fields.check_unique(known)?;
        let to = match verb {
            Verb::Notify => To::Recipients(each_once(read::recipients(&fields, recipients_max)?)?),
            Verb::Publish => To::Topic(read::required_name(&fields, Field::Topic)?),
        };
        let submission = Self {
            to,
            event: read::optional_name(&fields, Field::Event)?,
            data: read::required(&fields, Field::Data)?,
            from: read::optional_name(&fields, Field::From)?,
            ttl: read::ttl(&fields)?,
        };
        let key = read::optional_string(&fields, Field::IdempotencyKey)?;
        Ok((submission, key.map(|key| Key::new(&key)).transpose()?))
    }

    /// The event without its destination.
    pub fn notice(&self) -> Notice<'_> {
        Notice {
            from: self.from.as_deref(),
            event: self.event.as_deref(),
            data: self.data,
            ttl: self.ttl,
        }
    }
}

impl From<Fault> for Problem {
    fn from(Fault { code, message, reference, .. }: Fault) -> Self {
        Self { kind: code.into(), detail: message, reference }
    }
}

/// Removes repeated names, because the answer lists each recipient once, in the order of first
/// mention.
///
/// # Errors
/// There is no memory to look up the names.
fn each_once<'t>(mut names: Vec<Cow<'t, str>>) -> Result<Vec<Cow<'t, str>>, Problem> {
    let no_memory = || {
        Problem::new(Kind::OutOfMemory, "there is no memory for the list of recipients; try again")
    };
    let (mut seen, mut is_first) = (HashSet::new(), Vec::new());
    seen.try_reserve(names.len()).map_err(|_| no_memory())?;
    is_first.try_reserve_exact(names.len()).map_err(|_| no_memory())?;
    is_first.extend(names.iter().map(|name| seen.insert(&**name)));
    let mut is_first = is_first.into_iter();
    names.retain(|_| is_first.next() == Some(true));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn notify(text: &str) -> Result<(Submission<'_>, Option<Key>), Problem> {
        Submission::read(Verb::Notify, text.as_bytes(), 3)
    }

    fn kind(verb: Verb, text: &[u8]) -> Kind {
        Submission::read(verb, text, 3).unwrap_err().kind
    }

    #[test]
    fn data_is_passed_on_byte_for_byte() {
        let text = r#" {"to":["b","a","b"], "data": {"n":1.50e2,"a" :[ ]} ,
            "event":"chat","from":"app","ttl":60,"idempotency_key":"k1"} "#;
        let (submission, key) = notify(text).unwrap();
        assert_eq!(submission.data, r#"{"n":1.50e2,"a" :[ ]}"#);
        assert_eq!(submission.to, To::Recipients(vec!["b".into(), "a".into()]));
        assert_eq!(submission.event.as_deref(), Some("chat"));
        assert_eq!(submission.from.as_deref(), Some("app"));
        assert_eq!(submission.ttl, Some(Ttl::For(Duration::from_secs(60))));
        assert_eq!(key, Some(Key::new("k1").unwrap()));
    }

    #[test]
    fn optional_fields_may_be_null_and_so_may_data() {
        let text = r#"{"topic":"news","data":null,"event":null,"from":null,"ttl":null,
            "idempotency_key":null}"#;
        let (submission, key) = Submission::read(Verb::Publish, text.as_bytes(), 3).unwrap();
        assert_eq!((submission.data, submission.event, submission.from), ("null", None, None));
        assert_eq!((submission.ttl, key), (None, None));
    }

    #[test]
    fn every_fault_has_a_problem_type() {
        for (text, expected) in [
            ("", Kind::NotJson),
            (r#"{"to":["a"],"data":1"#, Kind::NotJson),
            (r#"{"to":["a"],"data":01}"#, Kind::NotJson),
            ("\u{feff}{}", Kind::NotJson),
            ("[]", Kind::WrongType),
            ("null", Kind::WrongType),
            ("{}", Kind::MissingField),
            (r#"{"to":["a"]}"#, Kind::MissingField),
            (r#"{"data":1}"#, Kind::MissingField),
            (r#"{"to":[],"data":1}"#, Kind::WrongType),
            (r#"{"to":"a","data":1}"#, Kind::WrongType),
            (r#"{"to":[1],"data":1}"#, Kind::WrongType),
            (r#"{"to":["a",""],"data":1}"#, Kind::BadName),
            (r#"{"to":["a\n"],"data":1}"#, Kind::BadName),
            (r#"{"to":["@a"],"data":1}"#, Kind::BadName),
            (r#"{"to":["a"],"data":1,"event":"$a"}"#, Kind::BadName),
            (r#"{"to":["a"],"data":1,"from":"a.*"}"#, Kind::BadName),
            (r#"{"too":["a"],"data":1}"#, Kind::UnknownField),
            (r#"{"to":["a"],"data":1,"topic":"a"}"#, Kind::UnknownField),
            (r#"{"to":["a"],"data":1,"echo":false}"#, Kind::UnknownField),
            (r#"{"to":["a"],"data":1,"\ud800":1}"#, Kind::UnknownField),
            (r#"{"to":["a","a","a","a"],"data":1}"#, Kind::TooManyRecipients),
            (r#"{"to":["a"],"data":1,"data":1}"#, Kind::WrongType),
            (r#"{"to":["a"],"data":1,"event":""}"#, Kind::BadName),
            (r#"{"to":["a"],"data":1,"event":1}"#, Kind::WrongType),
            (r#"{"to":["a"],"data":1,"from":""}"#, Kind::BadName),
            (r#"{"to":["a"],"data":1,"from":"a","from":"a"}"#, Kind::WrongType),
            (r#"{"to":["a"],"data":1,"ttl":-1}"#, Kind::WrongType),
            (r#"{"to":["a"],"data":1,"ttl":"1"}"#, Kind::WrongType),
            (r#"{"to":["a"],"data":1,"ttl":4294967296}"#, Kind::WrongType),
            (r#"{"to":["a"],"data":1,"idempotency_key":""}"#, Kind::BadIdempotencyKey),
            (r#"{"to":["a"],"data":1,"idempotency_key":1}"#, Kind::WrongType),
        ] {
            assert_eq!(kind(Verb::Notify, text.as_bytes()), expected, "{text}");
        }
        for (text, expected) in [
            (r#"{"data":1}"#, Kind::MissingField),
            (r#"{"topic":null,"data":1}"#, Kind::WrongType),
            (r#"{"topic":"","data":1}"#, Kind::BadName),
            (r#"{"topic":"news.*","data":1}"#, Kind::BadName),
            (r#"{"topic":"$SYS","data":1}"#, Kind::BadName),
            (r#"{"topik":"a","data":1}"#, Kind::UnknownField),
            (r#"{"topic":"a","topic":"a","data":1}"#, Kind::WrongType),
        ] {
            assert_eq!(kind(Verb::Publish, text.as_bytes()), expected, "{text}");
        }
        assert_eq!(kind(Verb::Notify, b"{\"to\":[\"\xff\"],\"data\":1}"), Kind::NotJson);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, value in "[\\PC]{0,12}", number: f64) {
            for verb in [Verb::Notify, Verb::Publish] {
                let _ = Submission::read(verb, &bytes, 2);
                for value in [&value, &format!("{value:?}"), &format!("[{value:?}]"), &number.to_string()] {
                    for field in OF_NOTIFY.into_iter().chain(OF_PUBLISH) {
                        let text = format!(
                            r#"{{"to":["a"],"topic":"a","data":1,"{}":{value}}}"#,
                            field.name(),
                        );
                        let _ = Submission::read(verb, text.as_bytes(), 2);
                    }
                }
            }
        }
    }
}
