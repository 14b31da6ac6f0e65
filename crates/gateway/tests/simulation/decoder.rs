//! What a gateway's bytes say: HTTP responses, then the frames or the stream of a transport.
//!
//! Property: the gateway keeps to HTTP, RFC 6455 and each transport's form. The only reader of its
//! bytes in the simulation; it never knows what was asked.

use std::fmt;

use ringway_frame::{
    Message, MessageReader, ReadLimits, Role,
    handshake::client::{Expectation, Verdict},
};
use ringway_hub::Cursor;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::checkers::{check, check_eq, fail};

/// More header fields than any response of the gateway has.
const FIELDS_MAX: usize = 16;

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `/echo`, and requests that are answered with a status alone.
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
    /// Whether it is one endless response.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Sse(_) | Self::Lines | Self::Iframe)
    }
}

/// What a WebSocket asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// No compression.
    Plain,
    /// Compression that many may share.
    Shared,
    /// Compression of its own.
    Own,
}

/// Whether an event stream names its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// One thing that the gateway said.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Said {
    /// The head of a 101, or of an endless response.
    Open,
    /// A whole response with this status.
    Response(u16),
    /// A text message, an item of a stream or of a poll, or the body of an answer.
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

/// Long payloads are shown by their length: a failure is read by a person.
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

/// Decodes what the gateway says on one connection.
pub struct Decoder {
    transport: Transport,
    expectation: Option<Expectation<'static>>,
    unread: Vec<u8>,
    state: DecoderState,
}

