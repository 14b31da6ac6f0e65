//! What must hold for any bytes: one function for each fuzz target.
//!
//! The same functions run under cargo-fuzz and, over the committed corpus, under `cargo test`.
//! They panic when a property is broken and answer nothing.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use ringway::auth::Grants;
use ringway::auth::Identity;
use ringway::auth::token::Tokens;
use ringway::auth::token::keys::KeySet;
use ringway::config::AuthKey;
use ringway::config::Config;
use ringway::config::ForwardedHeader;
use ringway::config::TokenAlgorithm;
use ringway::config::origins::Origins;
use ringway::config::settings::Settings;
use ringway::edge::action::Action;
use ringway::edge::action::Opened;
use ringway::edge::action::Polled;
use ringway::edge::action::Posted;
use ringway::edge::action::Upgrade;
use ringway::edge::connect_params::ConnectParams;
use ringway::edge::forwarded;
use ringway::edge::limiter::Origin;
use ringway::edge::proxy_header;
use ringway::edge::requests::AfterHead;
use ringway::edge::requests::HttpConnection;
use ringway::encoding::iframe::Receiver;
use ringway::encoding::native as write;
use ringway::encoding::native::EventParts;
use ringway::limits::TOKEN_META_BYTES_MAX;
use ringway::outbox::Outbox;
use ringway::outbox::Sending;
use ringway::outbox::channel::Channel;
use ringway::session::command::Command;
use ringway::session::command::CommandLimits;
use ringway::session::command_error::CommandError;
use ringway::session::command_error::ErrorCode;
use ringway::subprotocol::native as json;
use ringway_acceptor::{ConnectionId, Operation, Operations, Outgoing};
use ringway_http::KeepAlive;
use ringway_hub::name;
use serde::de::IgnoredAny;

/// Small, so that a short input can pass them.
const TOPICS_MAX: usize = 3;
const BODY_BYTES_MAX: usize = 40;

/// The state of a conversation when the input was used up or no longer relevant.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Waiting,
    Upgraded { left_bytes: usize },
    Finished,
}

/// The input: a byte that says how the rest is cut, then what a client sends. However it is cut,
/// the answers are the same, and no more is kept of a head or of a body than its bound.
pub fn requests(input: &[u8]) {
    let Some((cut, sent)) = input.split_first() else { return };
    let mut settings = Settings::from_config(&Config::default());
    settings.clients.subscriptions_max = TOPICS_MAX;
    settings.websocket.message_bytes_max = BODY_BYTES_MAX;
    settings.cors.allowed_origins = Origins::parse(["https://a"]).expect("an origin");
    settings.limits.header_bytes_max = 300;
    settings.limits.target_bytes_max = 60;
    settings.limits.header_fields_max = 8;
    settings.limits.requests_per_connection_max = 20;
    let whole = converse(sent, sent.len().max(1), &settings);
    let pieces = converse(sent, usize::from(*cut).max(1), &settings);
    assert_eq!(whole.0, pieces.0, "the answers");
    assert_eq!(whole.1, pieces.1, "the end");
}

/// The beginning of a connection: it is a PROXY protocol header or not, however it is cut, and
/// bytes after the header change nothing.
pub fn proxy_headers(input: &[u8]) {
    let whole = proxy_header::read(input);
    let pieces = (0..input.len()).find_map(|end| match proxy_header::read(&input[..end]) {
        Ok(None) => None,
        early => Some(early),
    });
    assert_eq!(pieces.unwrap_or(whole), whole);
    if let Ok(Some(header)) = whole {
        assert!(header.bytes <= input.len());
        assert_eq!(proxy_header::read(&input[..header.bytes]), whole);
    }
}

/// A line of a forwarding field: whatever a client wrote there, the address that its proxy appends
/// is the client's.
pub fn forwarded_headers(input: &[u8]) {
    let trusted = ["10.0.0.0/8".parse().expect("a network")];
    for (header, name, key) in [
        (ForwardedHeader::XForwardedFor, "X-Forwarded-For", ""),
        (ForwardedHeader::Forwarded, "Forwarded", "for="),
    ] {
        let found = |line: &[u8]| {
            forwarded::client(&[httparse::Header { name, value: line }], header, &trusted)
        };
        let _ = found(input);
        let appended = format!(", {key}192.0.2.1, {key}10.0.0.1");
        let address = found(&[input, appended.as_bytes()].concat());
        assert_eq!(address, Some("192.0.2.1".parse().expect("an address")));
    }
}

