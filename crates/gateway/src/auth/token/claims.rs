//! The claims of a token that the gateway reads, and the identity that follows from them.
//!
//! Serde refuses a claim that is given twice, so two readers cannot understand a token differently.

use std::time::Duration;

use ringway_hub::name;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{
    auth::{Grants, Identity, Lists, anonymous},
    config::patterns::{self, Patterns},
    limits::{PATTERNS_MAX, TOKEN_META_BYTES_MAX, TOKEN_TOPICS_MAX},
    refusal::TokenFault,
};

/// The claims of RFC 7519 §4.1 that are read, and the gateway's own.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Claims {
    /// The client's name.
    pub sub: Option<String>,
    /// RFC 7519 §4.1.4, in seconds since 1970.
    pub exp: Option<NumericDate>,
    /// RFC 7519 §4.1.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<NumericDate>,
    /// RFC 7519 §4.1.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// RFC 7519 §4.1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// What the client may do. What is not listed is not allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ringway: Option<OwnClaims>,
}

/// The members of the claim `ringway`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct OwnClaims {
    /// Patterns of topics that the client may subscribe to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
    /// Patterns of topics that the client may publish to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Patterns of clients that the client may notify.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
    /// Topics that the client is subscribed to when it connects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Any JSON; only the application reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Box<RawValue>>,
}

/// One audience, or a list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// RFC 7519 §2: seconds since 1970; a fraction is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct NumericDate(f64);

impl Serialize for NumericDate {
    /// Writes whole seconds without a decimal point, which some readers do not accept.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.fract() == 0.0 && self.0.abs() < 1e15 {
            true => serializer.serialize_i64(self.0 as i64),
            false => serializer.serialize_f64(self.0),
        }
    }
}

impl NumericDate {
    /// This many seconds since 1970.
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds as f64)
    }

    /// The time since 1970. A time before that is 1970, and one that is too far away is the
    /// furthest.
    pub fn since_1970(self) -> Duration {
        Duration::try_from_secs_f64(self.0.max(0.0)).unwrap_or(Duration::MAX)
    }
}

impl Claims {
    /// The time from which the token is refused.
    pub fn expires_at(&self) -> Option<Duration> {
        self.exp.map(NumericDate::since_1970)
    }

    /// The time before which the token is refused.
    pub fn not_before(&self) -> Option<Duration> {
        self.nbf.map(NumericDate::since_1970)
    }

    /// Who has issued the token.
    pub fn issuer(&self) -> Option<&str> {
        self.iss.as_deref()
    }

    /// Whether the token is for this audience; an empty one is not expected to be named.
    pub fn is_for(&self, audience: &str) -> bool {
        match &self.aud {
            None => audience.is_empty(),
            Some(Audience::One(one)) => !audience.is_empty() && one == audience,
            Some(Audience::Several(several)) => {
                !audience.is_empty() && several.iter().any(|one| one == audience)
            }
        }
    }

    /// The client that the token names, with its grants.
    ///
    /// # Errors
    /// The first claim that makes no sense.
    pub fn identity(self) -> Result<Identity, TokenFault> {
        let expires_at = Some(self.expires_at().ok_or(TokenFault::NoExpiry)?);
        let client: Box<str> = self.sub.ok_or(TokenFault::Subject)?.into();
        if name::check(&client).is_err() || anonymous::contains(&client) {
            return Err(TokenFault::Subject);
        }
        let OwnClaims { subscribe, publish, notify, topics, meta } =
            self.ringway.unwrap_or_default();
        let meta = meta.map(|meta| Box::<str>::from(meta.get()));
        if meta.as_ref().is_some_and(|meta| meta.len() > TOKEN_META_BYTES_MAX) {
            return Err(TokenFault::Meta);
        }
        let lists = Lists {
            subscribe: compiled(&subscribe)?,
            publish: compiled(&publish)?,
            notify: compiled(&notify)?,
        };
        let grants = Grants::Own(Box::new(lists));
        Ok(Identity { client, grants, topics: checked(topics)?, meta, expires_at })
    }
}

/// A list of patterns.
///
/// # Errors
/// It is too long, or one of them is not a pattern.
pub fn compiled(listed: &[String]) -> Result<Patterns, TokenFault> {
    let is_sound = |pattern: &String| patterns::check(pattern).is_ok();
    match listed.len() as u64 <= PATTERNS_MAX && listed.iter().all(is_sound) {
        true => Ok(Patterns::new(listed.iter().map(String::as_str))),
        false => Err(TokenFault::Grants),
    }
}

fn checked(topics: Vec<String>) -> Result<Vec<Box<str>>, TokenFault> {
    match topics.len() <= TOKEN_TOPICS_MAX && topics.iter().all(|topic| name::check(topic).is_ok())
    {
        true => Ok(topics.into_iter().map(String::into_boxed_str).collect()),
        false => Err(TokenFault::Grants),
    }
}
