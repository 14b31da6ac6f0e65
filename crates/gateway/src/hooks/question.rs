//! A question to an application: its JSON, and whom the answer is for.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{auth::Ticket, config::HookEvent};

/// A question.
#[derive(Debug)]
pub struct Question {
    /// What it is about.
    pub event: HookEvent,
    /// Whom the answer is for.
    pub ticket: Ticket,
    body: Vec<u8>,
    /// The part of the body that is the same if the same is asked again.
    common_bytes: usize,
}

/// The members of a question; see [`hooks`](super).
#[derive(Debug, Default, Serialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the table of the module says what they mean")]
pub struct About<'q> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'q str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<&'q RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub topics: &'q [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<&'q str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub to: Vec<&'q str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'q str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'q RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<&'q RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

impl<'q> About<'q> {
    /// About a client with this JSON and this end, as time since 1970.
    pub fn client(
        client: Option<&'q str>,
        meta: Option<&'q str>,
        expires_at: Option<Duration>,
    ) -> Self {
        let meta = meta.and_then(raw);
        Self { client, meta, expires_at: expires_at.map(|at| at.as_secs()), ..Self::default() }
    }
}

/// JSON that was checked before.
pub(super) fn raw(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}

impl Question {
    /// A question of a connection with this name; `id` is the client's name for its request.
    pub fn new(
        event: HookEvent,
        about: &About<'_>,
        connection: &str,
        id: Option<&str>,
        ticket: Ticket,
    ) -> Self {
        #[derive(Serialize)]
        struct Common<'q> {
            event: &'static str,
            #[serde(flatten)]
            about: &'q About<'q>,
        }
        #[derive(Serialize)]
        struct Own<'q> {
            connection: &'q str,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'q str>,
        }
        let written = "a struct of texts and checked JSON can be written";
        let mut body = serde_json::to_vec(&Common { event: event.as_str(), about }).expect(written);
        let own = serde_json::to_vec(&Own { connection, id }).expect(written);
        // Two objects become one.
        body.pop();
        let common_bytes = body.len();
        body.push(b',');
        body.extend_from_slice(&own[1..]);
        Self { event, ticket, body, common_bytes }
    }

    /// The body of the POST.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// What is the same if the same is asked again.
    pub fn common(&self) -> &[u8] {
        &self.body[..self.common_bytes]
    }

    /// The body, when nothing else is needed.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use ringway_acceptor::ConnectionId;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_question_is_one_object_whose_beginning_is_common_to_all_connections() {
        let ask = |slot, id| {
            let ticket = Ticket::new(0, ConnectionId::new(slot, 0), 1);
            let about = About {
                data: raw("{\"a\":1.50}"),
                ..About::client(Some("ann\""), Some("[1]"), Some(Duration::from_secs(9)))
            };
            Question::new(HookEvent::Request, &about, &format!("0-{slot}"), id, ticket)
        };
        let (first, second) = (ask(1, Some("7")), ask(2, None));
        assert_eq!(first.common(), second.common());
        let text = std::str::from_utf8(first.body()).unwrap();
        assert!(text.contains("1.50"), "{text}");
        let found: Value = serde_json::from_str(text).unwrap();
        let expected = json!({
            "event": "request", "client": "ann\"", "meta": [1], "expires_at": 9,
            "data": {"a": 1.5}, "connection": "0-1", "id": "7",
        });
        assert_eq!(found, expected);
        assert!(second.body().ends_with(b",\"connection\":\"0-2\"}"));
    }
}
