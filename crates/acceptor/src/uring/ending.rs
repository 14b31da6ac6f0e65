//! The ends of connections in the io_uring driver: FIN after the last send, close after the last
//! completion.
//!
//! close(2) with a receive armed sends no FIN, because the request holds the socket: so the receive
//! is cancelled first, and the close waits for its last completion.

use super::{
    UringDriver,
    socket::{Ending, Receiving},
    user_data::{self, Kind},
};
use crate::{Completion, ConnectFailure, ConnectionId, socket_options};

impl UringDriver {
    pub(super) fn want_end(&mut self, connection: ConnectionId, ending: Ending) {
        if let Some(socket) = self.sockets.lookup_mut(connection)
            && socket.ending < ending
            && (ending == Ending::Closing || !socket.is_connecting())
        {
            socket.ending = ending;
            self.to_end.push(connection);
        }
    }

    /// Closes so that the kernel drops the bytes that it has taken.
    pub(super) fn want_reset(&mut self, connection: ConnectionId) {
        if let Some(socket) = self.sockets.lookup(connection)
            && !socket.is_closing()
        {
            socket_options::reset_at_close(&socket.descriptor);
        }
        self.want_end(connection, Ending::Closing);
    }

    /// Shuts down and closes the connections that this turn asked for, after its sends.
    pub(super) fn end_connections(&mut self) {
        for connection in std::mem::take(&mut self.to_end) {
            let Some(socket) = self.sockets.lookup(connection) else { continue };
            match socket.ending {
                Ending::ShutdownWanted if socket.backlog.is_none() => self.shutdown(connection),
                Ending::Closing => self.begin_close(connection),
                _ => {}
            }
        }
    }

    pub(super) fn shutdown(&mut self, connection: ConnectionId) {
        if let Some(socket) = self.sockets.lookup_mut(connection)
            && socket.ending == Ending::ShutdownWanted
        {
            // ENOTCONN after a reset: no peer is left. IORING_OP_SHUTDOWN would go through a
            // worker thread.
            let _ = rustix::net::shutdown(&socket.descriptor, rustix::net::Shutdown::Write);
            socket.ending = Ending::Shutdown;
        }
    }

    pub(super) fn begin_close(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        if !socket.is_sending() {
            socket.backlog = None;
        }
        if !socket.is_in_kernel() {
            return self.finish_close(connection);
        }
        let is_sending = socket.is_sending();
        let armed = match socket.receiving {
            Receiving::Connecting => Some(Kind::Connect),
            Receiving::Armed => Some(Kind::Receive),
            Receiving::Idle | Receiving::Queued | Receiving::Cancelling => None,
        };
        if let Some(kind) = armed {
            socket.receiving = Receiving::Cancelling;
            self.cancel(user_data::of_connection(kind, connection));
        }
        if is_sending {
            self.cancel(user_data::of_connection(Kind::BacklogSend, connection));
        }
    }

    /// The kernel holds no operation of this connection any more: closes its descriptor.
    pub(super) fn finish_close(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.remove(connection) else { return };
        // close(2) and not IORING_OP_CLOSE, so that the descriptor is free for the next accept of
        // this same turn.
        drop(socket.descriptor);
        self.events.push_back(match self.connecting.remove(connection) {
            None => Completion::Closed { connection },
            Some(token) => Completion::ConnectFailed { token, failure: ConnectFailure::Cancelled },
        });
        self.acceptors.has_room_again();
    }

    /// Closes a connection if the completion was its last one.
    pub(super) fn close_if_last(&mut self, connection: ConnectionId) {
        if let Some(socket) = self.sockets.lookup(connection)
            && socket.is_closing()
            && !socket.is_in_kernel()
        {
            self.finish_close(connection);
        }
    }
}
