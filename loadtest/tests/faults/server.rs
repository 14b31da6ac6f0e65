//! An echo server with a known fault: one thread per connection, with blocking sockets.
//!
//! It counts messages over all connections, so that a fault affects exactly the intended ones.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ringway_frame::{
    CloseCode, Fragment, Message, MessageReader, Opcode, ReadLimits, Role, emit_close,
    emit_fragment, emit_frame, emit_ping,
    handshake::{accept_key, server::emit_response},
};
use socket2::SockRef;

/// The fault in messages. `every` is a number of messages over all connections; the first affected
/// message is number `every / 2`, from 0.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Nothing,
    /// Starts at number 0: a reply is late, and so are the later replies of its connection.
    Delay {
        every: u64,
        by: Duration,
    },
    /// From this message on, no connection gets a reply for a while.
    Stall {
        at: u64,
        lasting: Duration,
    },
    Drop {
        every: u64,
    },
    Double {
        every: u64,
    },
    /// A reply is sent after the next one of its connection.
    Reorder {
        every: u64,
    },
    Truncate {
        every: u64,
        to: usize,
    },
    /// The last byte is changed.
    Flip {
        every: u64,
    },
    /// The message appears to be another connection's.
    Misdeliver {
        every: u64,
    },
    /// Text is sent back as a binary message.
    Retype {
        every: u64,
    },
    Close {
        after: u64,
        code: CloseCode,
    },
    Reset {
        after: u64,
    },
    /// FIN without a Close frame.
    End {
        after: u64,
    },
    /// RFC 6455 §5.1: a client must fail the connection.
    Mask {
        after: u64,
    },
    /// It answers each message with this text.
    Says(&'static str),
    /// No fault: echoes have other text around them, and a greeting comes first.
    Wraps,
    /// No fault: a ping comes before each of these replies.
    Ping {
        every: u64,
    },
    /// No fault: each reply comes in two fragments.
    Fragment,
}

/// The fault in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    Upgrades,
    /// Every second connection is never answered.
    IgnoresEverySecond,
    /// 103 before 101.
    Hints,
    Never,
    Status503,
    WrongAccept,
    Garbage,
    Reset,
    Cut,
    /// No fault: the response arrives byte by byte.
    Trickles,
    /// No fault: a message follows in the same segment.
    SpeaksFirst,
}

pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    fault: Fault,
    opening: Opening,
    messages: AtomicU64,
    connections: AtomicU64,
    pongs: AtomicU64,
    stalled_until: Mutex<Option<Instant>>,
    is_over: AtomicBool,
    sockets: Mutex<Vec<Weak<TcpStream>>>,
}

