//! Explains a token: what it says, which key of the configuration verifies it, and whether a gateway
//! with this configuration would accept it now.
//!
//! The header and the claims are shown even if nobody has signed them; the verdict is the gateway's.

use std::{
    fmt::{self, Write},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Header;
use serde_json::Value;

use crate::{
    auth::{
        Identity,
        token::{Tokens, claims::Claims},
    },
    refusal::TokenFault,
};

/// The claims whose values are times.
const TIMES: [&str; 3] = ["exp", "nbf", "iat"];

/// What is said about a token.
#[derive(Debug)]
pub struct Explanation {
    /// The text.
    pub text: String,
    /// Whether the token would be accepted now.
    pub is_accepted: bool,
}

/// Explains a token to the operator of a gateway with these keys.
pub fn explain(token: &str, tokens: Option<&Tokens>, now: Duration) -> Explanation {
    let mut text = String::new();
    let token = token.trim();
    let parts: Vec<_> = token.split('.').collect();
    let decoded = |place: usize| {
        let part = parts.get(place).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        part.unwrap_or_default()
    };
    let claims = decoded(1);
    for (name, part) in [("header", &decoded(0)), ("claims", &claims)] {
        line(&mut text, name);
        match serde_json::from_slice(part) {
            Ok(Value::Object(members)) => {
                for (member, value) in &members {
                    line(&mut text, format_args!("  {member}: {}", Shown { member, value, now }));
                }
            }
            _ => line(&mut text, "  not a JSON object in base64url"),
        }
    }
    let Some(tokens) = tokens else {
        line(&mut text, "verdict");
        line(
            &mut text,
            "  refused: the configuration has no [[auth.key]]; name another one with --config",
        );
        return Explanation { text, is_accepted: false };
    };
    keys(&mut text, token, tokens);
    line(&mut text, "verdict");
    let verified = tokens.verify(token.as_bytes(), now);
    let is_accepted = verified.is_ok();
    match verified {
        Ok(identity) => accepted(&mut text, &identity, &claims, now),
        Err(TokenFault::KeyAwaited) => line(&mut text, "  refused: its key is not known"),
        Err(fault) => line(&mut text, format_args!("  refused: {}", fault.reason())),
    }
    Explanation { text, is_accepted }
}

/// What each key says about the token.
fn keys(text: &mut String, token: &str, tokens: &Tokens) {
    line(text, "keys");
    let header = jsonwebtoken::decode_header(token);
    for (place, key) in tokens.issuers().keys().iter().enumerate() {
        let judged: String = match &header {
            Err(_) => "the header cannot be read".to_owned(),
            Ok(Header { kid: Some(kid), .. })
                if key.kid.as_deref().is_some_and(|own| own != kid) =>
            {
                format!("is for the kid {:?}", key.kid.as_deref().unwrap_or_default())
            }
            Ok(header) if !key.allows(header.alg) => {
                format!("is for {:?}, not for {:?}", key.algorithms(), header.alg)
            }
            Ok(header) => match key.check(token.as_bytes(), header) {
                Ok(()) => "verifies it".to_owned(),
                Err(TokenFault::Signature) => "has not signed it".to_owned(),
                Err(fault) => fault.reason().to_owned(),
            },
        };
        line(text, format_args!("  {}: {}: {judged}", place + 1, key.origin));
    }
}

fn accepted(text: &mut String, identity: &Identity, claims: &[u8], now: Duration) {
    let until = identity.expires_at.unwrap_or_default();
    let client = &identity.client;
    line(text, format_args!("  accepted as client {client:?} until {}", Time { at: until, now }));
    let claims: Claims = serde_json::from_slice(claims).unwrap_or_default();
    let own = claims.ringway.unwrap_or_default();
    for (act, patterns) in
        [("subscribe to", &own.subscribe), ("publish to", &own.publish), ("notify", &own.notify)]
    {
        match patterns.is_empty() {
            true => line(text, format_args!("  may {act} nothing")),
            false => line(text, format_args!("  may {act} {}", patterns.join(", "))),
        }
    }
    if !own.topics.is_empty() {
        line(text, format_args!("  is subscribed to {} on connect", own.topics.join(", ")));
    }
    if let Some(meta) = &identity.meta {
        line(text, format_args!("  meta for the application: {meta}"));
    }
}

/// The value of a member; a time is also shown as a date.
struct Shown<'t> {
    member: &'t str,
    value: &'t Value,
    now: Duration,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, value, now } = *self;
        write!(formatter, "{value}")?;
        match value.as_f64().filter(|_| TIMES.contains(&member)) {
            Some(seconds) => {
                let at = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
                write!(formatter, " ({})", Time { at, now })
            }
            None => Ok(()),
        }
    }
}

/// A time since 1970, as a date and from now.
struct Time {
    at: Duration,
    now: Duration,
}

/// The last second that `httpdate` can write: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.as_secs().min(LAST_SECOND);
        let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let (at, now) = (self.at.as_secs(), self.now.as_secs());
        match at > now {
            true => write!(formatter, "{date}, in {}", Span(at - now)),
            false => write!(formatter, "{date}, {} ago", Span(now - at)),
        }
    }
}

/// A number of seconds, written in its two largest units.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ 0..60 => write!(formatter, "{seconds} s"),
            seconds @ 60..3_600 => write!(formatter, "{} min {} s", seconds / 60, seconds % 60),
            seconds @ 3_600..86_400 => {
                write!(formatter, "{} h {} min", seconds / 3_600, seconds % 3_600 / 60)
            }
            seconds => write!(formatter, "{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
        }
    }
}

fn line(text: &mut String, line: impl fmt::Display) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}
