//! An application's answer: from the bytes of a response to a value. Only a whole and valid answer
//! means anything; everything else is a failure.

use std::time::Duration;

use ringway_hub::name;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    auth::{
        Lists, anonymous,
        token::claims::{NumericDate, compiled},
    },
    config::HookEvent,
    limits::{
        HOOK_CACHE_TIME_MAX, HOOK_EVENTS_MAX, HOOK_REASON_BYTES_MAX, TOKEN_META_BYTES_MAX,
        TOKEN_TOPICS_MAX,
    },
};

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The client, or its command, is allowed.
    Allowed(Box<Allowed>),
    /// It is refused.
    Refused(Box<Denied>),
    /// The answer to a request.
    Answered(Box<Response>),
    /// There is no answer.
    Failed(Failure),
}

/// What an application says about a client that it allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Who it is.
    pub client: Option<Box<str>>,
    /// All that it may do.
    pub grants: Option<Lists>,
    /// What it is subscribed to at once.
    pub topics: Vec<Box<str>>,
    /// JSON for the application.
    pub meta: Option<Box<str>>,
    /// When its identity ends, as time since 1970.
    pub expires_at: Option<Duration>,
}

/// Why an application refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The status of a refused request: from 400 to 599.
    pub status: u16,
    /// For the client; may be empty.
    pub reason: Box<str>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The data for the client, which is JSON, or what went wrong.
    pub result: Result<Box<str>, RequestFault>,
    /// Events that are appended before the client gets the answer.
    pub events: Vec<Event>,
}

/// What went wrong, as the application says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestFault {
    /// For programs.
    pub code: Box<str>,
    /// For people.
    #[serde(default)]
    pub message: Box<str>,
}

/// An event of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where it goes.
    pub to: To,
    /// Whom it is from, as the application says.
    pub from: Option<Box<str>>,
    /// Its name.
    pub event: Option<Box<str>>,
    /// One JSON value.
    pub data: Box<str>,
    /// How many seconds it is kept for clients that are away.
    pub ttl: Option<u32>,
}

/// Where an event goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// To the subscribers of a topic.
    Topic(Box<str>),
    /// To these clients, without duplicates.
    Clients(Vec<Box<str>>),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// None came in time.
    Timeout,
    /// No connection could be opened.
    Connect,
    /// The connection broke.
    Broken,
    /// The status is none of 200, 204, 401 and 403.
    Status,
    /// It has too many bytes.
    TooLarge,
    /// It is not an answer.
    Invalid,
    /// Too many questions wait.
    Full,
}

impl Failure {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Timeout,
        Self::Connect,
        Self::Broken,
        Self::Status,
        Self::TooLarge,
        Self::Invalid,
        Self::Full,
    ];

    /// The word in metrics and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Broken => "broken",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Invalid => "invalid",
            Self::Full => "full",
        }
    }
}

/// All members of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Members {
    refuse: Option<Refuse>,
    client: Option<Box<str>>,
    grants: Option<GrantLists>,
    topics: Vec<Box<str>>,
    meta: Option<Box<RawValue>>,
    expires_at: Option<NumericDate>,
    cache: Option<f64>,
    data: Option<Box<RawValue>>,
    error: Option<RequestFault>,
    publish: Vec<Published>,
    notify: Vec<Notified>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Refuse {
    status: Option<u16>,
    reason: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GrantLists {
    subscribe: Vec<String>,
    publish: Vec<String>,
    notify: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    topic: Box<str>,
    data: Box<RawValue>,
    from: Option<Box<str>>,
    event: Option<Box<str>>,
    ttl: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notified {
    to: Vec<Box<str>>,
    data: Box<RawValue>,
    from: Option<Box<str>>,
    event: Option<Box<str>>,
    ttl: Option<u32>,
}

/// The status of a response that refuses, if the application gives no other one.
const FORBIDDEN: u16 = 403;

impl Answer {
    /// Reads a response to a question about this event, and how long it counts, if it says so.
    pub fn read(event: HookEvent, status: u16, body: &[u8]) -> (Self, Option<Duration>) {
        let read = match status {
            // Serde would take the members from an array, too.
            200 if body.trim_ascii_start().first() != Some(&b'{') => Err(Failure::Invalid),
            200 => serde_json::from_slice(body).map_err(|_| Failure::Invalid),
            204 => Ok(Members::default()),
            401 | FORBIDDEN => Ok(refused_by_status(status, body)),
            _ => Err(Failure::Status),
        };
        match read.and_then(|members| members.check(event)) {
            Ok(answer) => answer,
            Err(failure) => (Self::Failed(failure), None),
        }
    }

    /// Its word in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Allowed(_) => "allowed",
            Self::Refused(_) => "refused",
            Self::Answered(_) => "answered",
            Self::Failed(failure) => failure.as_str(),
        }
    }
}

