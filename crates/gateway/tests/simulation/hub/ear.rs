//! What a gateway's bytes say on each transport: objects of the subprotocol, and how it ends.
//!
//! It panics where the gateway breaks HTTP, RFC 6455 or a transport's own form.

use ringway_frame::{
    Message, MessageReader, ReadLimits, Role,
    handshake::client::{Expectation, Verdict},
};
use ringway_hub::Cursor;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{line::Route, view::one_line};

const FIELDS_MAX: usize = 16;

/// One thing that the gateway said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Heard {
    /// The connection speaks its transport from here on.
    Open,
    /// An object of the subprotocol.
    Object(String),
    /// The cursor of a heartbeat or of a poll.
    Reached(Cursor),
    /// A request was answered.
    Answered(u16),
    /// A ping.
    Ping(Vec<u8>),
    /// A Close.
    Close(Option<u16>, String),
}

/// The listener of one connection.
pub struct Ear {
    route: Route,
    expectation: Option<Expectation<'static>>,
    unread: Vec<u8>,
    stage: Stage,
}

enum Stage {
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

impl Ear {
    /// A listener for a connection of this kind.
    pub fn new(route: Route, expectation: Option<Expectation<'static>>) -> Self {
        Self { route, expectation, unread: Vec::new(), stage: Stage::Head }
    }

    /// Hears all of `bytes`.
    pub fn hear(&mut self, mut bytes: Vec<u8>) -> Vec<Heard> {
        let mut heard = Vec::new();
        if matches!(self.stage, Stage::Frames(_)) {
            self.frames(&mut bytes, &mut heard);
            return heard;
        }
        self.unread.append(&mut bytes);
        while self.step(&mut heard) {}
        heard
    }

    /// One step; `false`: more bytes are needed.
    fn step(&mut self, heard: &mut Vec<Heard>) -> bool {
        match self.stage {
            Stage::Head => self.head(heard),
            Stage::Body { status, bytes } if self.unread.len() >= bytes => {
                let rest = self.unread.split_off(bytes);
                let body = std::mem::replace(&mut self.unread, rest);
                let body = String::from_utf8(body).expect("an answer is UTF-8");
                match self.route {
                    Route::Poll if status == 200 => poll(&body, heard),
                    Route::Post => heard.push(Heard::Object(body)),
                    _ => {}
                }
                heard.push(Heard::Answered(status));
                self.stage = Stage::Head;
                true
            }
            Stage::Body { .. } => false,
            Stage::Chunks => self.chunk(heard),
            Stage::Frames(_) => {
                let mut bytes = std::mem::take(&mut self.unread);
                self.frames(&mut bytes, heard);
                false
            }
            Stage::Over => {
                assert!(self.unread.is_empty(), "{} bytes after the end", self.unread.len());
                false
            }
        }
    }

    fn head(&mut self, heard: &mut Vec<Heard>) -> bool {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let status = response.parse(&self.unread).expect("the gateway speaks HTTP");
        let httparse::Status::Complete(head_bytes) = status else { return false };
        let code = response.code.expect("a response has a status");
        if code == 101 {
            let expectation = self.expectation.expect("a handshake was sent");
            let Ok(Verdict::Accepted(accepted)) = expectation.verify(&self.unread) else {
                panic!("the handshake was not agreed on");
            };
            self.stage = Stage::Frames(Box::new(match &accepted.agreement {
                Some(agreement) => MessageReader::with_deflate(Role::Client, agreement),
                None => MessageReader::new(Role::Client),
            }));
            heard.push(Heard::Open);
        } else {
            let value = |name: &str| {
                let mut named = response.headers.iter().filter(|field| field.name == name);
                named.next().and_then(|field| str::from_utf8(field.value).ok())
            };
            let length = value("Content-Length").and_then(|text| text.trim().parse().ok());
            self.stage = match (length, value("Transfer-Encoding")) {
                (Some(bytes), None) => Stage::Body { status: code, bytes },
                (None, Some("chunked")) => Stage::Chunks,
                _ => panic!("a response is of a known length or chunked"),
            };
            if matches!(self.stage, Stage::Chunks) {
                heard.push(Heard::Open);
            }
        }
        self.unread.drain(..head_bytes);
        true
    }

