//! The floor's state of each socket: its chunks of the turn, and its backlog.
//!
//! Invariant: `armed` neither moves nor changes from [`Sockets::arm`] to [`Sockets::disarm`]. It
//! never touches a socket.

use std::ops::Range;

/// Bytes to be sent.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// A part of a buffer that was received into.
    Received(u16, Range<usize>),
    /// Memory that the turn owns, by its index.
    Owned(usize),
}

/// The kind of an operation: the upper half of its user data; the lower half is a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Accept,
    Receive,
    /// A send of the turn; it completes in the enter that submits it, and only if it was short.
    Send,
    Backlog,
    /// Its completion needs no action.
    Done,
}

pub fn user_data(kind: Kind, slot: u32) -> u64 {
    (kind as u64) << 32 | u64::from(slot)
}

pub fn kind_of(user_data: u64) -> Kind {
    const KINDS: [Kind; 5] = [Kind::Accept, Kind::Receive, Kind::Send, Kind::Backlog, Kind::Done];
    KINDS[(user_data >> 32) as usize]
}

pub fn slot_of(user_data: u64) -> u32 {
    user_data as u32
}

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Socket {
    /// The first of its chunks in the turn.
    first: u32,
    last: u32,
    backlog: Option<Box<Backlog>>,
}

/// Bytes that the client was too slow to take.
#[derive(Debug, Default)]
struct Backlog {
    armed: Vec<u8>,
    sent: usize,
    is_armed: bool,
    queued: Vec<u8>,
}

/// All sockets, by slot.
pub struct Sockets {
    list: Vec<Socket>,
    /// The chunks of the turn, each with the index of the next one of its socket.
    chunks: Vec<(Chunk, u32)>,
    touched: Vec<u32>,
    ended: Vec<u32>,
}

impl Sockets {
    pub fn new(slots: u32) -> Self {
        let socket = |_| Socket { first: NONE, last: NONE, backlog: None };
        Self {
            list: (0..slots).map(socket).collect(),
            chunks: Vec::new(),
            touched: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Adds a chunk to the turn's sends.
    pub fn add(&mut self, slot: u32, chunk: Chunk) {
        let place = self.chunks.len() as u32;
        self.chunks.push((chunk, NONE));
        let socket = &mut self.list[slot as usize];
        match socket.last {
            NONE => {
                socket.first = place;
                self.touched.push(slot);
            }
            last => self.chunks[last as usize].1 = place,
        }
        self.list[slot as usize].last = place;
    }

    /// The numbers of sockets and of chunks in the turn.
    pub fn sizes(&self) -> (usize, usize) {
        (self.touched.len(), self.chunks.len())
    }

    /// The sockets that the turn sends to.
    pub fn touched(&self, index: usize) -> u32 {
        self.touched[index]
    }

    /// The first chunk for a socket, and the index of the next one.
    pub fn first(&self, slot: u32) -> Option<(&Chunk, u32)> {
        self.chunk(self.list[slot as usize].first)
    }

    /// The chunk at an index, and the index of the next one.
    pub fn chunk(&self, place: u32) -> Option<(&Chunk, u32)> {
        self.chunks.get(place as usize).map(|(chunk, next)| (chunk, *next))
    }

    pub fn forget_turn(&mut self) {
        for slot in self.touched.drain(..) {
            let socket = &mut self.list[slot as usize];
            (socket.first, socket.last) = (NONE, NONE);
        }
        self.chunks.clear();
    }

    /// Whether a backlog must be sent before new bytes.
    pub fn is_behind(&self, slot: u32) -> bool {
        self.list[slot as usize].backlog.is_some()
    }

    /// Puts a copy of `bytes` behind the backlog.
    pub fn queue(&mut self, slot: u32, bytes: &[u8]) {
        let backlog = self.list[slot as usize].backlog.get_or_insert_default();
        backlog.queued.extend_from_slice(bytes);
    }

    /// The bytes to send next, which do not change until [`Self::disarm`].
    pub fn arm(&mut self, slot: u32) -> Option<&[u8]> {
        let backlog = self.list[slot as usize].backlog.as_mut()?;
        if backlog.is_armed {
            return None;
        }
        if backlog.sent == backlog.armed.len() {
            backlog.sent = 0;
            backlog.armed = std::mem::take(&mut backlog.queued);
        }
        backlog.is_armed = true;
        Some(&backlog.armed[backlog.sent..])
    }

    /// The kernel has sent this many bytes, or has failed to send.
    pub fn disarm(&mut self, slot: u32, sent: Option<usize>) {
        let place = &mut self.list[slot as usize].backlog;
        let Some(backlog) = place else { return };
        backlog.is_armed = false;
        backlog.sent += sent.unwrap_or_default();
        let is_done = backlog.sent == backlog.armed.len() && backlog.queued.is_empty();
        if is_done || sent.is_none() {
            *place = None;
        }
    }

    /// The client will send no more.
    pub fn end(&mut self, slot: u32) {
        self.ended.push(slot);
    }

    /// Removes a socket that has ended and has no operation in progress, and returns it.
    pub fn next_ended(&mut self) -> Option<u32> {
        let is_idle = |slot: &u32| !self.is_behind(*slot);
        let index = self.ended.iter().position(is_idle)?;
        Some(self.ended.swap_remove(index))
    }
}
