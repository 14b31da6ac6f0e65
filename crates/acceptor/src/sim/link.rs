//! One simulated TCP connection: bytes in flight, both ends' buffers, FIN and RST.
//!
//! It knows no driver and no time; its caller supplies the random numbers.

use std::{collections::VecDeque, net::SocketAddr};

use fastrand::Rng;

use super::Faults;

/// How a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Freely,
    /// This many bytes per turn.
    AtMost(usize),
}

/// What the driver's side finds when it has received all bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    Open,
    Fin,
    Reset,
}

#[derive(Debug)]
pub(super) struct Link {
    /// The client's address.
    pub(super) address: SocketAddr,
    /// The listener that it connects to.
    pub(super) listener: u16,
    /// Sent by the client, not yet received by the driver.
    pub(super) inbound: VecDeque<u8>,
    pub(super) tail: Tail,
    /// The send buffer of the driver's socket.
    pub(super) outbound: VecDeque<u8>,
    /// Bytes that have left the send buffer, since the beginning.
    pub(super) acknowledged_bytes: u64,
    /// FIN follows the send buffer.
    finishing: bool,
    /// The driver has closed its socket.
    abandoned: bool,
    /// Bytes that the client has read.
    pub(super) arrived: Vec<u8>,
    /// Bytes that the driver's socket took since the last call, if they are recorded.
    pub(super) taken: Option<Vec<u8>>,
    pub(super) reading: Reading,
    /// The client has closed its socket: bytes that reach it are answered by RST.
    pub(super) client_closed: bool,
    pub(super) saw_fin: bool,
    pub(super) saw_reset: bool,
}

impl Link {
    pub(super) fn new(listener: u16, address: SocketAddr) -> Self {
        Self {
            address,
            listener,
            inbound: VecDeque::new(),
            tail: Tail::Open,
            outbound: VecDeque::new(),
            acknowledged_bytes: 0,
            finishing: false,
            abandoned: false,
            arrived: Vec::new(),
            taken: None,
            reading: Reading::Freely,
            client_closed: false,
            saw_fin: false,
            saw_reset: false,
        }
    }

    /// Both ends learn that the connection is over; bytes in flight may be lost.
    pub(super) fn reset(&mut self, rng: &mut Rng) {
        self.tail = Tail::Reset;
        self.saw_reset = true;
        self.outbound.clear();
        if rng.bool() {
            self.inbound.clear();
        }
    }

    /// The client's kernel reads, and answers bytes for a closed socket.
    pub(super) fn progress(&mut self, faults: &Faults, rng: &mut Rng) {
        if self.is_over() {
            return;
        }
        if rng.f64() < faults.reset || (self.client_closed && !self.outbound.is_empty()) {
            return self.reset(rng);
        }
        let mut length = match self.reading {
            Reading::Freely => self.outbound.len(),
            Reading::AtMost(length) => length.min(self.outbound.len()),
        };
        if length > 0 && rng.f64() < faults.short_send {
            length = rng.usize(1..=length);
        }
        self.arrived.extend(self.outbound.drain(..length));
        self.acknowledged_bytes += length as u64;
        if self.finishing && self.outbound.is_empty() && self.reading != Reading::AtMost(0) {
            self.saw_fin = true;
        }
    }

    /// Whether the client's side changes without an action of either end.
    pub(super) fn is_moving(&self) -> bool {
        let has_something = !self.outbound.is_empty() || (self.finishing && !self.saw_fin);
        !self.is_over() && has_something && self.reading != Reading::AtMost(0)
    }

    /// Whether nothing more can happen on it.
    pub(super) fn is_over(&self) -> bool {
        self.tail == Tail::Reset || (self.abandoned && self.saw_fin)
    }

    /// The driver's socket sends: how many of `bytes` its buffer takes.
    pub(super) fn take(&mut self, bytes: &[u8], faults: &Faults, rng: &mut Rng) -> usize {
        let mut length = faults.send_buffer_bytes.saturating_sub(self.outbound.len());
        length = length.min(bytes.len());
        if rng.f64() < faults.short_send {
            length = rng.usize(0..=length);
        }
        self.outbound.extend(&bytes[..length]);
        if let Some(taken) = &mut self.taken {
            taken.extend_from_slice(&bytes[..length]);
        }
        length
    }

    /// Whether a socket that was full is reported writable: a third of its buffer must be free, as
    /// in Linux (`sk_stream_is_writeable`). So a while passes until a reader's progress shows.
    pub(super) fn is_writable(&self, faults: &Faults) -> bool {
        3 * self.outbound.len() <= 2 * faults.send_buffer_bytes
    }

    /// The driver's socket is shut down for sending.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
    }

    /// The driver's socket is closed; with bytes unread that is a reset (RFC 2525 §2.17).
    pub(super) fn abandon(&mut self, unread: Unread, rng: &mut Rng) {
        self.abandoned = true;
        self.finishing = true;
        if unread == Unread::Some || !self.inbound.is_empty() {
            self.reset(rng);
        }
    }
}

/// Whether received bytes were never reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    None,
    Some,
}