impl Server {
    pub fn start(fault: Fault) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), fault, Opening::Upgrades)
    }

    pub fn opening(opening: Opening) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), Fault::Nothing, opening)
    }

    pub fn start_on(address: SocketAddr, fault: Fault, opening: Opening) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            fault,
            opening,
            messages: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            pongs: AtomicU64::new(0),
            stalled_until: Mutex::new(None),
            is_over: AtomicBool::new(false),
            sockets: Mutex::new(Vec::new()),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if serving.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let socket = Arc::new(socket);
                serving.sockets.lock().unwrap().push(Arc::downgrade(&socket));
                let serving = serving.clone();
                // In most tests, connections are meant to break.
                thread::spawn(move || drop(serve(&socket, &serving)));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("ws://{}/echo", self.address)
    }

    pub fn pongs(&self) -> u64 {
        self.shared.pongs.load(Ordering::SeqCst)
    }

    /// Ends all connections and stops listening, as a process that dies does.
    pub fn die(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // The accepting thread then sees the flag, and releases the listener.
        drop(TcpStream::connect(self.address));
        for socket in self.shared.sockets.lock().unwrap().drain(..) {
            if let Some(socket) = socket.upgrade() {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }
}

fn serve(mut socket: &TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    if !open(socket, shared.opening, number)? {
        return Ok(());
    }
    let (mut reader, limits) = (MessageReader::new(Role::Server), ReadLimits::default());
    let (mut buffer, mut out, mut held) = (vec![0; 1 << 16], Vec::new(), None);
    loop {
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut input = &mut buffer[..count];
        while let Ok(Some(message)) = reader.read(&mut input, &limits) {
            let (opcode, payload) = match message {
                Message::Binary(payload) => (Opcode::Binary, payload.to_vec()),
                Message::Text(payload) => (Opcode::Text, payload.to_vec()),
                Message::Pong(_) => {
                    shared.pongs.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                Message::Close(code, _) => {
                    emit_close(&mut out, None, code, "");
                    socket.write_all(&out)?;
                    return Ok(());
                }
                Message::Ping(_) => continue,
            };
            let index = shared.messages.fetch_add(1, Ordering::SeqCst);
            let flow = reply(index, opcode, payload, shared, &mut held, &mut out);
            socket.write_all(&out)?;
            out.clear();
            match flow {
                Flow::On => {}
                Flow::End => return Ok(()),
                Flow::Reset => return reset(socket),
            }
        }
    }
}

enum Flow {
    On,
    End,
    Reset,
}

fn is_hit(index: u64, every: u64) -> bool {
    index % every == every / 2
}

/// Writes the reply to message `index`, with its fault, to `out`.
fn reply(
    index: u64,
    opcode: Opcode,
    mut payload: Vec<u8>,
    shared: &Shared,
    held: &mut Option<Vec<u8>>,
    out: &mut Vec<u8>,
) -> Flow {
    let mut answer = opcode;
    let mut copies = 1;
    match shared.fault {
        Fault::Delay { every, by } if index.is_multiple_of(every) => thread::sleep(by),
        Fault::Stall { at, lasting } => stall(index == at, lasting, shared),
        Fault::Drop { every } if is_hit(index, every) => copies = 0,
        Fault::Double { every } if is_hit(index, every) => copies = 2,
        Fault::Reorder { every } if is_hit(index, every) => {
            *held = Some(payload);
            return Flow::On;
        }
        Fault::Truncate { every, to } if is_hit(index, every) => payload.truncate(to),
        Fault::Flip { every } if is_hit(index, every) => *payload.last_mut().unwrap() ^= 1,
        Fault::Misdeliver { every } if is_hit(index, every) => payload[3] ^= 1,
        Fault::Retype { every } if is_hit(index, every) => answer = Opcode::Binary,
        Fault::Close { after, code } if index >= after && index.is_multiple_of(after) => {
            emit_close(out, None, Some(code), "");
            return Flow::End;
        }
        Fault::Reset { after } if index >= after && index.is_multiple_of(after) => {
            return Flow::Reset;
        }
        Fault::End { after } if index >= after && index.is_multiple_of(after) => return Flow::End,
        Fault::Mask { after } if index >= after && index.is_multiple_of(after) => {
            emit_frame(out, Some([1, 2, 3, 4]), opcode, &payload);
            return Flow::On;
        }
        Fault::Says(text) => {
            emit_frame(out, None, Opcode::Text, text.as_bytes());
            return Flow::On;
        }
        Fault::Wraps => {
            emit_frame(out, None, Opcode::Text, b"{\"type\":\"ack\"}");
            payload.splice(..0, b"{\"you said\":".iter().copied());
            payload.push(b'}');
        }
        Fault::Ping { every } if is_hit(index, every) => emit_ping(out, None, b"there?"),
        Fault::Fragment => {
            let half = payload.len() / 2;
            emit_fragment(out, None, Fragment::First(opcode), &payload[..half]);
            emit_fragment(out, None, Fragment::Last, &payload[half..]);
            return Flow::On;
        }
        _ => {}
    }
    for _ in 0..copies {
        emit_frame(out, None, answer, &payload);
    }
    if let Some(late) = held.take() {
        emit_frame(out, None, opcode, &late);
    }
    Flow::On
}

fn stall(begins: bool, lasting: Duration, shared: &Shared) {
    let mut stalled_until = shared.stalled_until.lock().unwrap();
    if begins {
        *stalled_until = Some(Instant::now() + lasting);
    }
    let until = *stalled_until;
    drop(stalled_until);
    if let Some(until) = until {
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}

/// Makes the socket end with RST instead of FIN.
fn reset(socket: &TcpStream) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

fn open(mut socket: &TcpStream, opening: Opening, number: u64) -> io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let key = head
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
        })
        .unwrap();
    assert_eq!(accept_key(key.as_bytes()).len(), 28);
    let mut response = Vec::new();
    emit_response(&mut response, key.as_bytes(), None, None);
    match opening {
        Opening::IgnoresEverySecond if number % 2 == 1 => return wait_for_end(socket),
        Opening::Never => return wait_for_end(socket),
        Opening::Status503 => {
            response = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        Opening::WrongAccept => {
            response.clear();
            emit_response(&mut response, b"AAAAAAAAAAAAAAAAAAAAAA==", None, None);
        }
        Opening::Garbage => response = b"\x00\x01\x02 220 smtp.example ESMTP\r\n\r\n".to_vec(),
        Opening::Reset => {
            reset(socket)?;
            return Ok(false);
        }
        Opening::Cut => {
            socket.write_all(&response[..20])?;
            socket.shutdown(Shutdown::Write)?;
            return wait_for_end(socket);
        }
        Opening::Trickles => {
            for byte in response.drain(..) {
                socket.write_all(&[byte])?;
            }
        }
        Opening::Hints => {
            let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
            response.splice(..0, hints.iter().copied());
        }
        Opening::SpeaksFirst => emit_frame(&mut response, None, Opcode::Text, b"welcome"),
        Opening::Upgrades | Opening::IgnoresEverySecond => {}
    }
    socket.write_all(&response)?;
    Ok(true)
}

fn wait_for_end(mut socket: &TcpStream) -> io::Result<bool> {
    io::copy(&mut socket, &mut io::sink())?;
    Ok(false)
}
