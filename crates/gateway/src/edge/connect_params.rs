//! The query that all transports share: the client, its topics, its cursor.
//!
//! It checks the form of each parameter. It does not know whether a token or a cursor is valid.

use std::time::Duration;

use httparse::Header;
use ringway_http::{head, query};
use ringway_hub::{Cursor, NameFault, name};

use crate::{
    auth::Secret,
    config::origins,
    encoding::iframe::{Callback, Receiver},
    encoding::sse::Names,
};

use crate::refusal::{Parameter, VisitFault};

/// The parameters of a request. An unknown parameter is a fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectParams {
    /// The name that an anonymous client gives itself.
    pub client: Option<Box<str>>,
    /// The topics to subscribe to, with duplicates as they were given.
    pub topics: Vec<Box<str>>,
    /// The cursor to resume from; it may be from another log.
    pub cursor: Option<Cursor>,
    /// How many of the last events of each topic a client without a cursor wants.
    pub last: Option<u32>,
    /// How long `/poll` may wait.
    pub wait: Option<Duration>,
    /// How `/stream` writes its objects.
    pub format: Format,
    /// How the page around a [`Format::Iframe`] gets its objects.
    pub receiver: Option<Receiver>,
    /// Whether `/sse` names its events.
    pub names: Names,
    /// The token that says who the client is.
    pub token: Option<Secret>,
    /// Where else the token comes.
    pub auth: Option<AuthBy>,
}

/// How a client says who it is, if not in its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthBy {
    /// Its token is in the first message of its WebSocket.
    Message,
}

/// How `/stream` writes its objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// One object a line.
    #[default]
    Lines,
    /// One `<script>` block an object.
    Iframe,
}

impl ConnectParams {
    /// Reads a query.
    ///
    /// # Errors
    /// The first fault, in the order of the parameters.
    pub fn parse(query: Option<&str>, topics_max: usize) -> Result<Self, VisitFault> {
        let mut params = Self::default();
        let (mut format, mut names) = (None, None);
        let (mut callback, mut origin) = (None, None);
        for pair in query::pairs(query.unwrap_or_default()) {
            let (name, value) = pair?;
            match &*name {
                "client" => {
                    name::check(&value).map_err(|_| VisitFault::Client)?;
                    once(&mut params.client, value.into(), Parameter::Client)?;
                }
                "token" => {
                    let token = Secret::new(value.as_bytes());
                    once(&mut params.token, token, Parameter::Token)?;
                }
                "topic" => {
                    name::check(&value).map_err(|fault| match fault {
                        NameFault::Wildcard => VisitFault::Wildcard,
                        _ => VisitFault::Topic,
                    })?;
                    if params.topics.len() >= topics_max {
                        return Err(VisitFault::TooManyTopics);
                    }
                    params.topics.push(value.into());
                }
                "cursor" => once(&mut params.cursor, parse_cursor(&value)?, Parameter::Cursor)?,
                "last" => once(&mut params.last, parse_last(&value)?, Parameter::Last)?,
                "wait" => once(&mut params.wait, parse_wait(&value)?, Parameter::Wait)?,
                "format" => once(&mut format, parse_format(&value)?, Parameter::Format)?,
                "callback" => {
                    let function = Callback::parse(&value).ok_or(VisitFault::Callback)?;
                    once(&mut callback, function, Parameter::Callback)?;
                }
                "origin" if origins::is_origin(&value) => {
                    once(&mut origin, Box::from(value), Parameter::Origin)?;
                }
                "origin" => return Err(VisitFault::Origin),
                "auth" if value == "message" => {
                    once(&mut params.auth, AuthBy::Message, Parameter::Auth)?;
                }
                "auth" => return Err(VisitFault::Auth),
                "names" => once(&mut names, parse_names(&value)?, Parameter::Names)?,
                _ => return Err(VisitFault::Unknown(Parameter::nearest(&name))),
            }
        }
        params.format = format.unwrap_or_default();
        params.names = names.unwrap_or_default();
        params.receiver = match (callback, origin) {
            (Some(_), Some(_)) => return Err(VisitFault::TwoReceivers),
            (Some(callback), None) => Some(Receiver::Callback(callback)),
            (None, origin) => origin.map(Receiver::Origin),
        };
        Ok(params)
    }

    /// The token alone, for a route that has no other parameter and ignores them.
    pub fn token(query: Option<&str>) -> Option<Secret> {
        let pairs = query::pairs(query.unwrap_or_default()).flatten();
        let mut tokens = pairs.filter(|(name, _)| name == "token");
        tokens.next().map(|(_, value)| Secret::new(value.as_bytes()))
    }

