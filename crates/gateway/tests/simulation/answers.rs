//! What a gateway's bytes say: HTTP responses, then messages and control frames.
//!
//! It panics where the gateway breaks HTTP or RFC 6455, and never knows what was asked.

use std::fmt;

use ringway_frame::{
    Message, MessageReader, ReadLimits, Role,
    handshake::client::{Expectation, Verdict},
};

/// More header fields than any response of the gateway has.
const FIELDS_MAX: usize = 16;

/// One thing that the gateway said.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// A response with this status, other than the 101.
    Response(u16),
    /// The 101.
    Upgraded,
    /// A text message.
    Text(Vec<u8>),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping.
    Ping,
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// A Close with this code.
    Close(Option<u16>),
}

impl Answer {
    /// Whether the gateway says nothing after it.
    pub fn is_close(&self) -> bool {
        matches!(self, Self::Close(_))
    }
}

/// Long payloads are told by their length: a failure is to be read by a person.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(status) => write!(f, "a {status}"),
            Self::Upgraded => write!(f, "the 101"),
            Self::Text(payload) => write!(f, "a text of {} bytes", payload.len()),
            Self::Binary(payload) => write!(f, "a binary of {} bytes", payload.len()),
            Self::Ping => write!(f, "a ping"),
            Self::Pong(payload) => write!(f, "a pong of {} bytes", payload.len()),
            Self::Close(code) => write!(f, "a Close with {code:?}"),
        }
    }
}

/// Reads the answers of one connection.
pub struct AnswerReader {
    stage: Stage,
    expectation: Option<Expectation<'static>>,
    limits: ReadLimits,
}

enum Stage {
    /// Responses; the bytes of the one under way.
    Http(Vec<u8>),
    /// Frames.
    Frames(MessageReader),
    /// A Close was read.
    Closed,
}

impl AnswerReader {
    /// A reader for a connection that may be upgraded as `expectation` says.
    pub fn new(expectation: Option<Expectation<'static>>, message_bytes_max: u64) -> Self {
        let limits = ReadLimits { frame_bytes_max: message_bytes_max, message_bytes_max };
        Self { stage: Stage::Http(Vec::new()), expectation, limits }
    }

    /// Reads all of `bytes`.
    pub fn read(&mut self, bytes: Vec<u8>) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut rest = bytes;
        if let Stage::Http(head) = &mut self.stage {
            head.append(&mut rest);
        }
        while let Stage::Http(head) = &mut self.stage {
            let Some((answer, length)) = read_response(head, self.expectation.as_ref()) else {
                return answers;
            };
            rest = head.split_off(length);
            if answer == Answer::Upgraded {
                self.stage = Stage::Frames(MessageReader::new(Role::Client));
            } else {
                std::mem::swap(head, &mut rest);
            }
            answers.push(answer);
        }
        self.read_frames(&mut rest, &mut answers);
        answers
    }

    fn read_frames(&mut self, mut input: &mut [u8], answers: &mut Vec<Answer>) {
        while let Stage::Frames(reader) = &mut self.stage {
            let message = reader.read(&mut input, &self.limits);
            let message = message.unwrap_or_else(|fault| panic!("the gateway's fault: {fault}"));
            answers.push(match message {
                None => return,
                Some(Message::Text(payload)) => Answer::Text(payload.to_vec()),
                Some(Message::Binary(payload)) => Answer::Binary(payload.to_vec()),
                Some(Message::Ping(payload)) => {
                    assert!(payload.is_empty(), "the gateway's pings are empty");
                    Answer::Ping
                }
                Some(Message::Pong(payload)) => Answer::Pong(payload.to_vec()),
                Some(Message::Close(code, _)) => {
                    self.stage = Stage::Closed;
                    Answer::Close(code.map(u16::from))
                }
            });
        }
        // RFC 6455 §5.5.1: no more frames after a Close.
        assert!(input.is_empty(), "{} bytes after the Close", input.len());
    }
}

/// The response at the front of `bytes` and its length, once it is whole.
fn read_response(
    bytes: &[u8],
    expectation: Option<&Expectation<'static>>,
) -> Option<(Answer, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let status = response.parse(bytes).expect("the gateway speaks HTTP");
    let httparse::Status::Complete(head_bytes) = status else { return None };
    let code = response.code.expect("a response has a status");
    if code == 101 {
        let verdict = expectation.expect("a handshake was sent").verify(bytes);
        assert!(matches!(verdict, Ok(Verdict::Accepted(_))), "{verdict:?}");
        return Some((Answer::Upgraded, head_bytes));
    }
    let mut lengths = response.headers.iter().filter(|field| field.name == "Content-Length");
    let length = lengths.next().and_then(|field| str::from_utf8(field.value).ok());
    let length: usize = length.and_then(|text| text.parse().ok()).expect("a response has a length");
    (bytes.len() >= head_bytes + length).then_some((Answer::Response(code), head_bytes + length))
}
