//! A client of raw bytes: it reads HTTP as a client does and writes frames by hand; every
//! expectation is a method.
//!
//! It never answers anything by itself: no Pong, no Close.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use ringway_http::{Asked, Ending, Part, ResponseHead, ResponseLimits, ResponseReader};

use super::{Gateway, PATIENCE, Request, frames};

/// One connection to a gateway.
pub struct Client {
    stream: TcpStream,
    /// Received bytes that were not read yet.
    unread: VecDeque<u8>,
    responses: ResponseReader,
}

/// More than any response of the gateway.
const LIMITS: ResponseLimits =
    ResponseLimits { head_bytes_max: 1 << 16, fields_max: 64, body_bytes_max: usize::MAX };

/// A part of a response.
#[derive(Debug)]
enum Received {
    Head(Response),
    Body(Vec<u8>),
    End,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Status line and fields, as received.
    pub head: String,
    pub body: Vec<u8>,
}

/// A frame from the gateway.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// The byte with FIN, reserved bits and opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub fn connect(gateway: &Gateway) -> Self {
        Self::connect_to(gateway.address)
    }

    #[track_caller]
    pub fn connect_to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// An end of an established connection.
    pub fn over(stream: TcpStream) -> Self {
        Self { stream, unread: VecDeque::new(), responses: ResponseReader::default() }
    }

    /// A WebSocket on `/echo`, without extensions.
    #[track_caller]
    pub fn upgrade(gateway: &Gateway) -> Self {
        Self::upgrade_at(gateway.address)
    }

    /// A WebSocket on `/echo` of a gateway with this address.
    #[track_caller]
    pub fn upgrade_at(address: SocketAddr) -> Self {
        let mut client = Self::connect_to(address);
        client.sends(Request::upgrade().bytes());
        client.is_upgraded();
        client
    }

    #[track_caller]
    pub fn sends(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as many bytes as are accepted: the gateway may have closed already.
    pub fn sends_what_is_taken(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Sends each byte in a segment of its own.
    #[track_caller]
    pub fn sends_one_byte_a_segment(&mut self, bytes: impl AsRef<[u8]>) {
        bytes.as_ref().chunks(1).for_each(|byte| self.sends(byte));
    }

    #[track_caller]
    pub fn requests(&mut self, request: &Request) -> Response {
        self.sends(request.bytes());
        self.receives_response()
    }

    /// A response with its body.
    #[track_caller]
    pub fn receives_response(&mut self) -> Response {
        let mut response = self.receives_head();
        if response.status < 200 {
            return response;
        }
        loop {
            match self.receives_part(Asked::Upgrade) {
                Received::Body(piece) => response.body.extend(piece),
                Received::End => return response,
                Received::Head(head) => panic!("a head in a response: {}", head.head),
            }
        }
    }

    /// The next chunk of a response whose head was read; empty for the last one (RFC 9112 §7.1).
    #[track_caller]
    pub fn receives_chunk(&mut self) -> Vec<u8> {
        let mut chunk = Vec::new();
        loop {
            match self.receives_part(Asked::Upgrade) {
                Received::Body(piece) => chunk.extend(piece),
                Received::End => return chunk,
                Received::Head(head) => panic!("a head between chunks: {}", head.head),
            }
            if self.responses.is_at_chunk_end() {
                let end = self.takes(2);
                let read = self.responses.read(&mut &end[..], Asked::Upgrade, &LIMITS);
                assert_eq!(read, Ok(None), "after a chunk");
                return chunk;
            }
        }
    }

    /// A response whose body comes in chunks, read to its end.
    #[track_caller]
    pub fn receives_chunked_response(&mut self) -> Response {
        let response = self.receives_response();
        assert_eq!(response.field("Transfer-Encoding"), Some("chunked"), "{}", response.head);
        response
    }

    /// The head of the next response, even if it is interim; its body may follow.
    #[track_caller]
    pub fn receives_head(&mut self) -> Response {
        self.receives_head_of(Asked::Upgrade)
    }

    /// The response to a HEAD, which has no body, even if its fields give a length.
    #[track_caller]
    pub fn receives_head_alone(&mut self) -> Response {
        self.receives_head_of(Asked::Head)
    }

    #[track_caller]
    fn receives_head_of(&mut self, asked: Asked) -> Response {
        loop {
            match self.receives_part(asked) {
                Received::Head(response) => return response,
                // The end of the previous response, which has no body and was not read to its end.
                Received::End => {}
                Received::Body(piece) => panic!("a body: {:?}", String::from_utf8_lossy(&piece)),
            }
        }
    }

    #[track_caller]
    fn receives_part(&mut self, asked: Asked) -> Received {
        loop {
            let unread = self.unread.make_contiguous();
            let mut input = &*unread;
            let part = self.responses.read(&mut input, asked, &LIMITS).map(|part| {
                part.map(|part| match part {
                    Part::Interim(head) | Part::Head(head) => Received::Head(Response::of(head)),
                    Part::Body(piece) => Received::Body(piece.to_vec()),
                    Part::End(_) => Received::End,
                })
            });
            let taken = unread.len() - input.len();
            self.unread.drain(..taken);
            match part {
                Ok(Some(part)) => return part,
                Ok(None) if self.reads() => {}
                Ok(None) if self.responses.end() == Ending::Completes => return Received::End,
                part => panic!("{part:?}, then: {:?}", self.unread_text()),
            }
        }
    }

    /// RFC 6455 §4.2.2: the 101, with the proof that our key was read.
    #[track_caller]
    pub fn is_upgraded(&mut self) -> Response {
        let response = self.receives_head();
        assert_eq!(response.status, 101, "{}", response.head);
        assert_eq!(response.field("Sec-WebSocket-Accept"), Some(frames::ACCEPT));
        response
    }

    #[track_caller]
    pub fn receives_frame(&mut self) -> Frame {
        let head = self.takes(2);
        assert_eq!(head[1] & 0x80, 0, "RFC 6455 §5.1: a server does not mask");
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.takes(2).try_into().unwrap())),
            127 => u64::from_be_bytes(self.takes(8).try_into().unwrap()),
            short => u64::from(short),
        };
        Frame { first: head[0], payload: self.takes(usize::try_from(length).unwrap()) }
    }

    #[track_caller]
    fn receives(&mut self, first: u8, payload: &[u8]) {
        let frame = self.receives_frame();
        let is_same = frame.first == first && frame.payload == payload;
        let [got, wanted] =
            [&frame.payload, payload].map(|payload| &payload[..payload.len().min(99)]);
        assert!(
            is_same,
            "{:#x} with {} bytes {got:?} instead of {first:#x} with {} bytes {wanted:?}",
            frame.first,
            frame.payload.len(),
            payload.len(),
        );
    }

    #[track_caller]
    pub fn receives_text(&mut self, text: impl AsRef<[u8]>) {
        self.receives(frames::FIN | frames::TEXT, text.as_ref());
    }

    #[track_caller]
    pub fn receives_binary(&mut self, bytes: impl AsRef<[u8]>) {
        self.receives(frames::FIN | frames::BINARY, bytes.as_ref());
    }

    #[track_caller]
    pub fn receives_ping(&mut self) {
        self.receives(frames::FIN | frames::PING, b"");
    }

    #[track_caller]
    pub fn receives_pong(&mut self, payload: impl AsRef<[u8]>) {
        self.receives(frames::FIN | frames::PONG, payload.as_ref());
    }

    /// A Close with this code; its reason.
    #[track_caller]
    pub fn receives_close(&mut self, code: u16) -> String {
        let Frame { first, payload } = self.receives_frame();
        assert_eq!(first, frames::FIN | frames::CLOSE, "no Close but {payload:?}");
        assert!(payload.len() >= 2, "a Close without a code instead of {code}");
        let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
        let received = u16::from_be_bytes([payload[0], payload[1]]);
        assert_eq!(received, code, "{reason}");
        reason
    }

    /// A Close without a code.
    #[track_caller]
    pub fn receives_bare_close(&mut self) {
        self.receives(frames::FIN | frames::CLOSE, b"");
    }

    /// The gateway's FIN, with nothing before it.
    #[track_caller]
    pub fn receives_end(&mut self) {
        assert!(!self.reads() && self.unread.is_empty(), "more came: {:?}", self.unread_text());
    }

    /// Exactly these bytes.
    #[track_caller]
    pub fn receives_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        let wanted = bytes.as_ref();
        let place = self.takes(wanted.len()).iter().zip(wanted).position(|(got, byte)| got != byte);
        assert_eq!(place, None, "the first byte that differs");
    }

    /// The head of a request.
    #[track_caller]
    pub fn receives_request(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.takes(1));
        }
        String::from_utf8(head).unwrap()
    }

    /// A reset, after nothing else.
    #[track_caller]
    pub fn is_reset(&mut self) {
        let read = self.stream.read(&mut [0]);
        assert_eq!(read.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    }

    /// FIN or reset, after any bytes: the connection has ended.
    #[track_caller]
    pub fn is_cut_off(&mut self) {
        let start = Instant::now();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("never cut off"),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
            assert!(start.elapsed() < PATIENCE, "never cut off");
        }
    }

    /// Checks that nothing arrives for this long.
    #[track_caller]
    pub fn receives_nothing_for(&mut self, time: Duration) {
        assert!(self.unread.is_empty(), "{:?}", self.unread_text());
        self.stream.set_read_timeout(Some(time)).unwrap();
        let read = self.stream.read(&mut [0]);
        let kind = read.as_ref().err().map(std::io::Error::kind);
        assert_eq!(kind, Some(ErrorKind::WouldBlock), "something came: {read:?}");
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Waits until bytes have arrived, and leaves them in the kernel.
    #[track_caller]
    pub fn leaves_an_answer_unread(&self) {
        assert_ne!(self.stream.peek(&mut [0]).unwrap(), 0);
    }

    /// Sends FIN; it can still receive.
    pub fn finishes(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Sends RST after all that it has sent.
    #[track_caller]
    pub fn resets(self) {
        // socket(7): a linger time of zero drops unsent bytes; on loopback there are none.
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// From now on every packet for this client is dropped, as when its network goes away: the
    /// kernel acknowledges nothing and answers no probe. The socket still exists.
    pub fn vanishes(&self) {
        // BPF_RET with 0 (bpf(2) of BSD): lets no byte of a packet pass.
        let nothing = [socket2::SockFilter::new(0x06, 0, 0, 0)];
        socket2::SockRef::from(&self.stream).attach_filter(&nothing).unwrap();
    }

    /// Sends `bytes` again and again until the kernel accepts no more for a while, or the gateway
    /// has closed the connection; returns how many bytes were accepted.
    #[track_caller]
    pub fn sends_until_it_stalls(&mut self, bytes: &[u8], most: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut taken = 0;
        while taken < most {
            match self.stream.write(&bytes[taken % bytes.len()..]) {
                Ok(written) => taken += written,
                Err(_) => break,
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        taken
    }

    /// Receives the bytes of one read, at most 64 KiB; they are parsed later.
    #[track_caller]
    pub fn takes_a_piece(&mut self) {
        assert!(self.reads(), "ended after {} bytes", self.unread.len());
    }

    /// Receives this many bytes evenly over this time; they are parsed later.
    #[track_caller]
    pub fn takes_slowly(&mut self, bytes: usize, time: Duration) {
        let steps = 50;
        for _ in 0..steps {
            let goal = self.unread.len() + bytes / steps;
            while self.unread.len() < goal {
                assert!(self.reads(), "ended after {} bytes", self.unread.len());
            }
            std::thread::sleep(time / steps as u32);
        }
    }

    /// A second handle of the connection, to send from another thread.
    pub fn stream(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Exactly this many bytes.
    #[track_caller]
    pub fn takes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.reads(), "ended {} of {count} bytes in", self.unread.len());
        }
        self.unread.drain(..count).collect()
    }

    /// Reads more bytes; returns `false` at the end of the stream.
    #[track_caller]
    fn reads(&mut self) -> bool {
        let mut buffer = vec![0; 1 << 16];
        let count = loop {
            match self.stream.read(&mut buffer) {
                // signal(7): a read with a timeout is not restarted when a stopped process
                // continues.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.unwrap(),
            }
        };
        self.unread.extend(&buffer[..count]);
        count > 0
    }

    fn unread_text(&self) -> String {
        let bytes: Vec<u8> = self.unread.iter().copied().take(200).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Response {
    /// The code of a refusal, in its body.
    #[track_caller]
    pub fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    }

    fn of(head: ResponseHead<'_>) -> Self {
        let text = String::from_utf8(head.bytes.to_vec()).unwrap();
        Self { status: head.status, head: text, body: Vec::new() }
    }

    /// The value of a field; fields of the same name must not repeat in our responses.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let head = ResponseHead { status: self.status, bytes: self.head.as_bytes() };
        let mut values = head.values(name);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice in {}", self.head);
        value.map(|value| std::str::from_utf8(value).unwrap())
    }
}