/// The answers to `sent`, which arrives in pieces of `cut` bytes.
fn converse(sent: &[u8], cut: usize, settings: &Settings) -> (String, End) {
    let (mut http, mut sending) = (HttpConnection::default(), Sending::default());
    let mut operations = Operations::default();
    let connection = ConnectionId::new(0, 0);
    let (mut answers, mut used) = (Vec::new(), 0);
    for piece in sent.chunks(cut) {
        used += piece.len();
        let mut bytes = piece.to_vec();
        let mut input = &mut bytes[..];
        while !input.is_empty() {
            let (now, channel) = (Duration::ZERO, &mut Channel::default());
            let mut outbox = Outbox::new(connection, &mut sending, channel, &mut operations, now);
            let mut progress = http.advance(&mut input, Origin::Client, settings, &mut outbox);
            if let Action::Requested(request) = progress {
                let client = sound(&request.params).client.clone().unwrap_or_else(|| "anon".into());
                let identity = Identity::new(client, Grants::BySettings);
                progress =
                    http.admit(request, identity, AfterHead::of(input), settings, &mut outbox);
            }
            if let Some((served, after)) = serve(&progress) {
                outbox.write(|out| out.extend_from_slice(served.as_bytes()));
                progress = Action::answered(after, &mut outbox);
            }
            let end = match progress {
                Action::Upgraded(Upgrade { params, subprotocol, .. }) => {
                    let served = format!("{:?} {subprotocol:?}", sound(&params));
                    outbox.write(|out| out.extend_from_slice(served.as_bytes()));
                    End::Upgraded { left_bytes: sent.len() - used + input.len() }
                }
                Action::Finished | Action::Tls(_) | Action::Refused(_, KeepAlive::Close) => {
                    End::Finished
                }
                _ => continue,
            };
            collect(&mut operations, &mut answers);
            return (undated(&answers), end);
        }
    }
    collect(&mut operations, &mut answers);
    (undated(&answers), End::Waiting)
}

/// Answers a request that `edge` passes on, from what was parsed.
fn serve(progress: &Action) -> Option<(String, KeepAlive)> {
    Some(match progress {
        Action::Opened(Opened { route, params, cors, after, .. }) => {
            (format!("{route:?} {:?} {cors:?}\n", sound(params)), *after)
        }
        Action::Polled(Polled { params, cors, after, .. }) => {
            (format!("{:?} {cors:?}\n", sound(params)), *after)
        }
        Action::Posted(Posted { identity, body, cors, after }) => {
            assert!(body.len() <= BODY_BYTES_MAX, "a body of {}", body.len());
            (format!("{} {cors:?} {body:?}\n", identity.client), *after)
        }
        _ => return None,
    })
}

/// The connect parameters, which must be within all bounds.
fn sound(params: &ConnectParams) -> &ConnectParams {
    let is_name = |name: &str| {
        (1..=128).contains(&name.len()) && name.chars().all(|letter| !letter.is_control())
    };
    let is_safe = |letter: char| letter.is_ascii_alphanumeric() || ":/._-+[]".contains(letter);
    assert!(params.topics.len() <= TOPICS_MAX, "{params:?}");
    assert!(params.topics.iter().chain(&params.client).all(|name| is_name(name)), "{params:?}");
    let called = match &params.receiver {
        Some(Receiver::Callback(name)) => name.to_string(),
        Some(Receiver::Origin(origin)) => origin.to_string(),
        None => String::new(),
    };
    assert!(called.chars().all(is_safe), "{params:?}");
    params
}

fn collect(operations: &mut Operations, answers: &mut Vec<u8>) {
    let (list, turn) = operations.drain();
    for operation in list {
        if let Operation::Send { outgoing: Outgoing::Turn(range), .. } = operation {
            answers.extend_from_slice(&turn[range]);
        }
    }
    operations.clear();
}

