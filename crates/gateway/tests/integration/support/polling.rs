//! Clients without a kept connection: they poll, and they send.
//!
//! Each request uses a new connection, unless one is given.

use serde_json::Value;

use super::{Client, Gateway, Request, Response, target};

/// The answer to a poll.
#[derive(Debug)]
pub struct Answer {
    pub cursor: String,
    pub events: Vec<Value>,
    pub response: Response,
}

impl Answer {
    #[track_caller]
    pub fn of(response: Response) -> Self {
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status, 200, "{} {body}", response.head);
        let value: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
        let cursor = value["cursor"].as_str().unwrap().to_owned();
        let events = value["events"].as_array().unwrap().clone();
        assert_eq!(value.as_object().unwrap().len(), 2, "{body}");
        Self { cursor, events, response }
    }

    /// The data of its events; fails if there is anything else in it.
    #[track_caller]
    pub fn data(&self) -> Vec<&Value> {
        let data = self.events.iter().map(|event| {
            assert_eq!(event["type"], "event", "{event}");
            &event["data"]
        });
        data.collect()
    }
}

/// Polls with this query.
#[track_caller]
pub fn poll(gateway: &Gateway, query: &[(&str, &str)]) -> Answer {
    Answer::of(Client::connect(gateway).requests(&Request::of(&target("/poll", query))))
}

/// Sends a message under this name; returns the status and the object in the answer.
#[track_caller]
pub fn send(gateway: &Gateway, client: &str, message: impl ToString) -> (u16, Value) {
    let target = target("/send", &[("client", client)]);
    let response = Client::connect(gateway).requests(&Request::post(&target, &message.to_string()));
    assert_eq!(response.field("Content-Type"), Some("application/json"), "{response:?}");
    let body = String::from_utf8(response.body).unwrap();
    (response.status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}")))
}
