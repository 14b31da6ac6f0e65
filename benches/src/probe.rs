//! One echo client at a fixed rate, in the same thread as a crowd that loads the server: how long
//! do others wait?
//!
//! An open loop: messages leave at intended times, whatever comes back, and latency counts from
//! there. How late the tester itself sent is told apart.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use ringway_frame::{MaskKeys, Opcode, emit_frame};

use crate::{
    crowd::latencies,
    opening::{Link, Target},
    visit::Visit,
};

const PAYLOAD: &[u8; 64] = &[b'x'; 64];

/// Two bytes of header (RFC 6455 §5.2).
const ECHO_BYTES: usize = 2 + PAYLOAD.len();

/// The client.
#[derive(Debug)]
pub struct Probe {
    socket: TcpStream,
    frame: Vec<u8>,
    interval: Duration,
    due: Duration,
    /// When each outstanding message should have been sent.
    sent_at: VecDeque<Duration>,
    received: usize,
    latencies: Histogram<u64>,
    delays: Histogram<u64>,
}

impl Probe {
    /// Connects to `/echo`.
    ///
    /// # Errors
    /// The server refuses.
    pub fn open(target: &Target) -> Result<Self> {
        let mut frame = Vec::new();
        emit_frame(&mut frame, Some(MaskKeys::new().draw()), Opcode::Binary, PAYLOAD);
        Ok(Self {
            socket: Visit::silent("/echo").begin(target, Link::Loopback)?,
            frame,
            interval: Duration::MAX,
            due: Duration::ZERO,
            sent_at: VecDeque::new(),
            received: 0,
            latencies: latencies()?,
            delays: latencies()?,
        })
    }

    /// From `now` on, so many messages a second.
    pub fn begin(&mut self, rate: u32, now: Duration) {
        self.interval = Duration::from_secs(1) / rate;
        self.due = now;
    }

    /// Whether echoes are outstanding.
    pub fn is_waiting(&self) -> bool {
        !self.sent_at.is_empty()
    }

    /// Sends what is due.
    ///
    /// # Errors
    /// The connection breaks.
    pub fn send(&mut self, now: Duration) -> Result<()> {
        while self.due <= now {
            self.socket.write_all(&self.frame)?;
            self.sent_at.push_back(self.due);
            self.delays.saturating_record((now - self.due).as_nanos() as u64);
            self.due += self.interval;
        }
        Ok(())
    }

    /// Reads the echoes that are there; `clock` says when that was.
    ///
    /// # Errors
    /// The connection breaks, or an echo was not asked for.
    pub fn receive(&mut self, clock: impl FnOnce() -> Duration) -> Result<()> {
        if !self.is_waiting() {
            return Ok(());
        }
        let mut buffer = [0; 16 * ECHO_BYTES];
        match self.socket.read(&mut buffer) {
            Ok(0) => bail!("the server has closed the echo's connection"),
            Ok(count) => self.received += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let now = clock();
        while self.received >= ECHO_BYTES {
            let Some(sent_at) = self.sent_at.pop_front() else {
                bail!("an echo of nothing that was sent");
            };
            self.received -= ECHO_BYTES;
            self.latencies.saturating_record(now.saturating_sub(sent_at).as_nanos() as u64);
        }
        Ok(())
    }

    /// From the intended send time to the echo.
    pub fn latencies_mut(&mut self) -> &mut Histogram<u64> {
        &mut self.latencies
    }

    /// From the intended to the real send time: the tester's own part.
    pub fn delays_mut(&mut self) -> &mut Histogram<u64> {
        &mut self.delays
    }
}