/// The answers without the Date lines, because a second may begin between two runs, and without the
/// 100, which is sent only if the body has not arrived with the head.
fn undated(answers: &[u8]) -> String {
    let text = String::from_utf8_lossy(answers).replace("HTTP/1.1 100 Continue\r\n\r\n", "");
    text.lines().filter(|line| !line.starts_with("Date: ")).collect::<Vec<_>>().join("\n")
}

/// The input is a text message of a client. A parsed command keeps the bounds, and its data is an
/// unchanged part of the message. The data and the gateway's answers are JSON.
pub fn commands(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let limits = CommandLimits { recipients_max: 3, data_depth_max: 128 };
    let read = json::read(text, &limits);
    let not_json = matches!(read, Err(CommandError { code: ErrorCode::NotJson, .. }));
    assert_eq!(is_json(text), !not_json, "one judge of JSON");
    let mut out = Vec::new();
    match &read {
        Ok(Command::Notify { id, to, event, data, .. }) => {
            assert!((1..=limits.recipients_max).contains(&to.len()));
            assert!(name::check_id(id).is_ok());
            assert!(to.iter().chain(event).all(|one| name::check(one).is_ok()));
            assert!(text.contains(data) && is_json(data));
            let (from, name) = (Some(&**id), event.as_deref());
            out = event_text(EventParts { from, topic: None, name, data });
        }
        Ok(Command::Publish { id, topic, event, data, .. }) => {
            assert!(name::check_id(id).is_ok());
            assert!([topic].into_iter().chain(event).all(|one| name::check(one).is_ok()));
            assert!(text.contains(data) && is_json(data));
            let (topic, name) = (Some(&**topic), event.as_deref());
            out = event_text(EventParts { from: None, topic, name, data });
        }
        Ok(Command::Subscribe { id, topic, .. } | Command::Unsubscribe { id, topic, .. }) => {
            assert!(name::check_id(id).is_ok() && name::check(topic).is_ok());
            write::ack_with_outcome(&mut out, id, "cursor", [(&**topic, "queued")]);
        }
        Ok(Command::Refresh { id, .. }) => {
            assert!(name::check_id(id).is_ok());
            write::ack_until(&mut out, id, "cursor", Some(Duration::from_millis(7)));
        }
        Ok(Command::Auth { id, .. } | Command::Ping { id }) => {
            write::pong(&mut out, "cursor", id.as_deref());
        }
        Err(error) => ringway::subprotocol::native::reply::error(&mut out, error),
    }
    assert!(is_json(std::str::from_utf8(&out).expect("UTF-8")));
}

const SECRET: &str = "the secret of the fuzz targets, 32 bytes";

/// The input as a token, and as the claims of a token whose signature is valid: the first has a
/// secret that it cannot know, and the second is a client only if its claims make sense.
pub fn tokens(input: &[u8]) {
    let key = AuthKey {
        algorithms: vec![TokenAlgorithm::Hs256],
        kid: None,
        secret_file: None,
        secret_env: Some("SECRET".to_owned()),
        pem_file: None,
        jwks_file: None,
        jwks_url: None,
        jwks_ca_file: None,
    };
    let keys = KeySet::load(&[key], |_| Some(SECRET.into())).expect("a key");
    let (tokens, now) = (Tokens::new(keys, Config::default().auth), Duration::from_secs(1_000));
    assert!(tokens.verify(input, now).is_err());
    let [header, claims] =
        [&br#"{"alg":"HS256"}"#[..], input].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{claims}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    if let Ok(identity) = tokens.verify(format!("{message}.{signature}").as_bytes(), now) {
        assert!(name::check(&identity.client).is_ok() && !identity.client.starts_with("anon-"));
        assert!(identity.topics.iter().all(|topic| name::check(topic).is_ok()));
        assert!(identity.expires_at.is_some_and(|expires_at| expires_at > now));
        assert!(matches!(identity.grants, Grants::Own(_)));
        assert!(
            identity.meta.is_none_or(|meta| meta.len() <= TOKEN_META_BYTES_MAX && is_json(&meta))
        );
    }
}

fn event_text(parts: EventParts<'_>) -> Vec<u8> {
    let draft = write::event(parts, 0).expect("memory");
    draft.text[..draft.fields.encoded].into()
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}