enum DecoderState {
    Head,
    Body { status: u16, bytes: usize },
    Chunks,
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
        Self { transport, expectation: None, unread: Vec::new(), state: DecoderState::Head }
    }

    /// The connection may be upgraded as `expectation` says.
    pub fn expect(&mut self, expectation: Option<Expectation<'static>>) {
        self.expectation = expectation;
    }

    /// Decodes all of `bytes`.
    pub fn decode(&mut self, mut bytes: Vec<u8>) -> Vec<Said> {
        let mut said = Vec::new();
        if matches!(self.state, DecoderState::Frames(_)) {
            self.frames(&mut bytes, &mut said);
            return said;
        }
        self.unread.append(&mut bytes);
        while self.step(&mut said) {}
        said
    }

    /// One step; `false`: more bytes are needed.
    fn step(&mut self, said: &mut Vec<Said>) -> bool {
        match self.state {
            DecoderState::Head => self.head(said),
            DecoderState::Body { status, bytes } if self.unread.len() >= bytes => {
                let rest = self.unread.split_off(bytes);
                let body = std::mem::replace(&mut self.unread, rest);
                let body = String::from_utf8(body).expect("an answer is UTF-8");
                match self.transport {
                    Transport::Poll if status == 200 => poll(&body, said),
                    Transport::Post => said.push(Said::Text(body)),
                    _ => {}
                }
                said.push(Said::Response(status));
                self.state = DecoderState::Head;
                true
            }
            DecoderState::Body { .. } => false,
            DecoderState::Chunks => self.chunk(said),
            DecoderState::Frames(_) => {
                let mut bytes = std::mem::take(&mut self.unread);
                self.frames(&mut bytes, said);
                false
            }
            DecoderState::Over => {
                check!(
                    Protocol,
                    self.unread.is_empty(),
                    "{} bytes after the end",
                    self.unread.len()
                );
                false
            }
        }
    }

    fn head(&mut self, said: &mut Vec<Said>) -> bool {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let status = response.parse(&self.unread).expect("the gateway speaks HTTP");
        let httparse::Status::Complete(head_bytes) = status else { return false };
        let code = response.code.expect("a response has a status");
        if code == 101 {
            let expectation = self.expectation.expect("a handshake was sent");
            let Ok(Verdict::Accepted(accepted)) = expectation.verify(&self.unread) else {
                fail!(Protocol, "the handshake was not agreed on");
            };
            self.state = DecoderState::Frames(Box::new(match &accepted.agreement {
                Some(agreement) => MessageReader::with_deflate(Role::Client, agreement),
                None => MessageReader::new(Role::Client),
            }));
            said.push(Said::Open);
        } else {
            let value = |name: &str| {
                let mut named = response.headers.iter().filter(|field| field.name == name);
                named.next().and_then(|field| str::from_utf8(field.value).ok())
            };
            let length = value("Content-Length").and_then(|text| text.trim().parse().ok());
            self.state = match (length, value("Transfer-Encoding")) {
                (Some(bytes), None) => DecoderState::Body { status: code, bytes },
                (None, Some("chunked")) => DecoderState::Chunks,
                _ => fail!(Protocol, "a response is of a known length or chunked"),
            };
            if matches!(self.state, DecoderState::Chunks) {
                said.push(Said::Open);
            }
        }
        self.unread.drain(..head_bytes);
        true
    }

    fn chunk(&mut self, said: &mut Vec<Said>) -> bool {
        let Some(line) = self.unread.windows(2).position(|pair| pair == b"\r\n") else {
            return false;
        };
        let size = str::from_utf8(&self.unread[..line]).expect("a size is ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size is hexadecimal");
        let end = line + 2 + size;
        if self.unread.len() < end + 2 {
            return false;
        }
        let text = self.unread[line + 2..end].to_vec();
        let text = String::from_utf8(text).expect("a stream is UTF-8");
        check_eq!(Protocol, &self.unread[end..end + 2], b"\r\n", "the end of a chunk");
        self.unread.drain(..end + 2);
        if size == 0 {
            self.state = DecoderState::Over;
        }
        let terminator = if matches!(self.transport, Transport::Sse(_)) { "\n\n" } else { "\n" };
        if size > 0 {
            // An object is never cut by the end of a chunk.
            let item = text.strip_suffix(terminator).expect("a chunk is whole");
            match self.transport {
                Transport::Sse(names) => block(item, names, said),
                Transport::Lines => said.push(Said::Text(item.to_owned())),
                Transport::Iframe => script(item, said),
                _ => fail!(Protocol, "an endless response was not asked for"),
            }
        }
        true
    }

    fn frames(&mut self, mut input: &mut [u8], said: &mut Vec<Said>) {
        while let DecoderState::Frames(reader) = &mut self.state {
            let message = reader.read(&mut input, &ReadLimits::default());
            let message =
                message.unwrap_or_else(|fault| fail!(Protocol, "the gateway's fault: {fault}"));
            said.push(match message {
                None => return,
                Some(Message::Text(text)) => {
                    Said::Text(text.as_str().expect("a text is UTF-8").to_owned())
                }
                Some(Message::Binary(payload)) => Said::Binary(payload.to_vec()),
                Some(Message::Ping(payload)) => {
                    check!(Protocol, payload.is_empty(), "the gateway's pings are empty");
                    Said::Ping
                }
                Some(Message::Pong(payload)) => Said::Pong(payload.to_vec()),
                Some(Message::Close(code, reason)) => {
                    let close = Said::Close(code.map(u16::from), reason.to_owned());
                    self.state = DecoderState::Over;
                    close
                }
            });
        }
        // RFC 6455 §5.5.1: no more frames after a Close.
        check!(Protocol, input.is_empty(), "{} bytes after the Close", input.len());
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
            (field, _) => fail!(Protocol, "the field {field}"),
        }
    }
    if data.is_empty() {
        let cursor = id.map(|id| id.parse().expect("a cursor"));
        return said.extend(cursor.map(Said::Reached));
    }
    let text = data.join("\n");
    let object: Object = serde_json::from_str(&text).expect("an object");
    let expected = object.to.as_ref().or(object.cursor.as_ref()).map(String::as_str);
    check_eq!(Protocol, id, expected, "the id of {text}");
    let wanted = match (&*object.kind, names) {
        (_, Names::Off) => None,
        ("event", Names::On) => object.event.as_deref(),
        (kind, _) => Some(kind),
    };
    check_eq!(Protocol, name, wanted, "the name of {text}");
    said.push(Said::Text(text));
}

fn script(line: &str, said: &mut Vec<Said>) {
    if line.starts_with("<!doctype html>") {
        return;
    }
    let call = line.strip_prefix("<script>deliver(");
    let literal = call.and_then(|call| call.strip_suffix(")</script>")).expect("a call");
    check!(Protocol, !literal.contains(['<', '>', '&']), "what could end a script: {literal}");
    let text: String = serde_json::from_str(literal).expect("a string");
    said.push(Said::Text(text));
}

/// An object of the subprotocol, as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct Object {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its cursor.
    pub cursor: Option<String>,
    /// The command that it answers.
    pub id: Option<String>,
    /// Why the command was not carried out.
    pub code: Option<String>,
    /// The client that it welcomes.
    pub client: Option<String>,
    /// The connection that it welcomes.
    pub connection: Option<String>,
    /// Where a gap begins; or a sender.
    pub from: Option<String>,
    /// Where a gap ends.
    pub to: Option<String>,
    /// The name of an event.
    pub event: Option<String>,
    /// What became of a notify.
    pub outcome: Option<std::collections::BTreeMap<String, String>>,
}
