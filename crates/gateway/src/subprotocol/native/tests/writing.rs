//! The gateway's messages, read by an independent parser.

use std::time::Duration;

use ringway_hub::Draft;
use serde_json::{Value, json};

use crate::{
    config::reference::ConfigReference,
    encoding::{
        event::sample,
        native as write,
        native::{CURSOR_BYTES, EventParts},
    },
    session::command_error::{CommandError, ErrorCode},
    subprotocol::native::reply,
};

const CURSOR: &str = "0193c5f2a1b4-0000000000000042";
/// All characters that must be escaped in JSON, and many that need not be.
const HOSTILE: &str = "\"\\/\0\u{1f}\u{7f}\n\r\t</script>\u{2028}é👍";

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = b"before".to_vec();
    write(&mut out);
    let text = out.strip_prefix(b"before").expect("it only appends");
    assert!(!text.contains(&b'\n'), "one line");
    serde_json::from_slice(text).expect("JSON")
}

#[test]
fn every_answer_is_an_object_of_its_type() {
    assert_eq!(
        written(|out| write::welcome(out, HOSTILE, "c-1", CURSOR)),
        json!({"type": "welcome", "client": HOSTILE, "connection": "c-1", "cursor": CURSOR})
    );
    assert_eq!(
        written(|out| write::ack(out, HOSTILE, CURSOR)),
        json!({"type": "ack", "id": HOSTILE, "cursor": CURSOR})
    );
    assert_eq!(
        written(|out| write::gap(out, "a", "b")),
        json!({"type": "gap", "from": "a", "to": "b"})
    );
    assert_eq!(
        written(|out| write::pong(out, CURSOR, None)),
        json!({"type": "pong", "cursor": CURSOR})
    );
}

#[test]
fn a_notified_answer_has_an_outcome_for_each_recipient() {
    let ack = |outcome: &[(&'static str, &'static str)]| {
        written(|out| write::ack_with_outcome(out, "7", CURSOR, outcome.iter().copied()))
    };
    let expected =
        |outcome: Value| json!({"type": "ack", "id": "7", "cursor": CURSOR, "outcome": outcome});
    assert_eq!(ack(&[]), expected(json!({})));
    assert_eq!(ack(&[(HOSTILE, "queued")]), expected(json!({HOSTILE: "queued"})));
    assert_eq!(
        ack(&[("ann", "delivered"), ("bob", "offline")]),
        expected(json!({"ann": "delivered", "bob": "offline"}))
    );
}

#[test]
fn an_error_has_an_id_only_if_the_command_had() {
    let mut error = CommandError {
        code: ErrorCode::BadCursor,
        id: Some(HOSTILE.into()),
        message: HOSTILE.into(),
        reference: None,
        retry_after: None,
    };
    assert_eq!(
        written(|out| reply::error(out, &error)),
        json!({"type": "error", "id": HOSTILE, "code": "bad_cursor", "message": HOSTILE})
    );
    error.id = None;
    assert_eq!(
        written(|out| reply::error(out, &error)),
        json!({"type": "error", "code": "bad_cursor", "message": HOSTILE})
    );
    error.reference = Some(ConfigReference::count("a.b", 3, "topics"));
    assert_eq!(
        written(|out| reply::error(out, &error)),
        json!({"type": "error", "code": "bad_cursor", "message": HOSTILE, "key": "a.b", "limit": 3})
    );
    error.retry_after = Some(Duration::from_micros(1_050_200));
    assert_eq!(written(|out| reply::error(out, &error))["retry_after"], json!(1.051));
}

#[test]
fn an_event_has_room_for_its_cursor() {
    let full = EventParts {
        from: Some(HOSTILE),
        topic: Some("news"),
        name: Some("chat"),
        data: r#"{"b":1,"a":[1.0]}"#,
    };
    let bare = EventParts { from: None, topic: None, name: None, data: "0" };
    let [full, bare] = [full, bare].map(|parts| {
        let mut draft = write::event(parts, 0).expect("memory");
        let cursor_at = draft.fields.cursor;
        draft.text.replace_range(cursor_at..cursor_at + CURSOR_BYTES, CURSOR);
        draft.text.truncate(draft.fields.encoded);
        draft.text
    });
    assert_eq!(
        serde_json::from_str::<Value>(&full).expect("JSON"),
        json!({
            "type": "event", "cursor": CURSOR, "from": HOSTILE, "topic": "news", "event": "chat",
            "data": {"b": 1, "a": [1.0]},
        })
    );
    assert_eq!(bare, format!(r#"{{"type":"event","cursor":"{CURSOR}","data":0}}"#));
    let order = ["\"type\"", "\"cursor\"", "\"from\"", "\"topic\"", "\"event\":", "\"data\""];
    assert!(order.map(|name| full.find(name)).is_sorted(), "{full}");
}

#[test]
fn the_history_lists_an_event_unchanged_with_its_time() {
    let parts = EventParts { from: Some(HOSTILE), topic: Some("news"), name: None, data: "[1]" };
    for time_ms in [0, 1_764_500_000_000, u64::MAX] {
        let draft = || Draft { time_ms, ..write::event(parts, 0).expect("memory") };
        let event = sample(1, draft);
        let mut out = Vec::new();
        write::event_with_time(&mut out, &event);
        assert!(out.len() <= event.text().len() + write::TIME_BYTES);
        let mut listed: Value = serde_json::from_slice(&out).expect("JSON");
        let time = listed.as_object_mut().and_then(|members| members.remove("time"));
        assert_eq!(time, Some(time_ms.into()));
        assert_eq!(listed, serde_json::from_str::<Value>(event.text()).expect("JSON"));
    }
}

#[test]
fn error_codes_have_their_documented_texts() {
    let codes = ErrorCode::ALL.map(ErrorCode::as_str);
    assert_eq!(
        codes.join(" "),
        "not_json unknown_type missing_field unknown_field wrong_type bad_name bad_cursor \
         too_many_recipients too_many_subscriptions not_allowed token_refused not_on_this_transport \
         going_away out_of_memory unavailable rate"
    );
}
