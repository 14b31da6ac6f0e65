//! The bytes that one client sends, and the answers that the gateway must give.
//!
//! It never knows how the bytes are split, or when they are sent: `behaviour` decides that.

mod checker;
mod client;
mod population;
mod violation;

use fastrand::Rng;
use ringway_frame::{
    CloseCode, Fragment, Opcode, ReadLimits, emit_close, emit_fragment, emit_frame, emit_ping,
    emit_pong,
    handshake::client::{Expectation, Request},
};

pub use client::{Moment, ScriptedClient};
pub use population::Scripts;

use crate::decoder::Said;
use violation::Violation;

/// Payload lengths on both sides of each change in the form of a frame's header.
const BOUNDARIES: [usize; 7] = [0, 1, 125, 126, 127, 65_535, 65_536];

/// The largest payload of a message.
pub const PAYLOAD_BYTES_MAX: usize = 100 << 10;

/// The bytes and the required answers.
#[derive(Default)]
pub struct Script {
    /// All bytes that the client sends.
    pub bytes: Vec<u8>,
    /// The answers, in order.
    pub owed: Vec<Owed>,
    /// The ends of frames, at which a pong may be inserted; ascending.
    pub frame_ends: Vec<usize>,
    /// Where the frames start.
    pub opening_end: Option<usize>,
    /// The fields that the 101 must have.
    pub expectation: Option<Expectation<'static>>,
    /// Whether the last required answer ends the connection.
    pub is_final: bool,
}

/// An answer, and how much of the script it needs.
pub struct Owed {
    /// The answer.
    pub answer: Said,
    /// It never comes before this many bytes were sent.
    pub earliest: usize,
    /// It comes once this many bytes were sent.
    pub latest: usize,
}

/// A masking key from the seed.
pub fn mask(rng: &mut Rng) -> Option<[u8; 4]> {
    Some(rng.u32(..).to_ne_bytes())
}

