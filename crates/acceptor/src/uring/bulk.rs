//! Receiving from connections that send much at a time: one after the other, into one buffer, or
//! into the place where their owner assembles a large message.
//!
//! A batch of multishot receives fills a provided buffer for each connection before the first one
//! is served, so large messages have left the processor's cache by then. A bulk connection is
//! polled instead, and its bytes are received when it is its turn: then the same few pages of memory
//! serve one message after the other. The poll and the system call cost about half a microsecond,
//! which a connection that sends little would not win back.

use rustix::{
    buffer::spare_capacity,
    net::{RecvFlags, recv},
};

use super::{
    Event, UringDriver,
    receive::ARMED_BYTES_MAX,
    socket::{Receiving, Stream},
    sqe::Expect,
};
use crate::{
    ConnectionId,
    places::{Flow, Place, Places, worthwhile},
};

/// The size of the buffer: what one connection may bring in a turn, as without bulk. More is
/// received only of a message that has begun.
const BULK_BUFFER_BYTES: usize = ARMED_BYTES_MAX as usize;

impl UringDriver {
    /// A bulk connection has something to receive, or its end.
    pub(super) fn receive_bulk(
        &mut self,
        connection: ConnectionId,
        places: &mut dyn Places,
    ) -> Option<Event> {
        let socket = self.sockets.lookup_mut(connection)?;
        socket.receiving = Receiving::Idle;
        if socket.stream != Stream::Open || socket.is_closing() {
            self.close_if_last(connection);
            return None;
        }
        if !socket.wants_bytes {
            return None;
        }
        match worthwhile(places, connection) {
            Place::In(place) => return self.receive_placed(connection, place),
            Place::Lent => {}
            Place::Later => {
                self.put_off_from.get_or_insert(self.to_arm.len());
                self.queue_receive(connection, Expect::Silence);
                return None;
            }
        }
        if self.bulk_buffer.is_empty() {
            self.bulk_buffer = vec![0; BULK_BUFFER_BYTES].into_boxed_slice();
        }
        match recv(&socket.descriptor, &mut *self.bulk_buffer, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => self.complete_without_bytes(connection, 0).map(Event::Told),
            Ok((_, length)) => {
                self.follow_bulk(connection, length, length == BULK_BUFFER_BYTES);
                Some(Event::ReceivedBulk { connection, length })
            }
            Err(errno) => {
                self.complete_without_bytes(connection, errno.raw_os_error()).map(Event::Told)
            }
        }
    }

    /// Receives more of a connection whose last receive has filled its room, if that was the
    /// beginning of a large message.
    pub(super) fn receive_rest(
        &mut self,
        connection: ConnectionId,
        places: &mut dyn Places,
    ) -> Option<Event> {
        let socket = self.sockets.lookup_mut(connection)?;
        let is_receiving = socket.receiving == Receiving::Idle
            && socket.wants_bytes
            && socket.stream == Stream::Open
            && !socket.is_closing();
        if is_receiving && let Place::In(place) = worthwhile(places, connection) {
            return self.receive_placed(connection, place);
        }
        self.queue_receive(connection, Expect::Silence);
        None
    }

    fn receive_placed(&mut self, connection: ConnectionId, place: &mut Vec<u8>) -> Option<Event> {
        let socket = self.sockets.lookup_mut(connection)?;
        match recv(&socket.descriptor, spare_capacity(place), RecvFlags::DONTWAIT) {
            Ok((_, 0)) => self.complete_without_bytes(connection, 0).map(Event::Told),
            Ok((_, length)) => {
                self.follow_bulk(connection, length, place.len() == place.capacity());
                Some(Event::Placed { connection, length })
            }
            Err(errno) => {
                self.complete_without_bytes(connection, errno.raw_os_error()).map(Event::Told)
            }
        }
    }

    /// After a receive; one that has filled its room has probably left more in the socket.
    fn follow_bulk(&mut self, connection: ConnectionId, length: usize, is_filled: bool) {
        if let Some(socket) = self.sockets.lookup_mut(connection) {
            socket.flow = Flow::of(length);
        }
        if is_filled {
            self.unfinished = Some(connection);
        } else {
            self.queue_receive(connection, Expect::Silence);
        }
    }
}
