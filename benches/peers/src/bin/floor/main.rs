//! The floor: the smallest io_uring program that echoes WebSocket frames and sends messages for
//! `/publish` to all clients of `/subscribe`. The cost of a real server above it is the cost of its
//! features.
//!
//! It checks almost nothing: no UTF-8, no limits, no order of fragments, no origin. It takes one
//! publisher at a time. Use it only as a yardstick.

#![deny(unsafe_code)]

mod frames;
mod handshake;
#[allow(unsafe_code)]
mod ring;
mod sockets;

use anyhow::Result;
use clap::Parser;
use ringway_peers::{Args, announce};

use crate::{
    frames::{Frames, StreamState},
    handshake::{Handshake, Role},
    ring::{Event, Ring},
    sockets::Chunk,
};

enum Connection {
    /// The bytes of the request so far.
    Opening(Vec<u8>),
    Open(Role, Frames),
    /// It was shut down, and its end is awaited.
    Ending,
}

struct Floor {
    ring: Ring,
    connections: Vec<Connection>,
    subscribers: Vec<u32>,
}

fn main() -> Result<()> {
    let listener = Args::parse().listen()?;
    let ring = Ring::new(listener.try_clone()?)?;
    announce(&listener)?;
    let mut floor = Floor { ring, connections: Vec::new(), subscribers: Vec::new() };
    let mut events = Vec::new();
    loop {
        floor.ring.turn()?;
        floor.ring.take_events(&mut events);
        for event in events.drain(..) {
            floor.handle(event);
        }
    }
}

impl Floor {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Accepted { slot } => {
                let slot = slot as usize;
                while self.connections.len() <= slot {
                    self.connections.push(Connection::Ending);
                }
                self.connections[slot] = Connection::Opening(Vec::new());
            }
            Event::Received { slot, buffer, length } => self.receive(slot, buffer, length),
            Event::Ended { slot } => {
                self.subscribers.retain(|subscriber| *subscriber != slot);
                self.ring.close(slot);
            }
        }
    }

    fn receive(&mut self, slot: u32, buffer: u16, length: usize) {
        let connection = &mut self.connections[slot as usize];
        match connection {
            Connection::Opening(head) => {
                let known = head.len();
                head.extend_from_slice(self.ring.lend(buffer, length));
                match handshake::read(head) {
                    Handshake::Unfinished => {}
                    Handshake::Refused => {
                        *connection = Connection::Ending;
                        self.ring.shut_down(slot);
                    }
                    Handshake::Accepted { role, head_bytes, response } => {
                        *connection = Connection::Open(role, Frames::default());
                        if role == Role::Subscriber {
                            self.subscribers.push(slot);
                        }
                        let response = self.ring.own(response);
                        self.ring.send(slot, response);
                        self.pass_on(slot, buffer, head_bytes - known, length);
                    }
                }
            }
            Connection::Open(..) => self.pass_on(slot, buffer, 0, length),
            Connection::Ending => {}
        }
    }

    /// Sends the frames from `start` to `end` of the buffer.
    fn pass_on(&mut self, slot: u32, buffer: u16, start: usize, end: usize) {
        let Connection::Open(role, frames) = &mut self.connections[slot as usize] else { return };
        let turned = frames.turn_round(&mut self.ring.lend(buffer, end)[start..]);
        if turned.state != StreamState::Open {
            self.ring.shut_down(slot);
        }
        // The publisher's Close is not for subscribers.
        let turned = if *role == Role::Publisher { turned.without_close() } else { turned };
        let header = turned.header.map(|header| self.ring.own(header));
        let range = turned.range.start + start..turned.range.end + start;
        let rest = (!range.is_empty()).then_some(Chunk::Received(buffer, range));
        for chunk in header.into_iter().chain(rest) {
            match role {
                Role::Publisher => {
                    for subscriber in &self.subscribers {
                        self.ring.send(*subscriber, chunk.clone());
                    }
                }
                Role::Echo | Role::Subscriber => self.ring.send(slot, chunk),
            }
        }
    }
}
