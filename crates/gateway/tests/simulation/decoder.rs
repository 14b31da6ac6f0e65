//! Decodes the gateway's bytes: HTTP responses, then the frames or the stream of a transport.
//!
//! Property: the gateway follows HTTP, RFC 6455 and each transport's form. This is the only reader
//! of its bytes in the simulation; it never knows what was requested.

use std::fmt;

use ringway_frame::{
    CloseCode, Control, DataKind, MessageReader, ProtocolState, ReadLimits, ReadyState, Received,
    Role,
    handshake::client::{Expectation, Verdict},
};
use ringway_http::{Asked, Part, ResponseHead, ResponseLimits, ResponseReader};
use ringway_hub::Cursor;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::checkers::{check, check_eq, fail};

pub const PROPERTY: &str = "the gateway follows HTTP, RFC 6455 and the form of each transport";

/// More than any response of the gateway, except for its body.
const LIMITS: ResponseLimits =
    ResponseLimits { head_bytes_max: 4096, fields_max: 16, body_bytes_max: usize::MAX };

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `/echo`, and requests whose answer is only a status.
    Echo,
    /// `/ws`
    WebSocket(Packing),
    /// `/sse`
    Sse(Names),
    /// `/stream`
    Lines,
    /// `/stream?format=iframe`
    Iframe,
    /// `/poll`
    Poll,
    /// `/send`
    Post,
}

impl Transport {
    /// Whether the transport is one endless response.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Sse(_) | Self::Lines | Self::Iframe)
    }
}

/// The compression that a WebSocket offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// No compression.
    Plain,
    /// Compression without a context, whose result clients may share.
    Shared,
    /// Compression with a context of its own.
    Own,
}

/// Whether an event stream names its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Events are named.
    On,
    /// Events have no names.
    Off,
}

/// One item that the gateway sent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Said {
    /// The head of a 101, or of an endless response.
    Open,
    /// A whole response with this status.
    Response(u16),
    /// A text message, an item of a stream or of a poll, or the body of a response.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The cursor of a heartbeat or of a poll.
    Reached(Cursor),
    /// A ping.
    Ping,
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// A Close with this code and reason.
    Close(Option<u16>, String),
}

/// Long payloads are shown by their length, so that people can read a failure.
impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => write!(f, "the 101 or the head of a stream"),
            Self::Response(status) => write!(f, "a {status}"),
            Self::Text(text) if text.len() > 300 => write!(f, "a text of {} bytes", text.len()),
            Self::Text(text) => write!(f, "the text {text}"),
            Self::Binary(payload) => write!(f, "a binary of {} bytes", payload.len()),
            Self::Reached(cursor) => write!(f, "the cursor {cursor}"),
            Self::Ping => write!(f, "a ping"),
            Self::Pong(payload) => write!(f, "a pong of {} bytes", payload.len()),
            Self::Close(code, reason) => write!(f, "a Close with {code:?} {reason}"),
        }
    }
}

/// Decodes the gateway's bytes on one connection.
pub struct Decoder {
    transport: Transport,
    expectation: Option<Expectation<'static>>,
    responses: ResponseReader,
    /// The body of the current response; on a stream, the current chunk.
    body: Vec<u8>,
    state: DecoderState,
    /// The state of a WebSocket.
    protocol: ProtocolState,
    /// The answer to the gateway's Close that is due, unless the client has closed first.
    owed: Option<Option<CloseCode>>,
}

enum DecoderState {
    /// Between responses, or in a response with this status.
    Response(u16),
    Stream,
    Frames(Box<MessageReader>),
    Over,
}

#[derive(Deserialize)]
struct PollBody<'a> {
    cursor: String,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