    /// HTML Standard §9.2.4: an `EventSource` that reconnects sends its position, although its
    /// address still holds the cursor of the first request.
    ///
    /// # Errors
    /// [`VisitFault::LastEventId`]
    pub fn resume(&mut self, fields: &[Header<'_>]) -> Result<(), VisitFault> {
        let mut values = head::values(fields, "Last-Event-ID");
        let Some(value) = values.next() else { return Ok(()) };
        let text = std::str::from_utf8(value).map_err(|_| VisitFault::LastEventId)?;
        if values.next().is_some() {
            return Err(VisitFault::LastEventId);
        }
        if !text.is_empty() {
            self.cursor = Some(parse_cursor(text)?);
        }
        Ok(())
    }
}

fn once<T>(slot: &mut Option<T>, value: T, parameter: Parameter) -> Result<(), VisitFault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(VisitFault::Doubled(parameter)),
    }
}

/// Digits, optionally with a point and more digits: no sign, no exponent, no infinity.
fn parse_wait(text: &str) -> Result<Duration, VisitFault> {
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !is_number(whole) || !is_number(fraction) {
        return Err(VisitFault::Wait);
    }
    let seconds: f64 = text.parse().map_err(|_| VisitFault::Wait)?;
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

fn parse_last(text: &str) -> Result<u32, VisitFault> {
    // `parse` would accept a sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|last| is_number && *last > 0).ok_or(VisitFault::Last)
}

fn parse_cursor(text: &str) -> Result<Cursor, VisitFault> {
    text.parse().map_err(|_| VisitFault::Cursor)
}

fn parse_format(text: &str) -> Result<Format, VisitFault> {
    match text {
        "lines" => Ok(Format::Lines),
        "iframe" => Ok(Format::Iframe),
        _ => Err(VisitFault::Format),
    }
}

fn parse_names(text: &str) -> Result<Names, VisitFault> {
    match text {
        "on" => Ok(Names::On),
        "off" => Ok(Names::Off),
        _ => Err(VisitFault::Names),
    }
}

#[cfg(test)]
mod tests {
    use ringway_hub::Epoch;

    use super::*;

    fn cursor(sequence: u64) -> Cursor {
        Cursor { epoch: Epoch::new(10), sequence }
    }

    fn fault(query: &str) -> Option<VisitFault> {
        ConnectParams::parse(Some(query), 3).err()
    }

    #[test]
    fn every_fault_names_its_parameter() {
        let (long, long_callback) = ("ä".repeat(65), "f".repeat(65));
        for (query, wanted) in [
            ("client=%ff", VisitFault::NotUtf8),
            ("x=%ff", VisitFault::NotUtf8),
            ("topics=a", VisitFault::Unknown(Some(Parameter::Topic))),
            ("Client=a", VisitFault::Unknown(Some(Parameter::Client))),
            ("lst=1", VisitFault::Unknown(Some(Parameter::Last))),
            ("room=a", VisitFault::Unknown(None)),
            ("client=@ann", VisitFault::Client),
            ("client=a.*", VisitFault::Client),
            ("topic=$SYS", VisitFault::Topic),
            ("token=a&token=a", VisitFault::Doubled(Parameter::Token)),
            ("tokn=a", VisitFault::Unknown(Some(Parameter::Token))),
            ("topic=news.*", VisitFault::Wildcard),
            ("topic=news.>", VisitFault::Wildcard),
            ("topic=*", VisitFault::Wildcard),
            ("client=a&client=a", VisitFault::Doubled(Parameter::Client)),
            (
                "cursor=00000000000a-1&client=a&cursor=00000000000a-1",
                VisitFault::Doubled(Parameter::Cursor),
            ),
            ("wait=1&wait=1", VisitFault::Doubled(Parameter::Wait)),
            ("format=lines&format=iframe", VisitFault::Doubled(Parameter::Format)),
            ("callback=f&callback=f", VisitFault::Doubled(Parameter::Callback)),
            ("names=on&names=on", VisitFault::Doubled(Parameter::Names)),
            ("client", VisitFault::Client),
            ("client=", VisitFault::Client),
            (&format!("client={long}"), VisitFault::Client),
            ("client=a%0ab", VisitFault::Client),
            ("client=%00", VisitFault::Client),
            ("client=%7f", VisitFault::Client),
            ("client=%c2%85", VisitFault::Client),
            ("topic=", VisitFault::Topic),
            ("topic=a&topic=%09", VisitFault::Topic),
            (&format!("topic={long}"), VisitFault::Topic),
            ("topic=a&topic=b&topic=c&topic=d", VisitFault::TooManyTopics),
            ("cursor=", VisitFault::Cursor),
            ("cursor=00000000000a", VisitFault::Cursor),
            ("last=1&last=1", VisitFault::Doubled(Parameter::Last)),
            ("last=", VisitFault::Last),
            ("last=0", VisitFault::Last),
            ("last=-1", VisitFault::Last),
            ("last=%2b1", VisitFault::Last),
            ("last=4294967296", VisitFault::Last),
            ("wait=", VisitFault::Wait),
            ("wait=-1", VisitFault::Wait),
            ("wait=+1", VisitFault::Wait),
            ("wait=%2b1", VisitFault::Wait),
            ("wait=1e3", VisitFault::Wait),
            ("wait=inf", VisitFault::Wait),
            ("wait=nan", VisitFault::Wait),
            ("wait=.5", VisitFault::Wait),
            ("wait=5.", VisitFault::Wait),
            ("wait=1.2.3", VisitFault::Wait),
            ("wait=1_0", VisitFault::Wait),
            ("wait=25s", VisitFault::Wait),
            ("format=", VisitFault::Format),
            ("format=IFRAME", VisitFault::Format),
            ("callback=", VisitFault::Callback),
            ("callback=alert(1)", VisitFault::Callback),
            ("callback=parent.ringway", VisitFault::Callback),
            ("callback=opener.document.forms.pay.submit", VisitFault::Callback),
            ("callback=.a", VisitFault::Callback),
            ("callback=a.", VisitFault::Callback),
            ("callback=1a", VisitFault::Callback),
            ("callback=a%5b0%5d", VisitFault::Callback),
            ("callback=a%3cb", VisitFault::Callback),
            ("callback=%c3%a4", VisitFault::Callback),
            ("callback=a%0a", VisitFault::Callback),
            (&format!("callback={long_callback}"), VisitFault::Callback),
            ("origin=", VisitFault::Origin),
            ("origin=*", VisitFault::Origin),
            ("origin=null", VisitFault::Origin),
            ("origin=https://a/", VisitFault::Origin),
            ("origin=https://a%22,1)//", VisitFault::Origin),
            ("origin=https://a&origin=https://a", VisitFault::Doubled(Parameter::Origin)),
            ("origin=https://a&callback=f", VisitFault::TwoReceivers),
            ("names=", VisitFault::Names),
            ("names=0", VisitFault::Names),
        ] {
            assert_eq!(fault(query), Some(wanted), "{query}");
        }
    }

    #[test]
    fn valid_queries_are_parsed() {
        assert_eq!(ConnectParams::parse(None, 3), Ok(ConnectParams::default()));
        let query = "client=ann+b%C3%A4r&topic=news&topic=a%2Fb&topic=news&cursor=00000000000a-1\
                     &wait=0.5&format=iframe&callback=_f1&names=off";
        let params = ConnectParams::parse(Some(query), 3).unwrap();
        assert_eq!(params.client.as_deref(), Some("ann bär"));
        assert_eq!(params.topics, ["news", "a/b", "news"].map(Box::from));
        assert_eq!(params.cursor, Some(cursor(1)));
        assert_eq!(params.wait, Some(Duration::from_millis(500)));
        assert_eq!((params.format, params.names), (Format::Iframe, Names::Off));
        assert_eq!(params.receiver, Callback::parse("_f1").map(Receiver::Callback));
        let posted = ConnectParams::parse(Some("origin=https://shop.example:8443"), 3).unwrap();
        let origin = "https://shop.example:8443".into();
        assert_eq!(posted.receiver, Some(Receiver::Origin(origin)));
        assert_eq!(fault(&format!("client={}", "ä".repeat(64))), None);
        assert_eq!(fault(&format!("callback={}", "f".repeat(64))), None);
    }

    #[test]
    fn a_wait_may_have_any_length() {
        let wait =
            |text: &str| ConnectParams::parse(Some(&format!("wait={text}")), 0).unwrap().wait;
        assert_eq!(wait("0"), Some(Duration::ZERO));
        assert_eq!(wait("025"), Some(Duration::from_secs(25)));
        assert_eq!(wait("1.25"), Some(Duration::from_millis(1250)));
        assert_eq!(wait(&"9".repeat(20)), Some(Duration::MAX));
        assert_eq!(wait(&"9".repeat(500)), Some(Duration::MAX));
        assert_eq!(wait(&format!("0.{}", "0".repeat(500))), Some(Duration::ZERO));
    }

    #[test]
    fn the_last_event_id_takes_precedence_over_the_cursor() {
        let field = |value| Header { name: "last-event-ID", value };
        for (fields, wanted) in [
            (&[][..], Ok(Some(cursor(1)))),
            (&[field(b"00000000000a-2")], Ok(Some(cursor(2)))),
            (&[field(b"")], Ok(Some(cursor(1)))),
            (&[field(b"new")], Err(VisitFault::Cursor)),
            (&[field(b"a"), field(b"a")], Err(VisitFault::LastEventId)),
            (&[field(b"\xff")], Err(VisitFault::LastEventId)),
        ] {
            let mut params = ConnectParams::parse(Some("cursor=00000000000a-1"), 0).unwrap();
            let resumed = params.resume(fields).map(|()| params.cursor);
            assert_eq!(resumed, wanted, "{fields:?}");
        }
    }
}
