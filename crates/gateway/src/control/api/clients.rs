//! `/v1/clients/{id}`: whether a client is connected, and how to close its connections.
//!
//! The directory knows whether it is connected, and the log which events wait for it. The cores are
//! asked to close it, and do so in their next turn.

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use ringway_frame::{CONTROL_BYTES_MAX, CloseCode};
use ringway_hub::{Liveness, Sighting};
use serde_json::json;

use crate::{
    broker::{Waiting, mailbox::CoreMessage},
    control::api::{
        Api,
        parameters::{name_in, none_in, of_query},
        problem::{Kind, Problem},
    },
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
    Ok(json(&json!({ "client": client, "presence": liveness, "connections": connections })))
}

/// `DELETE /v1/clients/{id}?code=&reason=`
pub async fn close(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let client = name_in(path, "client")?;
    let [code, reason] = of_query(query.as_deref(), ["code", "reason"])?;
    let code = code_of(code.as_deref())?;
    let reason = reason.unwrap_or_default();
    if reason.len() > REASON_BYTES_MAX {
        let detail = format!("reason has at most {REASON_BYTES_MAX} bytes (RFC 6455 §5.5)");
        return Err(Problem::new(Kind::BadParameter, detail));
    }
    let closed = api.broker.directory.connections(&client);
    let order = CoreMessage::Close { client: client.into(), code, reason: (*reason).into() };
    api.mailbox.tell_all(&order);
    Ok(json(&json!({ "closed": closed })))
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

fn json(value: &serde_json::Value) -> Response {
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
