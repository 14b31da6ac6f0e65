//! WebSocket servers in threads of the test, each with one known way to treat its connections.
//!
//! They read frames, answer as RFC 6455 requires unless told otherwise, and count.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use ringway_frame::{
    CloseCode, Message, MessageReader, Opcode, ReadLimits, Role, emit_close, emit_frame, emit_pong,
    handshake::accept_key,
};

/// How a server treats its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Correctly; messages are echoed.
    Good,
    /// Correctly, but the last byte of each echo is changed.
    Alters,
    /// It answers Close frames and never ends the stream.
    KeepsStreams,
    /// It answers neither Pings nor Close frames.
    Mute,
    /// It refuses every second handshake with 503.
    RefusesHalf,
    /// It sends this text first.
    Greets(&'static str),
    /// It first sends a cursor, which is one more than the cursor in the request.
    Counts,
    /// It closes each connection with 1001 after this time.
    GoesAway(Duration),
    /// It stops listening once it has accepted this many connections.
    Takes(u32),
    /// It takes this long for each handshake, one after another.
    Ponders(Duration),
}

/// A server; it is stopped at the end of the test.
pub struct Server {
    address: SocketAddr,
    counts: Arc<Counts>,
}

/// Counts of the clients' actions.
#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU32,
    upgrades: AtomicU32,
    closes: AtomicU32,
    cuts: AtomicU32,
    resets: AtomicU32,
    messages: AtomicU32,
    cursors: Mutex<Vec<u32>>,
    pondering: Mutex<()>,
}

impl Server {
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Counts>::default();
        let shared = counts.clone();
        thread::spawn(move || {
            let limit = if let Manner::Takes(limit) = manner { limit as usize } else { usize::MAX };
            for socket in listener.incoming().map_while(Result::ok).take(limit) {
                let counts = shared.clone();
                thread::spawn(move || match serve(socket, manner, &counts) {
                    Ok(Farewell::Closed) => counts.closes.fetch_add(1, Ordering::SeqCst),
                    Ok(Farewell::Cut) => counts.cuts.fetch_add(1, Ordering::SeqCst),
                    Err(_) => counts.resets.fetch_add(1, Ordering::SeqCst),
                });
            }
        });
        Self { address, counts }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    pub fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Handshakes that it accepted.
    pub fn upgrades(&self) -> u32 {
        self.counts.upgrades.load(Ordering::SeqCst)
    }

    /// Messages received.
    pub fn messages(&self) -> u32 {
        self.counts.messages.load(Ordering::SeqCst)
    }

    /// Connections that a client ended with a Close frame.
    pub fn closes(&self) -> u32 {
        self.counts.closes.load(Ordering::SeqCst)
    }

    /// Connections that a client ended without a Close frame.
    pub fn cuts(&self) -> u32 {
        self.counts.cuts.load(Ordering::SeqCst)
    }

    /// The cursor of each handshake that had one, in their order.
    pub fn cursors(&self) -> Vec<u32> {
        let mut cursors = self.counts.cursors.lock().unwrap().clone();
        cursors.sort_unstable();
        cursors
    }

    /// Connections that a client reset.
    pub fn resets(&self) -> u32 {
        self.counts.resets.load(Ordering::SeqCst)
    }
}

/// How a client ended its connection.
enum Farewell {
    Closed,
    Cut,
}

fn serve(mut socket: TcpStream, manner: Manner, counts: &Counts) -> io::Result<Farewell> {
    let Some((path, key)) = read_request(&mut socket)? else { return Ok(Farewell::Cut) };
    let Some(key) = key else { return respond(&mut socket, &path) };
    let request = counts.requests.fetch_add(1, Ordering::SeqCst);
    if manner == Manner::RefusesHalf && request % 2 == 1 {
        socket.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(Farewell::Closed);
    }
    if let Manner::Ponders(time) = manner {
        let _one_at_a_time = counts.pondering.lock().unwrap();
        thread::sleep(time);
    }
    let mut out = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: "
        .to_vec();
    out.extend_from_slice(&accept_key(&key));
    out.extend_from_slice(b"\r\n\r\n");
    if let Manner::Greets(text) = manner {
        emit_frame(&mut out, None, Opcode::Text, text.as_bytes());
    }
    if manner == Manner::Counts {
        let cursor = path.split_once("&at=").map(|(_, cursor)| cursor.parse().unwrap());
        counts.cursors.lock().unwrap().extend(cursor);
        let text = format!("{{\"type\":\"welcome\",\"at\":\"{}\"}}", cursor.unwrap_or(0) + 1);
        emit_frame(&mut out, None, Opcode::Text, text.as_bytes());
    }
    socket.write_all(&out)?;
    counts.upgrades.fetch_add(1, Ordering::SeqCst);
    if let Manner::GoesAway(time) = manner {
        thread::sleep(time);
        out.clear();
        emit_close(&mut out, None, Some(CloseCode::GOING_AWAY), "");
        socket.write_all(&out)?;
    }
    converse(&mut socket, manner, counts)
}

/// Answers a request without an upgrade.
fn respond(socket: &mut TcpStream, path: &str) -> io::Result<Farewell> {
    let response: &[u8] = match path.split('?').next() {
        Some("/stream") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        Some("/held") => b"",
        Some("/ends") => b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        Some("/leaves") => return Ok(Farewell::Closed),
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    };
    socket.write_all(response)?;
    // Until the client ends the connection.
    while socket.read(&mut [0; 64])? > 0 {}
    Ok(Farewell::Cut)
}

fn converse(socket: &mut TcpStream, manner: Manner, counts: &Counts) -> io::Result<Farewell> {
    let mut reader = MessageReader::new(Role::Server);
    let (mut buffer, mut is_closed) = ([0; 4096], false);
    loop {
        let bytes = socket.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(if is_closed { Farewell::Closed } else { Farewell::Cut });
        }
        let (mut input, mut out) = (&mut buffer[..bytes], Vec::new());
        while let Ok(Some(message)) = reader.read(&mut input, &ReadLimits::default()) {
            let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
            counts.messages.fetch_add(u32::from(is_data), Ordering::SeqCst);
            match message {
                Message::Ping(payload) => emit_pong(&mut out, None, payload),
                Message::Close(code, _) => {
                    is_closed = true;
                    emit_close(&mut out, None, code, "");
                }
                Message::Text(payload) => emit_frame(&mut out, None, Opcode::Text, &payload),
                Message::Binary(payload) => {
                    emit_frame(&mut out, None, Opcode::Binary, &payload);
                    if manner == Manner::Alters {
                        *out.last_mut().expect("a payload") ^= 1;
                    }
                }
                Message::Pong(_) => {}
            }
        }
        if manner == Manner::Mute {
            continue;
        }
        socket.write_all(&out)?;
        if is_closed && manner != Manner::KeepsStreams {
            return Ok(Farewell::Closed);
        }
    }
}

/// The path of a request, and its `Sec-WebSocket-Key` if it has one; `None` if the client leaves
/// before the request is complete.
fn read_request(socket: &mut TcpStream) -> io::Result<Option<(String, Option<Vec<u8>>)>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).expect("a request of the load generator is ASCII");
    let line = text.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let path = text.split(' ').nth(1).expect("a path").to_owned();
    Ok(Some((path, line.map(|key| key.as_bytes().to_vec()))))
}
