//! Tests of all refusals: their statuses, codes and sentences, and the limits that they name.

use ringway_frame::handshake::HandshakeError;
use serde_json::Value;

use super::*;
use crate::config::Config;
use crate::edge::cors::Cors;
use crate::edge::response::Part;
use crate::edge::response::Refused;

/// All refusals without parts, and at least one of each kind with parts.
const ALL: [Refusal; 40] = [
    Refusal::ByApplication(403),
    Refusal::Unanswered,
    Refusal::Upstream(UpstreamFault::Unreachable),
    Refusal::Upstream(UpstreamFault::Invalid),
    Refusal::Http(HttpError::Malformed),
    Refusal::Http(HttpError::TargetTooLong),
    Refusal::Http(HttpError::HeadTooLarge),
    Refusal::Http(HttpError::TooManyFields),
    Refusal::Http(HttpError::Version),
    Refusal::Http(HttpError::Host),
    Refusal::Http(HttpError::Framing),
    Refusal::Http(HttpError::Coding),
    Refusal::Http(HttpError::Chunk),
    Refusal::Http(HttpError::TrailersTooLarge),
    Refusal::Http(HttpError::BodyTooLarge),
    Refusal::Http(HttpError::MediaType),
    Refusal::Http(HttpError::Expectation),
    Refusal::Timeout,
    Refusal::IdentityUnavailable,
    Refusal::NotFound,
    Refusal::Method(Methods::Page),
    Refusal::ConnectParams(VisitFault::Cursor),
    Refusal::ConnectParams(VisitFault::TooManyTopics),
    Refusal::ConnectParams(VisitFault::Forbidden),
    Refusal::ConnectParams(VisitFault::ForeignOrigin),
    Refusal::Handshake(HandshakeError::Body),
    Refusal::ForeignOrigin,
    Refusal::ForeignHost,
    Refusal::Full,
    Refusal::AddressFull,
    Refusal::ClientFull,
    Refusal::TooFast(Measure::Messages),
    Refusal::TooFast(Measure::Bytes),
    Refusal::Memory,
    Refusal::Method(Methods::Send),
    Refusal::Token(TokenFault::Missing),
    Refusal::Token(TokenFault::Expired),
    Refusal::Revoked,
    Refusal::Certificate(CertificateFault::Name),
    Refusal::Certificate(CertificateFault::OtherClient),
];

/// Keys of lists of allowed values, which are not limits.
const LISTS: [&str; 3] =
    ["cors.allowed_origins", "clients.may_subscribe", "server.api_allowed_hosts"];

#[test]
fn every_refusal_with_a_key_gives_the_value_of_its_limit() {
    let settings = Settings::from_config(&Config::default());
    let settings = Settings { connections_max: 7, memory_bytes: 1 << 30, ..settings };
    let mut limits = 0;
    for refusal in ALL {
        let mut out = Vec::new();
        Refused::by(refusal, &settings).write(
            &mut out,
            &Cors::Silent,
            Part::Whole,
            KeepAlive::Close,
        );
        let text = String::from_utf8(out).unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        let problem: Value = serde_json::from_str(body).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        let Some(key) = problem["key"].as_str() else {
            let of_limit = [408, 413, 414, 429, 431, 503].contains(&refusal.status());
            assert!(
                !of_limit || refusal == Refusal::Http(HttpError::TrailersTooLarge),
                "{problem}"
            );
            continue;
        };
        assert!(detail.contains(key), "{problem}");
        if LISTS.contains(&key) {
            assert_eq!(problem.get("limit"), None, "{problem}");
            continue;
        }
        let limit = problem["limit"].as_u64().unwrap_or_else(|| panic!("{problem}"));
        assert!(detail.contains(&format!("at most {limit} ")), "{problem}");
        limits += 1;
    }
    assert_eq!(limits, 12);
}
