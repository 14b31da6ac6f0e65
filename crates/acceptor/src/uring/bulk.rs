//! Receiving from connections that send much at a time: one after the other, into one buffer.
//!
//! A batch of multishot receives fills a provided buffer for each connection before the first one
//! is served, so large messages have left the processor's cache by then. A bulk connection is
//! polled instead, and its bytes are received when it is its turn: then the same few pages of memory
//! serve one message after the other. The poll and the system call cost about half a microsecond,
//! which a connection that sends little would not win back.

use rustix::net::{RecvFlags, recv};

use super::{
    Event, UringDriver,
    receive::ARMED_BYTES_MAX,
    socket::{Flow, Receiving, Stream},
    sqe::Expect,
};
use crate::ConnectionId;

/// Received at once, this many bytes make a connection a bulk connection.
const BULK_BYTES_MIN: usize = 8 << 10;

/// The size of the buffer: what one connection may bring in a turn, as without bulk.
const BULK_BUFFER_BYTES: usize = ARMED_BYTES_MAX as usize;

impl Flow {
    /// After a receive of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        if bytes < BULK_BYTES_MIN { Self::Trickle } else { Self::Bulk }
    }
}

impl UringDriver {
    /// A bulk connection has something to receive, or its end.
    pub(super) fn receive_bulk(&mut self, connection: ConnectionId) -> Option<Event> {
        let socket = self.sockets.lookup_mut(connection)?;
        socket.receiving = Receiving::Idle;
        if socket.stream != Stream::Open || socket.is_closing() {
            self.close_if_last(connection);
            return None;
        }
        if !socket.wants_bytes {
            return None;
        }
        if self.bulk_buffer.is_empty() {
            self.bulk_buffer = vec![0; BULK_BUFFER_BYTES].into_boxed_slice();
        }
        match recv(&socket.descriptor, &mut *self.bulk_buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.complete_without_bytes(connection, 0).map(Event::Told),
            Ok((length, _)) => {
                socket.flow = Flow::of(length);
                self.queue_receive(connection, Expect::Silence);
                Some(Event::ReceivedBulk { connection, length })
            }
            Err(errno) => {
                self.complete_without_bytes(connection, errno.raw_os_error()).map(Event::Told)
            }
        }
    }
}
