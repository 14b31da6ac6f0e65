//! A relay with a known fault: it sends messages that arrive at `/publish`, by WebSocket or POST,
//! to all clients at `/subscribe`, and to those that have sent a message at `/join`. It echoes
//! messages at `/echo`.
//!
//! It counts its faults, and has no others.

#[path = "requests.rs"]
mod requests;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use ringway_frame::{
    CloseCode, Message, MessageReader, Opcode, ReadLimits, Role, emit_close, emit_frame,
    handshake::accept_key,
};

/// The relay's fault. The numbers count events from 1; the victim is one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Once in this many events, the victim does not get one.
    Drops(u64),
    /// Once in this many events, the victim gets one twice.
    Doubles(u64),
    /// Once in this many events, the victim gets an event after the next one.
    Reorders(u64),
    /// Once in this many events, the victim gets one with another body.
    Corrupts(u64),
    /// The victim gets everything later by this time.
    Slow(Duration),
    /// The victim's connection is closed with 1011 before this event.
    Closes(u64),
    /// The relay ends before this event.
    Dies(u64),
    /// Of this many POST requests, one is answered with 500 and not relayed.
    Refuses(u64),
    /// Each POST response ends its connection.
    ClosesAfterResponses,
    /// Before this event, a POST request gets no response, but is relayed.
    Hangs(u64),
    /// Clients that join become subscribers only after this time.
    JoinsLate(Duration),
}

/// A running relay.
pub struct Relay {
    pub address: SocketAddr,
    room: Arc<Room>,
}

struct Room {
    fault: Fault,
    faults: AtomicU64,
    is_dead: AtomicBool,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// The victim is the first.
    subscribers: Vec<TcpStream>,
    connections: Vec<TcpStream>,
    events: u64,
    history: Vec<String>,
    requests: u64,
    held: Option<Vec<u8>>,
}

impl Relay {
    pub fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let room = Arc::new(Room {
            fault,
            faults: AtomicU64::new(0),
            is_dead: AtomicBool::new(false),
            inside: Mutex::default(),
        });
        let shared = room.clone();
        thread::spawn(move || {
            for socket in listener.incoming() {
                if shared.is_dead.load(Ordering::Acquire) {
                    break;
                }
                let (Ok(socket), shared) = (socket, shared.clone()) else { continue };
                thread::spawn(move || shared.serve(socket));
            }
        });
        Self { address, room }
    }

    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }

    /// The number of faults so far.
    pub fn faults(&self) -> u64 {
        self.room.faults.load(Ordering::Acquire)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.room.is_dead.store(true, Ordering::Release);
        // The accepting thread checks the flag when a client connects.
        let _ = TcpStream::connect(self.address);
    }
}

impl Room {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    fn serve(&self, socket: TcpStream) {
        socket.set_nodelay(true).unwrap();
        self.inside().connections.push(socket.try_clone().unwrap());
        let mut input = BufReader::new(socket);
        while let Some((request, fields)) = read_head(&mut input) {
            let field = |name: &str| {
                let named = fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
                named.map(|(_, value)| value.clone())
            };
            if let Some(key) = field("sec-websocket-key") {
                return self.serve_messages(&request, &key, input);
            }
            if request.starts_with("GET") {
                if self.answer_get(&request, field("if-none-match"), input.get_ref()).is_none() {
                    return;
                }
                continue;
            }
            let length = field("content-length").unwrap().parse().unwrap();
            let mut event = vec![0; length];
            input.read_exact(&mut event).unwrap();
            if self.answer(&request, &event, input.get_mut()).is_none() {
                return;
            }
        }
    }

    /// Answers a POST; `None` if the connection ends.
    fn answer(&self, request: &str, event: &[u8], output: &mut TcpStream) -> Option<()> {
        assert!(request.starts_with("POST /publish"), "{request}");
        let requests = {
            let mut inside = self.inside();
            inside.requests += 1;
            inside.requests
        };
        let response: &[u8] = match self.fault {
            Fault::Refuses(every) if requests.is_multiple_of(every) => {
                self.faults.fetch_add(1, Ordering::AcqRel);
                b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\noops\r\n0\r\n\r\n"
            }
            Fault::ClosesAfterResponses => {
                self.relay_lines(event);
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
            }
            Fault::Hangs(at) => {
                self.relay_lines(event);
                if self.inside().events == at {
                    self.faults.fetch_add(1, Ordering::AcqRel);
                    let _ = output.shutdown(Shutdown::Both);
                    return None;
                }
                b"HTTP/1.1 204 No Content\r\n\r\n"
            }
            _ => {
                self.relay_lines(event);
                b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
            }
        };
        output.write_all(response).ok()?;
        if self.fault == Fault::ClosesAfterResponses {
            let _ = output.shutdown(Shutdown::Both);
            return None;
        }
        Some(())
    }