    fn chunk(&mut self, heard: &mut Vec<Heard>) -> bool {
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
        assert_eq!(&self.unread[end..end + 2], b"\r\n", "the end of a chunk");
        self.unread.drain(..end + 2);
        if size == 0 {
            self.stage = Stage::Over;
        }
        let terminator = if matches!(self.route, Route::Sse(_)) { "\n\n" } else { "\n" };
        if size > 0 {
            // An object is never cut by the end of a chunk.
            let item = text.strip_suffix(terminator).expect("a chunk is whole");
            match self.route {
                Route::Sse(names) => block(item, names, heard),
                Route::Lines => heard.push(Heard::Object(item.to_owned())),
                Route::Iframe => script(item, heard),
                _ => panic!("an endless response was not asked for"),
            }
        }
        true
    }

    fn frames(&mut self, mut input: &mut [u8], heard: &mut Vec<Heard>) {
        while let Stage::Frames(reader) = &mut self.stage {
            let message = reader.read(&mut input, &ReadLimits::default());
            let message = message.unwrap_or_else(|fault| panic!("the gateway's fault: {fault}"));
            heard.push(match message {
                None => return,
                Some(Message::Text(text)) => {
                    let text = text.as_str().expect("a text is UTF-8");
                    Heard::Object(one_line(text))
                }
                Some(Message::Binary(_) | Message::Pong(_)) => panic!("nobody asked for that"),
                Some(Message::Ping(payload)) => Heard::Ping(payload.to_vec()),
                Some(Message::Close(code, reason)) => {
                    let close = Heard::Close(code.map(u16::from), reason.to_owned());
                    self.stage = Stage::Over;
                    close
                }
            });
        }
        assert!(input.is_empty(), "{} bytes after the Close", input.len());
    }
}

fn poll(body: &str, heard: &mut Vec<Heard>) {
    let body: PollBody<'_> = serde_json::from_str(body).expect("the answer to a poll");
    heard.extend(body.events.iter().map(|event| Heard::Object(one_line(event.get()))));
    heard.push(Heard::Reached(body.cursor.parse().expect("a cursor")));
}

/// A block of an event stream (HTML Standard §9.2.6), as the gateway writes it.
fn block(block: &str, names: Names, heard: &mut Vec<Heard>) {
    let (mut id, mut name, mut data) = (None, None, Vec::new());
    for line in block.split('\n') {
        match line.split_once(": ").expect("a field has a value") {
            ("id", value) => id = Some(value),
            ("event", value) => name = Some(value),
            ("data", value) => data.push(value),
            ("retry", _) | ("", "heartbeat") => {}
            (field, _) => panic!("the field {field}"),
        }
    }
    if data.is_empty() {
        let cursor = id.map(|id| id.parse().expect("a cursor"));
        return heard.extend(cursor.map(Heard::Reached));
    }
    let text = data.join(" ");
    let object: Object = serde_json::from_str(&text).expect("an object");
    let expected = object.to.as_ref().or(object.cursor.as_ref()).map(String::as_str);
    assert_eq!(id, expected, "the id of {text}");
    let wanted = match (&*object.kind, names) {
        (_, Names::Off) => None,
        ("event", Names::On) => object.event.as_deref(),
        (kind, _) => Some(kind),
    };
    assert_eq!(name, wanted, "the name of {text}");
    heard.push(Heard::Object(text));
}

fn script(line: &str, heard: &mut Vec<Heard>) {
    if line.starts_with("<!doctype html>") {
        return;
    }
    let call = line.strip_prefix("<script>deliver(");
    let literal = call.and_then(|call| call.strip_suffix(")</script>")).expect("a call");
    assert!(!literal.contains(['<', '>', '&']), "what could end a script: {literal}");
    let text: String = serde_json::from_str(literal).expect("a string");
    heard.push(Heard::Object(one_line(&text)));
}

/// Whether an event stream names its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// It does.
    On,
    /// It does not.
    Off,
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
