//! Accepting: bounded per turn, and never spinning when descriptors or slots run out.
//!
//! It hands out accepted descriptors; naming and watching them belongs to the driver.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{SocketFlags, acceptfrom_with},
};

use super::poll::Poll;
use crate::{
    Listener,
    listener::{ACCEPT_PAUSE, Reserve},
};

/// Connections accepted per listener and turn, after all data of the turn, so that a storm of
/// clients does not delay connected ones (about 2 ms).
const ACCEPTED_PER_TURN: u32 = 256;

/// An accepted client.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) descriptor: OwnedFd,
    pub(super) listener: u16,
    pub(super) peer: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    reserve: Reserve,
    /// While set, the listeners are not in the epoll set.
    paused_until: Option<Instant>,
    /// Listeners found ready in this turn, and how many more clients each may accept.
    ready: Vec<(u16, u32)>,
    /// Clients refused and not reported yet.
    refused: u32,
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<Listener>, poll: &Poll) -> io::Result<Self> {
        let acceptor = Self {
            listeners,
            reserve: Reserve::new(),
            paused_until: None,
            ready: Vec::new(),
            refused: 0,
        };
        acceptor.watch(poll)?;
        Ok(acceptor)
    }

    /// A listener was found ready: its clients are accepted after the turn's data.
    pub(super) fn found_ready(&mut self, listener: u16) {
        self.ready.push((listener, ACCEPTED_PER_TURN));
    }

    /// The next client of this turn; clients that `room` does not admit are refused.
    pub(super) fn next_arrival(&mut self, room: Room, poll: &Poll) -> Option<Arrival> {
        while let Some((index, budget)) = self.ready.last_mut() {
            let (index, left) = (*index, *budget);
            let Some(listener) = self.listeners.get(usize::from(index)).filter(|_| left > 0) else {
                self.ready.pop();
                continue;
            };
            if room == Room::Full {
                self.turn_away(poll);
                continue;
            }
            *budget -= 1;
            match acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok((descriptor, peer)) => {
                    // A client without an address cannot be told from others, so it is refused.
                    if let Some(Ok(peer)) = peer.map(SocketAddr::try_from) {
                        return Some(Arrival { descriptor, listener: index, peer });
                    }
                }
                Err(Errno::AGAIN) => {
                    self.ready.pop();
                }
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.turn_away(poll);
                    self.pause(poll);
                }
                // accept(2): errors of the new socket's network are reported here. Only this client
                // is gone.
                Err(_) => {}
            }
        }
        None
    }

    /// A client was accepted but cannot be served.
    pub(super) fn count_refused(&mut self) {
        self.refused += 1;
    }

    /// How many clients were refused since the last call.
    pub(super) fn take_refused(&mut self) -> Option<u32> {
        (self.refused > 0).then(|| std::mem::take(&mut self.refused))
    }

    /// A connection closed, so there is a descriptor again.
    pub(super) fn descriptor_freed(&mut self, poll: &Poll) {
        if self.paused_until.is_some() {
            self.resume(poll);
        }
    }

    /// Ends a pause that is over; otherwise the time until it is.
    pub(super) fn pause_left(&mut self, poll: &Poll) -> Option<Duration> {
        let left = self.paused_until?.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Some(left);
        }
        self.resume(poll);
        None
    }

    /// Closes the listeners.
    pub(super) fn stop(&mut self) {
        self.listeners.clear();
        self.ready.clear();
        self.paused_until = None;
    }

    /// Refuses the clients that wait on the current listener. If no descriptor is left for that,
    /// all listeners pause.
    fn turn_away(&mut self, poll: &Poll) {
        let Some((index, _)) = self.ready.pop() else { return };
        let refused = self.reserve.refuse_waiting(self.listeners[usize::from(index)].as_fd());
        self.refused += refused;
        if refused == 0 {
            self.pause(poll);
        }
    }

    fn pause(&mut self, poll: &Poll) {
        self.ready.clear();
        if self.paused_until.is_none() {
            self.listeners.iter().for_each(|listener| poll.remove_listener(listener));
        }
        self.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
    }

    fn resume(&mut self, poll: &Poll) {
        self.paused_until = None;
        if self.watch(poll).is_err() {
            // The kernel has no memory for the watch: try again later.
            self.pause(poll);
        }
    }

    fn watch(&self, poll: &Poll) -> io::Result<()> {
        (0..)
            .zip(&self.listeners)
            .try_for_each(|(index, listener)| poll.add_listener(listener, index))
    }
}

/// Whether the table has a free slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    Full,
}
