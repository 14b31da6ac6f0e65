//! CloudEvents 1.0 in JSON: what an application is told, in the structured and in the batched mode.
//!
//! It writes the attributes and passes the data on as it is. It never sends anything.

use std::time::{Duration, UNIX_EPOCH};

use humantime::format_rfc3339_millis;
use serde_json::value::RawValue;

/// The media type of one event (CloudEvents JSON format §3).
pub const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The media type of an array of events (CloudEvents JSON format §4).
pub const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json; charset=utf-8";

/// Where all events of gateways come from: a URI-reference. The id distinguishes the gateways.
const SOURCE: &str = "/ringway";

/// One event. Its source and its id together are unique (CloudEvents 1.0 §3.1.1).
#[derive(Debug, Clone, Copy)]
pub struct CloudEvent<'a> {
    /// Identifies it, also when it is sent again.
    pub id: &'a str,
    /// What has happened.
    pub kind: &'a str,
    /// When, since 1970.
    pub time: Duration,
    /// The client, or the topic.
    pub subject: Option<&'a str>,
    /// A JSON value.
    pub data: &'a RawValue,
}

#[derive(serde::Serialize)]
struct Attributes<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: &'a str,
    time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

impl CloudEvent<'_> {
    /// The event as a JSON object.
    pub fn to_json(&self) -> Vec<u8> {
        let Self { id, kind, time, subject, data } = *self;
        let time = format_rfc3339_millis(UNIX_EPOCH + time).to_string();
        let attributes = Attributes {
            specversion: "1.0",
            id,
            source: SOURCE,
            r#type: kind,
            time: &time,
            subject,
            datacontenttype: "application/json",
            data,
        };
        serde_json::to_vec(&attributes).expect("all of it can be JSON")
    }
}

/// The body with these events, each of them as a JSON object.
pub fn batch<'e>(events: impl IntoIterator<Item = &'e [u8]>) -> Vec<u8> {
    let mut body = vec![b'['];
    for event in events {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.push(b']');
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(subject: Option<&str>, data: &str) -> Vec<u8> {
        let time = Duration::from_millis(1_796_083_200_007);
        let data = serde_json::from_str(data).unwrap();
        CloudEvent { id: "0193c5f2a1b4.7", kind: "ringway.connect", time, subject, data }.to_json()
    }

    #[test]
    fn an_event_has_the_attributes_of_the_specification() {
        let written: Value = serde_json::from_slice(&event(Some("ann"), r#"{"n":1.50}"#)).unwrap();
        let expected = json!({
            "specversion": "1.0", "id": "0193c5f2a1b4.7", "source": "/ringway",
            "type": "ringway.connect", "time": "2026-12-01T00:00:00.007Z", "subject": "ann",
            "datacontenttype": "application/json", "data": { "n": 1.5 },
        });
        assert_eq!(written, expected);
        // §3: an attribute that is not set is absent, and the data is passed on byte for byte.
        let text = String::from_utf8(event(None, r#"{"a":1.50,"a":[]}"#)).unwrap();
        assert!(!text.contains("subject"), "{text}");
        assert!(text.ends_with(r#","data":{"a":1.50,"a":[]}}"#), "{text}");
        // §3.1: names of attributes are lower-case letters and digits.
        for name in expected.as_object().unwrap().keys() {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        }
    }

    #[test]
    fn a_batch_is_an_array() {
        let events = [event(Some("a\"b"), "1"), event(None, "[2]")];
        let body = batch(events.iter().map(Vec::as_slice));
        let array: Vec<Value> = serde_json::from_slice(&body).unwrap();
        assert_eq!((&array[0]["subject"], &array[1]["data"]), (&json!("a\"b"), &json!([2])));
        assert_eq!(batch([]), b"[]");
    }
}