impl Script {
    /// A request that is answered with `status`.
    pub fn request(&mut self, head: &str, status: u16) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(head.as_bytes());
        self.owe(Said::Response(status), start);
    }

    /// Requests that leave the connection open.
    pub fn requests(&mut self, count: usize, rng: &mut Rng) {
        const REQUESTS: [(&str, u16); 5] = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            ("\r\nGET /?a=b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", 200),
            ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
            ("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 426),
        ];
        for _ in 0..count {
            let (head, status) = rng.choice(REQUESTS).expect("a choice");
            self.request(head, status);
        }
    }

    /// A request that ends the connection.
    pub fn last_request(&mut self, limits: &ringway_http::head::HeadLimits, rng: &mut Rng) {
        let target = "x".repeat(limits.target_bytes_max);
        let field = format!("A: {}\r\n", "y".repeat(limits.bytes_max));
        let many = "A: b\r\n".repeat(limits.fields_max);
        let (head, status) = match rng.u8(0..9) {
            0 => ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), 200),
            1 => (format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
            2 => (format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n"), 431),
            3 => (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
            4 => ("GET / HTTP/1.1\n".to_owned(), 400),
            5 => ("\x16\x03\x01\x02".to_owned(), 400),
            6 => ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
            7 => ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
            _ => ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".to_owned(), 400),
        };
        self.request(&head, status);
        self.is_final = true;
        if rng.bool() {
            self.requests(1, rng);
            self.owed.pop();
        }
    }

    /// The opening handshake.
    pub fn open(&mut self, rng: &mut Rng) {
        let start = self.bytes.len();
        let request = Request { host: "example.org", target: "/echo", ..Request::default() };
        let nonce = rng.u128(..).to_ne_bytes();
        self.expectation = Some(request.emit(nonce, &mut self.bytes).expect("a sound request"));
        self.owe(Said::Open, start);
        self.opening_end = Some(self.bytes.len());
        self.frame_ends.push(self.bytes.len());
    }

    /// A few messages and control frames.
    pub fn talk(&mut self, items: usize, payload_bytes_max: usize, rng: &mut Rng) {
        for _ in 0..items {
            match rng.u8(0..10) {
                0 => self.ping(rng),
                1 => self.unsolicited_pong(rng),
                2..6 => self.message(payload_bytes_max, rng),
                _ => self.message(payload_bytes_max.min(300), rng),
            }
        }
    }

    /// A message, whole or in fragments with control frames in between.
    pub fn message(&mut self, payload_bytes_max: usize, rng: &mut Rng) {
        let bytes = payload_bytes(payload_bytes_max, rng);
        let (opcode, payload) = match rng.bool() {
            true => (Opcode::Text, text(bytes, rng).into_bytes()),
            false => (Opcode::Binary, std::iter::repeat_with(|| rng.u8(..)).take(bytes).collect()),
        };
        if rng.u8(0..3) > 0 {
            emit_frame(&mut self.bytes, mask(rng), opcode, &payload);
        } else {
            self.fragments(opcode, &payload, rng);
        }
        let answer = match opcode {
            Opcode::Text => Said::Text(String::from_utf8(payload).expect("it was made as text")),
            _ => Said::Binary(payload),
        };
        self.frame_ends.push(self.bytes.len());
        self.owe(answer, self.bytes.len());
    }

    fn fragments(&mut self, opcode: Opcode, payload: &[u8], rng: &mut Rng) {
        let mut rest = payload;
        let mut fragment = Fragment::First(opcode);
        for _ in 0..rng.u8(1..6) {
            let (part, after) = rest.split_at(rng.usize(0..=rest.len()));
            emit_fragment(&mut self.bytes, mask(rng), fragment, part);
            self.frame_ends.push(self.bytes.len());
            (rest, fragment) = (after, Fragment::Middle);
            match rng.u8(0..4) {
                0 => self.ping(rng),
                1 => self.unsolicited_pong(rng),
                _ => {}
            }
        }
        emit_fragment(&mut self.bytes, mask(rng), Fragment::Last, rest);
    }

    fn ping(&mut self, rng: &mut Rng) {
        let payload: Vec<u8> = (0..rng.u8(0..126)).collect();
        emit_ping(&mut self.bytes, mask(rng), &payload);
        self.frame_ends.push(self.bytes.len());
        self.owe(Said::Pong(payload), self.bytes.len());
    }

    fn unsolicited_pong(&mut self, rng: &mut Rng) {
        emit_pong(&mut self.bytes, mask(rng), &vec![b'p'; rng.usize(0..126)]);
        self.frame_ends.push(self.bytes.len());
    }

    /// A Close, and perhaps more bytes, which must not be answered.
    pub fn close(&mut self, rng: &mut Rng) {
        let codes = [1000, 1001, 1002, 1003, 1007, 1010, 1014, 3000, 4999];
        let code = rng.choice(codes).filter(|_| rng.u8(0..5) > 0);
        let reason = &"ciao ".repeat(24)[..rng.usize(0..120)];
        emit_close(&mut self.bytes, mask(rng), code.and_then(CloseCode::new), reason);
        // RFC 6455 §5.5.1: answered with the same code.
        self.owe(Said::Close(code, String::new()), self.bytes.len());
        self.end(rng);
    }

    /// A violation of the protocol, perhaps inside a message, and perhaps more bytes after it.
    pub fn violate(&mut self, violation: Violation, limits: &ReadLimits, rng: &mut Rng) {
        if violation.fits_inside_a_message() && rng.bool() {
            emit_fragment(&mut self.bytes, mask(rng), Fragment::First(Opcode::Binary), b"begun");
            self.frame_ends.push(self.bytes.len());
        }
        let start = self.bytes.len();
        violation.write(&mut self.bytes, limits, rng);
        self.owe(Said::Close(Some(violation.close_code()), String::new()), start + 1);
        self.end(rng);
    }

    /// A random violation.
    pub fn violate_somehow(&mut self, limits: &ReadLimits, rng: &mut Rng) {
        self.violate(rng.choice(violation::ALL).expect("a choice"), limits, rng);
    }

    fn end(&mut self, rng: &mut Rng) {
        self.is_final = true;
        if rng.bool() {
            emit_frame(&mut self.bytes, mask(rng), Opcode::Text, b"after the end");
            self.bytes.extend(std::iter::repeat_n(0xFF, rng.usize(0..5_000)));
        }
    }

    /// Requires an answer to the bytes up to here, never before the first `earliest` bytes.
    fn owe(&mut self, answer: Said, earliest: usize) {
        self.owed.push(Owed { answer, earliest, latest: self.bytes.len() });
    }
}

fn payload_bytes(max: usize, rng: &mut Rng) -> usize {
    let bytes = match rng.u8(0..10) {
        0..3 => rng.choice(BOUNDARIES).expect("a choice"),
        3..7 => rng.usize(0..200),
        7..9 => rng.usize(0..5_000),
        _ => rng.usize(0..=PAYLOAD_BYTES_MAX),
    };
    bytes.min(max)
}

/// A text of this many bytes, with code points of all lengths.
fn text(bytes: usize, rng: &mut Rng) -> String {
    let mut text = String::with_capacity(bytes + 4);
    while text.len() < bytes {
        let code_point = match rng.u8(0..8) {
            0 => rng.char('\u{80}'..'\u{800}'),
            1 => rng.char('\u{800}'..'\u{FFFF}'),
            2 => rng.char('\u{10000}'..),
            _ => rng.char(' '..'~'),
        };
        let room = bytes - text.len();
        text.push(if code_point.len_utf8() <= room { code_point } else { '.' });
    }
    text
}
