//! `/v1/clients/{id}`: whether a client is connected, and how to close its connections.
//!
//! The directory knows whether it is connected, and the log which events wait for it. The cores are
//! asked to close it, and do so in their next turn.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use ringway_frame::{CONTROL_BYTES_MAX, CloseCode};
use ringway_hub::{Liveness, Sighting};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    auth::RevocationsFull,
    broker::{ConnectionDescription, Waiting, mailbox::CoreMessage},
    control::api::{
        Api,
        parameters::{name_in, none_in, of_query},
        problem::{Kind, Problem},
    },
    limits::{API_DESCRIPTIONS_WAIT, REVOCATIONS_MAX},
};

/// RFC 6455 §5.5.1: the room in a Close frame behind the code.
const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - size_of::<u16>();

/// `GET /v1/clients/{id}`
pub async fn show(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let client = name_in(path, "client")?;
    none_in(query.as_deref())?;
    let Sighting { liveness, connections, left } = api.broker.directory.sight(&client);
    let liveness = match liveness {
        Liveness::Live => "live",
        Liveness::Behind => "behind",
        // It never connected, or so long ago that it is forgotten; events may still wait for it.
        Liveness::Away | Liveness::Unknown => {
            let Waiting { events, is_gap } = api.broker.waiting(&client, left, api.now());
            if liveness == Liveness::Unknown && events == 0 && !is_gap {
                let detail = "it has never connected, or so long ago that nothing is kept for it";
                return Err(Problem::new(Kind::UnknownClient, detail));
            }
            return Ok(json(&json!({
                "client": client,
                "presence": "away",
                "connections": 0,
                "queued": events,
                "gap": is_gap,
            })));
        }
    };
    Ok(json(&json!({
        "client": client,
        "presence": liveness,
        "connections": connections,
        "sessions": api.sessions(&client).await,
    })))
}

/// `DELETE /v1/clients/{id}?code=&reason=&reconnect=`
pub async fn close(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let client = name_in(path, "client")?;
    let parameters = ["code", "reason", "reconnect"];
    let [code, reason, reconnect] = of_query(query.as_deref(), parameters)?;
    let code = match (reconnect.as_deref(), code) {
        (None | Some("no"), code) => code_of(code.as_deref())?,
        (Some("yes"), None) => CloseCode::RESTART,
        (Some("yes"), Some(_)) => {
            let detail = "with reconnect=yes the code is 1012; leave code out";
            return Err(Problem::new(Kind::BadParameter, detail));
        }
        (Some(_), _) => return Err(Problem::new(Kind::BadParameter, "reconnect is yes or no")),
    };
    let reason = reason_of(reason.as_deref())?;
    Ok(json(&json!({ "closed": api.close(&client, code, reason) })))
}

/// The close code of a revoked client, of the IANA registry: "forbidden". Clients do not come back
/// after it.
const REVOKED: CloseCode = match CloseCode::new(3003) {
    Some(code) => code,
    None => panic!("the registry has this code"),
};

/// `POST /v1/clients/{id}/revoke?until=&reason=`
pub async fn revoke(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let client = name_in(path, "client")?;
    let [until, reason] = of_query(query.as_deref(), ["until", "reason"])?;
    let until = until.as_deref().filter(|until| until.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(until) = until.and_then(|until| until.parse().ok()) else {
        let detail = "until is a time in milliseconds since 1970; one that has passed ends the \
                      revocation";
        return Err(Problem::new(Kind::BadParameter, detail));
    };
    let reason = reason_of(reason.as_deref())?;
    let now = api.broker.wall_clock(api.now());
    let time = Duration::from_millis(until);
    // First, so that no core lets the client in after it has closed its connections.
    api.broker.revocations.revoke(&client, time, now).map_err(|RevocationsFull| {
        let detail =
            format!("{REVOCATIONS_MAX} clients are revoked already, and none of them has ended");
        Problem::new(Kind::RevocationsFull, detail)
    })?;
    let closed = match time > now {
        true => api.close(&client, REVOKED, reason),
        false => 0,
    };
    Ok(json(&json!({ "closed": closed, "until": until })))
}

impl Api {
    /// The connections of a client, as their cores describe them.
    async fn sessions(&self, client: &str) -> Vec<Value> {
        let (answer, mut descriptions) = mpsc::unbounded_channel();
        self.mailbox.tell_all(&CoreMessage::Describe { client: client.into(), answer });
        let mut sessions = Vec::new();
        let all = async {
            while let Some(description) = descriptions.recv().await {
                sessions.push(session(&description));
            }
        };
        // A core that has ended does not answer; the others have.
        let _ = timeout(API_DESCRIPTIONS_WAIT, all).await;
        sessions
    }

    /// Closes every connection of a client; returns how many there are.
    fn close(&self, client: &str, code: CloseCode, reason: &str) -> usize {
        let closed = self.broker.directory.connections(client);
        let order = CoreMessage::Close { client: client.into(), code, reason: reason.into() };
        self.mailbox.tell_all(&order);
        closed as usize
    }
}

fn session(description: &ConnectionDescription) -> Value {
    let ConnectionDescription { connection, transport, expires_at, meta } = description;
    let mut shown = json!({ "connection": connection, "transport": transport });
    if let Some(expires_at) = expires_at {
        shown["expires_at"] = json!(expires_at.as_millis() as u64);
    }
    if let Some(meta) = meta {
        shown["meta"] = serde_json::from_str(meta).unwrap_or_default();
    }
    shown
}

fn reason_of(reason: Option<&str>) -> Result<&str, Problem> {
    let reason = reason.unwrap_or_default();
    match reason.len() <= REASON_BYTES_MAX {
        true => Ok(reason),
        false => {
            let detail = format!("reason has at most {REASON_BYTES_MAX} bytes (RFC 6455 §5.5)");
            Err(Problem::new(Kind::BadParameter, detail))
        }
    }
}

/// The close codes that an application may send: normal closure, a policy violation, or its own
/// codes (RFC 6455 §7.4.2). The gateway sends the others.
fn code_of(text: Option<&str>) -> Result<CloseCode, Problem> {
    let Some(text) = text else { return Ok(CloseCode::NORMAL) };
    let code = text.parse().ok().filter(|code| matches!(code, 1000 | 1008 | 3000..=4999));
    code.filter(|_| text.len() == 4).and_then(CloseCode::new).ok_or_else(|| {
        Problem::new(Kind::BadParameter, "code is 1000, 1008, or a number from 3000 to 4999")
    })
}

fn json(value: &Value) -> Response {
    let media = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, media)], value.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 §7.4: both sides of every boundary.
    #[test]
    fn only_close_codes_for_applications_are_accepted() {
        for (text, code) in [(None, 1000), (Some("1000"), 1000), (Some("1008"), 1008)] {
            assert_eq!(code_of(text).map(u16::from), Ok(code));
        }
        for code in [3000, 4000, 4999] {
            assert_eq!(code_of(Some(&code.to_string())).map(u16::from), Ok(code));
        }
        for text in [
            "", "999", "1001", "1005", "1006", "1007", "1009", "1011", "2999", "5000", "+1000",
            "01000", "a", "70000",
        ] {
            assert_eq!(code_of(Some(text)).unwrap_err().kind, Kind::BadParameter, "{text}");
        }
    }
}