impl Decoder {
    /// A decoder for a connection of this kind.
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            expectation: None,
            responses: ResponseReader::default(),
            body: Vec::new(),
            state: DecoderState::Response(0),
            protocol: ProtocolState::new(Role::Client),
            owed: None,
        }
    }

    /// The connection may be upgraded, with the fields in `expectation`.
    pub fn expect(&mut self, expectation: Option<Expectation<'static>>) {
        self.expectation = expectation;
    }

    /// Decodes all of `bytes`.
    pub fn decode(&mut self, mut bytes: Vec<u8>) -> Vec<Said> {
        let mut said = Vec::new();
        let taken = self.responses(&bytes, &mut said);
        self.frames(&mut bytes[taken..], &mut said);
        said
    }

    /// Decodes responses until frames begin or all bytes are read; returns how many bytes they had.
    fn responses(&mut self, bytes: &[u8], said: &mut Vec<Said>) -> usize {
        let mut input = bytes;
        while matches!(self.state, DecoderState::Response(_) | DecoderState::Stream) {
            let part = self.responses.read(&mut input, Asked::Upgrade, &LIMITS);
            match part.unwrap_or_else(|error| fail!("no HTTP: {error:?}")) {
                None => break,
                Some(Part::Interim(head)) => fail!("nobody waits for {head:?}"),
                Some(Part::Head(head)) => {
                    self.state = begin(head, self.expectation);
                    let is_stream = matches!(self.state, DecoderState::Stream);
                    let was_asked = !is_stream || self.transport.is_stream();
                    check!(was_asked, "an endless response was not asked for");
                    if !matches!(self.state, DecoderState::Response(_)) {
                        said.push(Said::Open);
                    }
                }
                Some(Part::Body(piece)) => {
                    self.body.extend_from_slice(piece);
                    if self.responses.is_at_chunk_end() {
                        let chunk = std::mem::take(&mut self.body);
                        item(self.transport, chunk, said);
                    }
                }
                Some(Part::End(_)) => self.end(said),
            }
        }
        bytes.len() - input.len()
    }

    /// The response is complete.
    fn end(&mut self, said: &mut Vec<Said>) {
        let DecoderState::Response(status) = self.state else {
            self.state = DecoderState::Over;
            return;
        };
        let body = String::from_utf8(std::mem::take(&mut self.body));
        let body = body.expect("an answer is UTF-8");
        match self.transport {
            Transport::Poll if status == 200 => poll(&body, said),
            // A client that is refused gets no answer to its command.
            Transport::Post if !matches!(status, 401 | 403) => said.push(Said::Text(body)),
            _ => {}
        }
        said.push(Said::Response(status));
    }

    fn frames(&mut self, mut input: &mut [u8], said: &mut Vec<Said>) {
        if let DecoderState::Frames(reader) = &mut self.state {
            while self.protocol.ready_state() != ReadyState::Closed {
                let message = reader.read(&mut input, &ReadLimits::default());
                let message = message.unwrap_or_else(|fault| fail!("the gateway's fault: {fault}"));
                let Some(message) = message else { return };
                said.push(match self.protocol.receive(message) {
                    Received::Data(kind, payload) | Received::Late(kind, payload) => match kind {
                        DataKind::Text => {
                            Said::Text(payload.as_str().expect("a text is UTF-8").to_owned())
                        }
                        DataKind::Binary => Said::Binary(payload.to_vec()),
                    },
                    Received::Ping(pong) => {
                        check!(pong == Control::Pong(b""), "the gateway's pings are empty");
                        Said::Ping
                    }
                    Received::Pong(payload) => Said::Pong(payload.to_vec()),
                    Received::Close { code, reason, answer } => {
                        self.owed = answer.map(|_| code);
                        Said::Close(code.map(u16::from), reason.to_owned())
                    }
                    // The gateway's Ping crossed the client's Close.
                    Received::Discarded => continue,
                });
            }
        }
        // RFC 6455 §5.5.1: no more frames after a Close.
        check!(input.is_empty(), "{} bytes after the end", input.len());
    }

    /// The client closes its WebSocket: the frame to send, if it may still send one.
    pub fn close(&mut self, code: CloseCode) -> Option<Control<'static>> {
        self.protocol.close(code, "")
    }

    /// Returns the answer to the gateway's Close, once.
    pub fn take_answer(&mut self) -> Option<Control<'static>> {
        self.owed.take().map(|code| Control::Close(code, ""))
    }
}

