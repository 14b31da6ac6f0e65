//! Receiving of the io_uring driver: one multishot receive per connection, armed again when the
//! kernel releases it.
//!
//! It lends received bytes; it never copies them. Bulk connections receive otherwise (`bulk`).

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

use io_uring::cqueue;

use super::{
    Event, UringDriver,
    buffers::Buffers,
    ring::{Ring, Wait},
    socket::{Health, Receiving, Stream},
    sqe::{Bound, Expect, Plain},
    user_data::{self, Kind},
};
use crate::{Completion, ConnectionId, Places, places::Flow};

/// Bytes that one connection may bring before its receive is armed again, which is at most once a
/// turn. This bounds what a client makes the gateway send before its socket is found full.
pub(super) const ARMED_BYTES_MAX: u32 = 128 << 10;

/// Whether this kernel bounds a multishot receive. Otherwise a client may fill all buffers of the
/// core in one turn.
pub(super) fn is_bounded(ring: &mut Ring, buffers: &mut Buffers) -> io::Result<bool> {
    let (ours, theirs) = UnixStream::pair()?;
    drop(theirs);
    let tried = user_data::of_index(Kind::Ignored, 0);
    let entry = Plain::receive(ours.as_fd(), tried, Bound::Bytes(ARMED_BYTES_MAX), Expect::Bytes);
    ring.push_plain(&entry)?;
    ring.submit_and_wait(Wait { timeout: Some(Duration::from_secs(1)), ..Wait::NONE })?;
    let mut completions = Vec::new();
    ring.take_completions(&mut completions);
    for id in completions.iter().filter_map(|entry| cqueue::buffer_select(entry.flags())) {
        buffers.recycle(id);
    }
    Ok(completions.first().is_some_and(|entry| entry.result() == 0))
}

impl UringDriver {
    pub(super) fn queue_receive(&mut self, connection: ConnectionId, expect: Expect) {
        if let Some(socket) = self.sockets.lookup_mut(connection)
            && socket.receiving == Receiving::Idle
            && socket.wants_bytes
            && socket.stream == Stream::Open
            && !socket.is_closing()
        {
            socket.receiving = Receiving::Queued;
            self.to_arm.push((connection, expect));
        }
    }

    pub(super) fn arm_receives(&mut self) {
        let mut to_arm = std::mem::take(&mut self.to_arm);
        // What was put off in this turn is served first in the next one.
        to_arm.rotate_left(self.put_off_from.take().unwrap_or(0));
        for (connection, expect) in to_arm.drain(..) {
            let Some(socket) = self.sockets.lookup_mut(connection) else { continue };
            if socket.receiving != Receiving::Queued {
                continue;
            }
            if !socket.wants_bytes || socket.is_closing() {
                socket.receiving = Receiving::Idle;
                continue;
            }
            socket.receiving = Receiving::Armed;
            socket.health = Health::Unknown;
            let bound =
                if self.has_bounded_receive { Bound::Bytes(ARMED_BYTES_MAX) } else { Bound::None };
            let descriptor = socket.descriptor.as_fd();
            let user_data = user_data::of_connection(Kind::Receive, connection);
            let entry = match socket.flow {
                Flow::Trickle => Plain::receive(descriptor, user_data, bound, expect),
                Flow::Bulk => Plain::readable(descriptor, user_data),
            };
            self.push_plain(&entry);
        }
        self.to_arm = to_arm;
    }

    pub(super) fn pause(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        socket.wants_bytes = false;
        if socket.receiving == Receiving::Armed {
            socket.receiving = Receiving::Cancelling;
            self.cancel(user_data::of_connection(Kind::Receive, connection));
        }
    }

    pub(super) fn resume(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        socket.wants_bytes = true;
        // While a cancel is in progress, its last completion queues the receive again.
        self.queue_receive(connection, Expect::Silence);
    }

    pub(super) fn complete_receive(
        &mut self,
        entry: &cqueue::Entry,
        places: &mut dyn Places,
    ) -> Option<Event> {
        let connection = user_data::connection(entry.user_data());
        let buffer = cqueue::buffer_select(entry.flags());
        if entry.result() > 0 && buffer.is_none() {
            // The bits of a poll.
            return self.receive_bulk(connection, places);
        }
        let is_last = !cqueue::more(entry.flags());
        let is_open = match self.sockets.lookup_mut(connection) {
            Some(socket) => {
                if is_last {
                    socket.receiving = Receiving::Idle;
                }
                if entry.result() > 0 {
                    socket.flow = Flow::of(entry.result() as usize);
                }
                socket.stream == Stream::Open && !socket.is_closing()
            }
            None => false,
        };
        if entry.result() > 0 && is_open {
            if is_last {
                self.queue_receive(connection, Expect::Bytes);
            } else {
                self.doubt(connection, entry.flags());
            }
            let buffer = buffer.expect("a receive with bytes names its buffer");
            let length = entry.result() as usize;
            return Some(Event::Received { connection, buffer, length });
        }
        if let Some(id) = buffer {
            self.buffers.recycle(id);
        }
        if !is_open {
            self.close_if_last(connection);
            return None;
        }
        self.complete_without_bytes(connection, -entry.result()).map(Event::Told)
    }

    pub(super) fn complete_without_bytes(
        &mut self,
        connection: ConnectionId,
        errno: i32,
    ) -> Option<Completion<'static>> {
        match errno {
            0 => {
                self.sockets.lookup_mut(connection)?.stream = Stream::Ended;
                Some(Completion::EndOfStream { connection })
            }
            // No buffer was left: they are back by the next turn, which arms the receive again.
            libc::ENOBUFS => {
                self.counters.buffer_shortages += 1;
                self.queue_receive(connection, Expect::Bytes);
                None
            }
            // Cancelled by a pause that may be over by now, or to be tried again.
            libc::ECANCELED | libc::EAGAIN | libc::EINTR => {
                self.queue_receive(connection, Expect::Silence);
                None
            }
            errno => self.fail(connection, errno),
        }
    }
}
