//! The tokens of clients: who signs them, where a client shows them, and how long they are valid.
//!
//! The source that checks them is that of the product. The virtual time is the time since 1970.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fastrand::Rng;
use ring::hmac;
use ringway::{
    auth::{
        IdentitySource,
        token::{Tokens, keys::KeySet},
    },
    config::{Auth, AuthKey, Config, TokenAlgorithm},
};
use serde_json::json;

use super::{connection::HubConnection, reference_log::Record};
use crate::checkers::{LATENESS, check};

const PROPERTY: &str = "a session ends with its token and with the revocation of its client";

const SECRET: &str = "the secret of the simulated issuer";

/// A session ends at the next whole second.
pub const EXPIRY_GRAIN: Duration = Duration::from_secs(1);

/// How clients say who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Naming {
    #[default]
    /// They name themselves.
    SelfNamed,
    /// Their tokens name them. Tokens expire, are renewed, and clients are revoked.
    ByToken,
}

/// Where a client shows its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownIn {
    Query,
    Field,
    /// The first message of a WebSocket.
    Message,
}

/// A token, and the time at which it expires.
#[derive(Debug, Clone)]
pub struct ShownToken {
    pub text: String,
    pub expires_at: Duration,
    pub shown_in: ShownIn,
}

/// A `refresh` that the gateway has served.
#[derive(Debug)]
pub struct Renewal {
    /// Whether the token was good.
    pub is_good: bool,
    /// The connection on which it was sent, if it is for that one.
    pub own: Option<usize>,
    pub expires_at: Duration,
}

/// The source of identities that the product has for tokens.
pub fn source() -> Arc<dyn IdentitySource> {
    let key = AuthKey {
        secret_env: Some("SECRET".to_owned()),
        ..AuthKey::without_source(&[TokenAlgorithm::Hs256])
    };
    let keys = KeySet::load(&[key], |_| Some(SECRET.into())).expect("a key");
    Arc::new(Tokens::new(keys, Auth { leeway: Duration::ZERO, ..Config::default().auth }))
}

/// A token of a client. It grants everything: grants have tests of their own.
pub fn signed(client: &str, expires_at: Duration) -> String {
    let lists = json!({"subscribe": ["*"], "publish": ["*"], "notify": ["*"]});
    let exp = expires_at.as_millis() as f64 / 1000.0;
    let claims = json!({"sub": client, "exp": exp, "ringway": lists});
    let parts = [json!({"alg": "HS256"}), claims];
    let [header, claims] = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

/// When a new token of a client expires: soon, late, or before it is shown.
pub fn any_expiry(now: Duration, rng: &mut Rng) -> Duration {
    let lifetime = match rng.u8(0..12) {
        0 => return Duration::from_millis((now.as_millis() as u64).saturating_sub(1)),
        1..4 => Duration::from_millis(rng.u64(1..100)),
        4..8 => Duration::from_millis(rng.u64(100..3_000)),
        _ => Duration::from_secs(600),
    };
    Duration::from_millis((now + lifetime).as_millis() as u64)
}

/// Checks that an event was appended while the client of a connection was entitled to it. An event
/// of the turn in which the session ends may be sent before it ends.
pub fn check_event(connection: &HubConnection, record: &Record) {
    if let Some((_, latest)) = connection.expiry {
        let end = latest + EXPIRY_GRAIN + LATENESS;
        check!(record.at < end, "{} at {:?}, after {latest:?}", record.text, record.at);
    }
    if let Some(revoked_at) = connection.revoked_at {
        let end = revoked_at + LATENESS;
        check!(record.at < end, "{} at {:?}, after {revoked_at:?}", record.text, record.at);
    }
}

/// Checks, when nothing moves, that a session that goes on is entitled to.
pub fn check_at_rest(connection: &HubConnection, now: Duration) {
    if let Some((_, latest)) = connection.expiry {
        let end = latest + EXPIRY_GRAIN + LATENESS;
        check!(now < end, "open at {now:?}, although the token expired at {latest:?}");
    }
    if let Some(revoked_at) = connection.revoked_at {
        check!(now < revoked_at + LATENESS, "open at {now:?}, revoked at {revoked_at:?}");
    }
}

/// Checks why the gateway has closed a connection with one of these codes.
pub fn check_close(
    connection: &HubConnection,
    code: u16,
    reason: &str,
    ever_revoked: bool,
    now: Duration,
) {
    let is_due = match code {
        3000 if reason == "the token has expired" => {
            connection.expiry.is_some_and(|(earliest, _)| earliest <= now)
        }
        3000 if reason.starts_with("token_missing") => !connection.has_entered,
        3000 => connection.refused == Some(401),
        _ => ever_revoked,
    };
    check!(is_due, "{code} {reason} at {now:?}: {:?} {:?}", connection.expiry, connection.refused);
}
