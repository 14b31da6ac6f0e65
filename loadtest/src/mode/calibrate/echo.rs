//! The calibrated echo server: it polls its sockets without ever sleeping, and writes into each
//! message when it received and returned it.
//!
//! It is no model for a server: it supports one kind of client, and takes a core for itself.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use ringway_acceptor::cores;
use ringway_frame::{
    Message, MessageReader, Opcode, ReadLimits, Role, emit_close, emit_frame,
    handshake::server::emit_response,
};
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};

use super::{HELD_FROM, HELD_UNTIL};
use crate::{
    engine::table::Clock,
    measure::quantiles::{LATENCY_DIGITS, Times, record, times},
};

/// The most ready sockets that one poll returns.
const EVENTS_MAX: usize = 256;

const BUFFER_BYTES: usize = 64 << 10;

/// The listening socket of an echo server that is not running yet.
pub struct Site {
    listener: TcpListener,
}

/// A running echo server; dropping it ends it.
pub struct CalibratedEcho {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Times>>,
}

impl Site {
    /// Binds a free port of 127.0.0.1.
    ///
    /// # Errors
    /// bind(2).
    pub fn choose() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the echo")?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// The address of the echo server.
    ///
    /// # Errors
    /// getsockname(2).
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Starts the echo server on `core`, with times of `clock`.
    ///
    /// # Errors
    /// A thread or an epoll set cannot be created.
    pub fn start(self, core: usize, clock: Clock) -> Result<CalibratedEcho> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).context("an epoll set")?;
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&set, &self.listener, data, epoll::EventFlags::IN).context("an epoll set")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        let body = move || {
            // It is calibrated even if it cannot be pinned.
            let _ = cores::pin(core);
            let mut guests = Vec::new();
            let mut buffer = vec![0; BUFFER_BYTES];
            let mut events = Vec::with_capacity(EVENTS_MAX);
            let mut passes = times(LATENCY_DIGITS);
            while !seen.load(Ordering::Relaxed) {
                events.clear();
                let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
                if epoll::wait(&set, spare_capacity(&mut events), Some(&at_once)).is_err() {
                    continue;
                }
                for event in &events {
                    // If a connection breaks, the tester counts it.
                    let _ = match event.data.u64() {
                        LISTENER => admit(&self.listener, &set, &mut guests),
                        index => match guests.get_mut(index as usize) {
                            Some(guest) => serve(guest, &set, &mut buffer, clock, &mut passes),
                            None => Ok(()),
                        },
                    };
                }
            }
            passes
        };
        let thread = thread::Builder::new().name("echo".to_owned()).spawn(body)?;
        Ok(CalibratedEcho { is_over, thread: Some(thread) })
    }
}

impl CalibratedEcho {
    /// Ends the server. Returns how long its writes took, which includes the time that the kernel
    /// takes to carry a message.
    pub fn end(mut self) -> Times {
        self.is_over.store(true, Ordering::Relaxed);
        let passes = self.thread.take().and_then(|thread| thread.join().ok());
        passes.unwrap_or_else(|| times(LATENCY_DIGITS))
    }
}

impl Drop for CalibratedEcho {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread returns nothing.
            let _ = thread.join();
        }
    }
}

const LISTENER: u64 = u64::MAX;

struct Guest {
    socket: TcpStream,
    /// The request's bytes until the handshake is complete.
    head: Vec<u8>,
    reader: Option<MessageReader>,
    out: Vec<u8>,
}

fn admit(
    listener: &TcpListener,
    set: &impl std::os::fd::AsFd,
    guests: &mut Vec<Guest>,
) -> io::Result<()> {
    let (socket, _) = listener.accept()?;
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    let data = epoll::EventData::new_u64(guests.len() as u64);
    epoll::add(set, &socket, data, epoll::EventFlags::IN)?;
    guests.push(Guest { socket, head: Vec::new(), reader: None, out: Vec::new() });
    Ok(())
}

fn serve(
    guest: &mut Guest,
    set: &impl std::os::fd::AsFd,
    buffer: &mut [u8],
    clock: Clock,
    passes: &mut Times,
) -> io::Result<()> {
    let count = guest.socket.read(buffer)?;
    let held_from = clock.now().as_nanos() as u64;
    if count == 0 {
        epoll::delete(set, &guest.socket)?;
        return Ok(());
    }
    let mut input = &mut buffer[..count];
    let Some(reader) = &mut guest.reader else {
        guest.head.extend_from_slice(input);
        if guest.head.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&guest.head).into_owned();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let key = key.unwrap_or_default().as_bytes();
            emit_response(&mut guest.out, key, None, None);
            guest.reader = Some(MessageReader::new(Role::Server));
        }
        return say(&mut guest.socket, &mut guest.out);
    };
    while let Ok(Some(message)) = reader.read(&mut input, &ReadLimits::default()) {
        match message {
            Message::Binary(payload) if payload.len() >= HELD_UNTIL.end => {
                emit_frame(&mut guest.out, None, Opcode::Binary, &payload);
                let start = guest.out.len() - payload.len();
                let sent = &mut guest.out[start..];
                sent[HELD_FROM].copy_from_slice(&held_from.to_be_bytes());
                let held_until = clock.now().as_nanos() as u64;
                sent[HELD_UNTIL].copy_from_slice(&held_until.to_be_bytes());
                say(&mut guest.socket, &mut guest.out)?;
                let held_until = Duration::from_nanos(held_until);
                record(passes, clock.now().saturating_sub(held_until));
            }
            Message::Close(code, _) => {
                emit_close(&mut guest.out, None, code, "");
                say(&mut guest.socket, &mut guest.out)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes everything: messages are short, and the client never stops reading.
fn say(socket: &mut TcpStream, out: &mut Vec<u8>) -> io::Result<()> {
    let said = socket.write_all(out);
    out.clear();
    said
}