/// The body of a refusal by its status may have a reason, and needs none.
fn refused_by_status(status: u16, body: &[u8]) -> Members {
    let refuse = serde_json::from_slice(body).ok().and_then(|members: Members| members.refuse);
    let reason = refuse.map(|refuse| refuse.reason).unwrap_or_default();
    Members { refuse: Some(Refuse { status: Some(status), reason }), ..Members::default() }
}

impl Members {
    fn check(self, event: HookEvent) -> Result<(Answer, Option<Duration>), Failure> {
        let cache = self.cache.map(|seconds| {
            Duration::try_from_secs_f64(seconds.max(0.0))
                .map_or(HOOK_CACHE_TIME_MAX, |time| time.min(HOOK_CACHE_TIME_MAX))
        });
        if let Some(Refuse { status, reason }) = self.refuse {
            let status = status.unwrap_or(FORBIDDEN);
            let reason = cut(&reason, HOOK_REASON_BYTES_MAX);
            let is_refusal = (400..600).contains(&status) && !reason.contains(char::is_control);
            let denied = Denied { status, reason: reason.into() };
            return match is_refusal {
                true => Ok((Answer::Refused(Box::new(denied)), cache)),
                false => Err(Failure::Invalid),
            };
        }
        let names_client = self.client.is_some() || !self.topics.is_empty();
        let renews = self.grants.is_some() || self.meta.is_some() || self.expires_at.is_some();
        let has_data = self.data.is_some() || self.error.is_some();
        let has_events = !self.publish.is_empty() || !self.notify.is_empty();
        let is_of_event = match event {
            HookEvent::Connect => !has_data && !has_events,
            HookEvent::Refresh => !names_client && !has_data && !has_events,
            HookEvent::Request => {
                let has_both = self.data.is_some() && self.error.is_some();
                !names_client && !renews && !has_both
            }
            HookEvent::Subscribe
            | HookEvent::Publish
            | HookEvent::Notify
            | HookEvent::Disconnect
            | HookEvent::Unsubscribe
            | HookEvent::Event => !names_client && !renews && !has_data && !has_events,
        };
        match (is_of_event, event) {
            (false, _) => Err(Failure::Invalid),
            (true, HookEvent::Request) => Ok((Answer::Answered(Box::new(self.response()?)), None)),
            (true, _) => Ok((Answer::Allowed(Box::new(self.allowed()?)), cache)),
        }
    }

    fn allowed(self) -> Result<Allowed, Failure> {
        let Self { client, grants, topics, meta, expires_at, .. } = self;
        let is_free = |client: &str| name::check(client).is_ok() && !anonymous::contains(client);
        if client.as_deref().is_some_and(|client| !is_free(client))
            || topics.len() > TOKEN_TOPICS_MAX
            || !are_names(topics.iter())
        {
            return Err(Failure::Invalid);
        }
        let meta = meta.map(|meta| Box::<str>::from(meta.get()));
        if meta.as_ref().is_some_and(|meta| meta.len() > TOKEN_META_BYTES_MAX) {
            return Err(Failure::Invalid);
        }
        let grants = grants.map(GrantLists::compile).transpose()?;
        let expires_at = expires_at.map(NumericDate::since_1970);
        Ok(Allowed { client, grants, topics, meta, expires_at })
    }