/// The state after a head.
fn begin(head: ResponseHead<'_>, expectation: Option<Expectation<'static>>) -> DecoderState {
    if head.status == 101 {
        let expectation = expectation.expect("a handshake was sent");
        let Ok(Verdict::Accepted(accepted)) = expectation.verify(head.bytes) else {
            fail!("the handshake was not agreed on");
        };
        return DecoderState::Frames(Box::new(match &accepted.agreement {
            Some(agreement) => MessageReader::with_deflate(Role::Client, agreement),
            None => MessageReader::new(Role::Client),
        }));
    }
    match ["Content-Length", "Transfer-Encoding"].map(|name| head.values(name).count()) {
        [1, 0] => DecoderState::Response(head.status),
        [0, 1] => DecoderState::Stream,
        _ => fail!("a response is of a known length or chunked"),
    }
}

/// Each chunk holds whole objects.
fn item(transport: Transport, chunk: Vec<u8>, said: &mut Vec<Said>) {
    let text = String::from_utf8(chunk).expect("a stream is UTF-8");
    let terminator = if matches!(transport, Transport::Sse(_)) { "\n\n" } else { "\n" };
    let item = text.strip_suffix(terminator).expect("a chunk is whole");
    match transport {
        Transport::Sse(names) => block(item, names, said),
        Transport::Lines => said.push(Said::Text(item.to_owned())),
        Transport::Iframe => script(item, said),
        _ => fail!("an endless response was not asked for"),
    }
}

fn poll(body: &str, said: &mut Vec<Said>) {
    let body: PollBody<'_> = serde_json::from_str(body).expect("the answer to a poll");
    said.extend(body.events.iter().map(|event| Said::Text(event.get().to_owned())));
    said.push(Said::Reached(body.cursor.parse().expect("a cursor")));
}

/// A block of an event stream (HTML Standard §9.2.6), as the gateway writes it.
fn block(block: &str, names: Names, said: &mut Vec<Said>) {
    let (mut id, mut name, mut data) = (None, None, Vec::new());
    for line in block.split('\n') {
        match line.split_once(": ").expect("a field has a value") {
            ("id", value) => id = Some(value),
            ("event", value) => name = Some(value),
            ("data", value) => data.push(value),
            ("retry", _) | ("", "heartbeat") => {}
            (field, _) => fail!("the field {field}"),
        }
    }
    if data.is_empty() {
        let cursor = id.map(|id| id.parse().expect("a cursor"));
        return said.extend(cursor.map(Said::Reached));
    }
    let text = data.join("\n");
    let object: Object = serde_json::from_str(&text).expect("an object");
    let expected = object.to.as_ref().or(object.cursor.as_ref()).map(String::as_str);
    check_eq!(id, expected, "the id of {text}");
    let wanted = match (&*object.kind, names) {
        (_, Names::Off) => None,
        ("event", Names::On) => object.event.as_deref(),
        (kind, _) => Some(kind),
    };
    check_eq!(name, wanted, "the name of {text}");
    said.push(Said::Text(text));
}

fn script(line: &str, said: &mut Vec<Said>) {
    if line.starts_with("<!doctype html>") {
        return;
    }
    let call = line.strip_prefix("<script>deliver(");
    let literal = call.and_then(|call| call.strip_suffix(")</script>")).expect("a call");
    check!(!literal.contains(['<', '>', '&']), "text that could end a script: {literal}");
    let text: String = serde_json::from_str(literal).expect("a string");
    said.push(Said::Text(text));
}

/// An object of the subprotocol, with the members that the simulation needs.
#[derive(Debug, Deserialize)]
pub struct Object {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its cursor.
    pub cursor: Option<String>,
    /// The command that it answers.
    pub id: Option<String>,
    /// Why the command was not performed.
    pub code: Option<String>,
    /// The client in a welcome.
    pub client: Option<String>,
    /// The connection in a welcome.
    pub connection: Option<String>,
    /// The start of a gap, or the sender of an event.
    pub from: Option<String>,
    /// The end of a gap.
    pub to: Option<String>,
    /// The name of an event.
    pub event: Option<String>,
    /// The outcome of a notify.
    pub outcome: Option<std::collections::BTreeMap<String, String>>,
}