    fn serve_messages(&self, request: &str, key: &str, mut input: BufReader<TcpStream>) {
        let accept = accept_key(key.as_bytes());
        let accept = std::str::from_utf8(&accept).unwrap();
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        if input.get_mut().write_all(head.as_bytes()).is_err() {
            return;
        }
        let output = input.get_ref().try_clone().unwrap();
        if request.contains("/subscribe") {
            self.inside().subscribers.push(output.try_clone().unwrap());
        }
        let mut reader = MessageReader::new(Role::Server);
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = input.read(&mut buffer) {
            let mut bytes = &mut buffer[..count];
            while let Ok(Some(message)) = reader.read(&mut bytes, &ReadLimits::default()) {
                match message {
                    Message::Text(event) | Message::Binary(event) => {
                        self.hear(request, &event, &output);
                    }
                    Message::Close(code, _) => {
                        let mut close = Vec::new();
                        emit_close(&mut close, None, code, "");
                        let _ = (&output).write_all(&close);
                        let _ = output.shutdown(Shutdown::Both);
                    }
                    _ => {}
                }
            }
        }
    }

    fn hear(&self, request: &str, event: &[u8], mut output: &TcpStream) {
        if request.contains("/echo") {
            let mut reply = Vec::new();
            emit_frame(&mut reply, None, Opcode::Binary, event);
            let _ = output.write_all(&reply);
        } else if request.contains("/publish") {
            self.relay(event);
            let mut acknowledgement = Vec::new();
            emit_frame(&mut acknowledgement, None, Opcode::Text, b"taken");
            let _ = output.write_all(&acknowledgement);
        } else if event.starts_with(b"join ") {
            if let Fault::JoinsLate(time) = self.fault {
                thread::sleep(time);
            }
            let mut welcome = Vec::new();
            emit_frame(&mut welcome, None, Opcode::Text, b"welcome");
            let _ = output.write_all(&welcome);
            self.inside().subscribers.push(output.try_clone().unwrap());
        }
    }

    /// A body has an event on each line.
    fn relay_lines(&self, body: &[u8]) {
        let lines = body.split(|byte| *byte == b'\n');
        lines.filter(|line| !line.is_empty()).for_each(|line| self.relay(line));
    }

    fn relay(&self, event: &[u8]) {
        let mut inside = self.inside();
        inside.events += 1;
        inside.history.push(String::from_utf8_lossy(event).into_owned());
        let number = inside.events;
        let mut frame = Vec::new();
        // Wraps the event in the server's own format.
        let wrapped = [b"{\"event\":\"", event, b"\",\"n~\":1}"].concat();
        emit_frame(&mut frame, None, Opcode::Text, &wrapped);
        let fails = |every: u64| {
            let fails = number.is_multiple_of(every);
            self.faults.fetch_add(u64::from(fails), Ordering::AcqRel);
            fails
        };
        let mut for_victim = frame.clone();
        match self.fault {
            Fault::Drops(every) if fails(every) => for_victim.clear(),
            Fault::Doubles(every) if fails(every) => for_victim.extend_from_slice(&frame),
            Fault::Corrupts(every) if fails(every) => {
                let last = for_victim.len() - b"\",\"n~\":1}".len() - 1;
                for_victim[last] = b'-';
            }
            Fault::Reorders(every) if fails(every) => inside.held = Some(for_victim.split_off(0)),
            Fault::Closes(at) if number == at => {
                for_victim.clear();
                emit_close(&mut for_victim, None, Some(CloseCode::INTERNAL), "");
            }
            Fault::Dies(at) if number >= at => return self.die(&inside),
            _ => {
                if let Some(held) = inside.held.take() {
                    for_victim.extend_from_slice(&held);
                }
            }
        }
        // A subscriber that does not read delays the relay at most until its buffer is full.
        for mut subscriber in inside.subscribers.iter().skip(1) {
            let _ = subscriber.write_all(&frame);
        }
        if let Fault::Slow(time) = self.fault {
            thread::sleep(time);
        }
        if let Some(mut victim) = inside.subscribers.first() {
            let _ = victim.write_all(&for_victim);
        }
        if self.fault == Fault::Closes(number) && !inside.subscribers.is_empty() {
            let victim = inside.subscribers.remove(0);
            let _ = victim.shutdown(Shutdown::Both);
        }
    }

    fn die(&self, inside: &Inside) {
        self.is_dead.store(true, Ordering::Release);
        for connection in &inside.connections {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// The request line and the fields; `None` at the end of the stream.
fn read_head(input: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut request = String::new();
    let mut fields = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => return Some((request, fields)),
            start if request.is_empty() => request = start.to_owned(),
            field => {
                let (name, value) = field.split_once(':').unwrap();
                fields.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
}