    fn response(self) -> Result<Response, Failure> {
        let Self { data, error, publish, notify, .. } = self;
        if publish.len() + notify.len() > HOOK_EVENTS_MAX {
            return Err(Failure::Invalid);
        }
        let published = publish.into_iter().map(|one| {
            let Published { topic, data, from, event, ttl } = one;
            Event { to: To::Topic(topic), from, event, data: data.get().into(), ttl }
        });
        let notified = notify.into_iter().map(|one| {
            let Notified { to, data, from, event, ttl } = one;
            Event { to: To::Clients(to), from, event, data: data.get().into(), ttl }
        });
        let events: Vec<Event> = published.chain(notified).collect();
        if !events.iter().all(Event::is_sound) {
            return Err(Failure::Invalid);
        }
        let result = match error {
            Some(fault) => Err(fault),
            None => Ok(data.map_or_else(|| "null".into(), |data| data.get().into())),
        };
        Ok(Response { result, events })
    }
}

impl GrantLists {
    fn compile(self) -> Result<Lists, Failure> {
        let compile = |list: &[String]| compiled(list).map_err(|_| Failure::Invalid);
        Ok(Lists {
            subscribe: compile(&self.subscribe)?,
            publish: compile(&self.publish)?,
            notify: compile(&self.notify)?,
        })
    }
}

impl Event {
    fn is_sound(&self) -> bool {
        let is_addressed = match &self.to {
            To::Topic(topic) => name::check(topic).is_ok(),
            To::Clients(clients) => !clients.is_empty() && are_names(clients.iter()),
        };
        is_addressed && are_names(self.from.iter().chain(&self.event))
    }
}

fn are_names<'n>(mut names: impl Iterator<Item = &'n Box<str>>) -> bool {
    names.all(|one| name::check(one).is_ok())
}

