//! A client of the hub over a WebSocket: it sends commands and receives messages.
//!
//! Messages that arrive before an expected answer are kept in order, to be received later.

use std::collections::VecDeque;

use ringway_frame::deflate::Inflater;
use serde_json::{Value, json};

use super::{
    Client, Gateway, Request,
    frames::{FIN, RSV1, TEXT, frame},
    target,
};

/// More than any message of a test.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A WebSocket on `/ws` that has received its welcome.
pub struct Member {
    pub socket: Client,
    /// The welcome.
    pub welcome: Value,
    /// The last cursor that it has seen.
    pub cursor: String,
    /// Keeps its context, if that was negotiated.
    inflater: Inflater,
    agreement: Option<String>,
    /// Received messages that were not read yet.
    waiting: VecDeque<Value>,
}

/// Whether `value` has each member of `members`.
#[track_caller]
pub fn has(value: &Value, members: Value) {
    for (name, member) in members.as_object().unwrap() {
        assert_eq!(value.get(name), Some(member), "{name} in {value}");
    }
}

impl Member {
    /// Joins under this name.
    #[track_caller]
    pub fn joins(gateway: &Gateway, name: &str) -> Self {
        Self::comes(gateway, &[("client", name)])
    }

    /// Joins with this query.
    #[track_caller]
    pub fn comes(gateway: &Gateway, query: &[(&str, &str)]) -> Self {
        Self::upgrades(gateway, &Request::upgrade_of(&target("/ws", query)))
    }

    /// Joins by this request.
    #[track_caller]
    pub fn upgrades(gateway: &Gateway, request: &Request) -> Self {
        let mut socket = Client::connect(gateway);
        socket.sends(request.bytes());
        let response = socket.is_upgraded();
        let agreement = response.field("Sec-WebSocket-Extensions").map(str::to_owned);
        let mut member = Self {
            socket,
            welcome: Value::Null,
            cursor: String::new(),
            inflater: Inflater::new(),
            agreement,
            waiting: VecDeque::new(),
        };
        member.welcome = member.is_told("welcome");
        member
    }

    /// The negotiated parameters of compression.
    pub fn agreement(&self) -> Option<&str> {
        self.agreement.as_deref()
    }

    /// The name of its connection.
    pub fn connection(&self) -> &str {
        self.welcome["connection"].as_str().unwrap()
    }

    /// Sends a message.
    #[track_caller]
    pub fn says(&mut self, message: impl ToString) {
        self.socket.sends(frame(FIN | TEXT, message.to_string()));
    }

    /// The next message as it arrived, and whether it was compressed.
    #[track_caller]
    pub fn receives_text(&mut self) -> (String, bool) {
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
        let frame = self.socket.receives_frame();
        assert_eq!(frame.first & !RSV1, FIN | TEXT, "no text but {frame:?}");
        let is_compressed = frame.first & RSV1 != 0;
        let mut payload = frame.payload;
        if is_compressed {
            let takeover = !self.agreement().unwrap().contains("server_no_context_takeover");
            let mut inflated = Vec::new();
            self.inflater
                .inflate(&payload, true, &mut inflated, MESSAGE_BYTES_MAX)
                .expect("messages that the gateway compresses inflate");
            if !takeover {
                self.inflater = Inflater::new();
            }
            payload = inflated;
        }
        (String::from_utf8(payload).unwrap(), is_compressed)
    }

    /// The next message.
    #[track_caller]
    pub fn receives(&mut self) -> Value {
        let message = match self.waiting.pop_front() {
            Some(message) => message,
            None => serde_json::from_str(&self.receives_text().0).unwrap(),
        };
        let seen = match message["type"].as_str().unwrap() {
            "welcome" | "event" | "pong" => message["cursor"].as_str(),
            "gap" => message["to"].as_str(),
            _ => None,
        };
        if let Some(seen) = seen {
            seen.clone_into(&mut self.cursor);
        }
        message
    }

    /// The next message, which must be of this type.
    #[track_caller]
    pub fn is_told(&mut self, kind: &str) -> Value {
        let message = self.receives();
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// The next message, which must be an event with this data.
    #[track_caller]
    pub fn receives_event(&mut self, data: impl Into<Value>) -> Value {
        let event = self.is_told("event");
        assert_eq!(event["data"], data.into(), "{event}");
        event
    }

    /// Sends a command and receives its answer; events that arrive earlier are kept.
    #[track_caller]
    pub fn asks(&mut self, command: &Value) -> Value {
        self.says(command);
        let earlier = std::mem::take(&mut self.waiting);
        let mut events = Vec::new();
        let answer = loop {
            let message: Value = serde_json::from_str(&self.receives_text().0).unwrap();
            match message["type"].as_str().unwrap() {
                "error" => break message,
                "ack" | "pong" if message["id"] == command["id"] => break message,
                _ => events.push(message),
            }
        };
        self.waiting = earlier.into_iter().chain(events).collect();
        answer
    }

    /// Sends a command that is performed.
    #[track_caller]
    pub fn does(&mut self, command: &Value) -> Value {
        let answer = self.asks(command);
        assert_eq!(answer["type"], "ack", "{command}: {answer}");
        assert!(answer["cursor"].is_string(), "{answer}");
        answer
    }

    /// Sends a command that is refused with this code.
    #[track_caller]
    pub fn is_refused(&mut self, command: impl ToString, code: &str) -> Value {
        let command = command.to_string();
        self.says(&command);
        let answer = self.is_told("error");
        assert_eq!(answer["code"], code, "{command}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
        answer
    }

    /// Notifies recipients, and receives the outcome.
    #[track_caller]
    pub fn notifies(&mut self, id: &str, to: &[&str], data: impl Into<Value>) -> Value {
        let data: Value = data.into();
        self.does(&json!({"type": "notify", "id": id, "to": to, "data": data}))
    }

    /// Publishes to a topic.
    #[track_caller]
    pub fn publishes(&mut self, id: &str, topic: &str, data: impl Into<Value>) -> Value {
        let data: Value = data.into();
        self.does(&json!({"type": "publish", "id": id, "topic": topic, "data": data}))
    }

    #[track_caller]
    pub fn subscribes(&mut self, topic: &str) -> Value {
        self.does(&json!({"type": "subscribe", "id": "s", "topic": topic}))
    }

    #[track_caller]
    pub fn unsubscribes(&mut self, topic: &str) -> Value {
        self.does(&json!({"type": "unsubscribe", "id": "u", "topic": topic}))
    }

    /// Checks that nothing else has arrived: the answer to a ping is the next message. This holds
    /// only for clients on one core, where everything acknowledged before has been sent before.
    #[track_caller]
    pub fn has_received_all(&mut self) {
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
        self.says(r#"{"type":"ping"}"#);
        self.is_told("pong");
    }
}