/// The beginning of a text, without half a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(event: HookEvent, body: &str) -> Answer {
        Answer::read(event, 200, body.as_bytes()).0
    }

    fn refused(status: u16, reason: &str) -> Answer {
        Answer::Refused(Box::new(Denied { status, reason: reason.into() }))
    }

    #[test]
    fn an_empty_answer_allows_and_a_refusal_says_why() {
        let allowed = Answer::Allowed(Box::default());
        for event in [HookEvent::Connect, HookEvent::Subscribe, HookEvent::Publish] {
            assert_eq!(read(event, " {} "), allowed);
            assert_eq!(Answer::read(event, 204, b"").0, allowed);
            assert_eq!(read(event, r#"{"refuse":{}}"#), refused(403, ""));
            let answer = read(event, r#"{"refuse":{"status":429,"reason":"later"}}"#);
            assert_eq!(answer, refused(429, "later"));
            assert_eq!(Answer::read(event, 401, b"<html>").0, refused(401, ""));
            let body = br#"{"refuse":{"reason":"banned"}}"#;
            assert_eq!(Answer::read(event, 403, body).0, refused(403, "banned"));
        }
        let long = format!(r#"{{"refuse":{{"reason":"{}"}}}}"#, "ü".repeat(HOOK_REASON_BYTES_MAX));
        let Answer::Refused(denied) = read(HookEvent::Connect, &long) else { panic!() };
        assert_eq!(denied.reason.len(), HOOK_REASON_BYTES_MAX);
    }

    #[test]
    fn connect_says_who_a_client_is() {
        let answer = read(
            HookEvent::Connect,
            r#"{"client":"ann","grants":{"publish":["chat.*"]},"topics":["news"],
                "meta":{"a":1},"expires_at":17}"#,
        );
        let Answer::Allowed(allowed) = answer else { panic!("{answer:?}") };
        let Allowed { client, grants, topics, meta, expires_at } = *allowed;
        assert_eq!((client.as_deref(), meta.as_deref()), (Some("ann"), Some(r#"{"a":1}"#)));
        assert_eq!((topics.len(), expires_at), (1, Some(Duration::from_secs(17))));
        let grants = grants.unwrap();
        assert!(grants.publish.allow("chat.a") && !grants.subscribe.allow("chat.a"));
    }

    #[test]
    fn the_time_of_an_answer_is_bounded() {
        let time = |seconds: &str| {
            let body = format!(r#"{{"cache":{seconds}}}"#);
            Answer::read(HookEvent::Publish, 200, body.as_bytes()).1
        };
        assert_eq!(time("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(time("-1"), Some(Duration::ZERO));
        assert_eq!(time("1e300"), Some(HOOK_CACHE_TIME_MAX));
        assert_eq!(Answer::read(HookEvent::Request, 200, br#"{"cache":9}"#).1, None);
    }

    #[test]
    fn a_request_is_answered_with_data_or_an_error_and_events() {
        let answer = read(
            HookEvent::Request,
            r#"{"data":{"n":1.50},"publish":[{"topic":"t","data":[1],"event":"e","ttl":5}],
                "notify":[{"to":["ann","bob"],"data":null}]}"#,
        );
        let Answer::Answered(response) = answer else { panic!("{answer:?}") };
        assert_eq!(response.result.as_deref(), Ok(r#"{"n":1.50}"#));
        let [published, notified] = &response.events[..] else { panic!("{response:?}") };
        assert_eq!((&*published.data, published.ttl), ("[1]", Some(5)));
        assert_eq!(notified.to, To::Clients(vec!["ann".into(), "bob".into()]));
        let answer = read(HookEvent::Request, r#"{"error":{"code":"sold_out"}}"#);
        let Answer::Answered(response) = answer else { panic!("{answer:?}") };
        assert_eq!(&*response.result.unwrap_err().code, "sold_out");
    }

    #[test]
    fn anything_else_is_a_failure() {
        for (event, body) in [
            (HookEvent::Connect, ""),
            (HookEvent::Connect, "[]"),
            (HookEvent::Connect, "{} {}"),
            (HookEvent::Connect, r#"{"grant":{}}"#),
            (HookEvent::Connect, r#"{"client":""}"#),
            (HookEvent::Connect, r#"{"client":"anon-1"}"#),
            (HookEvent::Connect, r#"{"client":"a","client":"b"}"#),
            (HookEvent::Connect, r#"{"topics":["a.*"]}"#),
            (HookEvent::Connect, r#"{"grants":{"publish":["a*b"]}}"#),
            (HookEvent::Connect, r#"{"data":1}"#),
            (HookEvent::Connect, r#"{"refuse":{"status":200}}"#),
            (HookEvent::Connect, r#"{"refuse":{"reason":"a\nb"}}"#),
            (HookEvent::Publish, r#"{"client":"ann"}"#),
            (HookEvent::Refresh, r#"{"client":"ann"}"#),
            (HookEvent::Request, r#"{"grants":{}}"#),
            (HookEvent::Request, r#"{"data":1,"error":{"code":"a"}}"#),
            (HookEvent::Request, r#"{"publish":[{"topic":"","data":1}]}"#),
            (HookEvent::Request, r#"{"notify":[{"to":[],"data":1}]}"#),
        ] {
            assert_eq!(read(event, body), Answer::Failed(Failure::Invalid), "{body}");
        }
        for status in [100, 201, 301, 302, 400, 404, 500] {
            let (answer, _) = Answer::read(HookEvent::Connect, status, b"{}");
            assert_eq!(answer, Answer::Failed(Failure::Status), "{status}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(status in 0u16..600, body: Vec<u8>, text in "\\PC{0,40}") {
            for event in [HookEvent::Connect, HookEvent::Refresh, HookEvent::Request] {
                Answer::read(event, status, &body);
                for member in ["client", "meta", "cache", "data", "expires_at", "refuse", "topics"] {
                    let body = format!("{{\"{member}\":{text}}}");
                    Answer::read(event, 200, body.as_bytes());
                }
            }
        }
    }
}
