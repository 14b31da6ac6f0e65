//! Connecting of the epoll driver: connect(2) is begun at once; its outcome is known when the
//! socket becomes writable or breaks.
//!
//! An established connection needs no extra system call: its events show that there was no error.

use std::os::fd::AsFd;

use super::{
    EpollDriver,
    poll::{EventFlags, Interest},
    socket::Socket,
};
use crate::{Completion, ConnectFailure, ConnectRequest, ConnectToken, ConnectionId, Failure};

impl EpollDriver {
    /// Begins an attempt.
    pub(super) fn connect(&mut self, request: &ConnectRequest) {
        if let Err(failure) = self.begin_connect(request) {
            self.tell(Completion::ConnectFailed { token: request.token, failure });
        }
    }

    fn begin_connect(&mut self, request: &ConnectRequest) -> Result<(), ConnectFailure> {
        if self.sockets.is_full() {
            return Err(ConnectFailure::NoSlot);
        }
        let descriptor = request.connector.begin(request.source);
        let descriptor = descriptor.map_err(|error| ConnectFailure::of(&error))?;
        let connection = self
            .sockets
            .insert(Socket::connecting(descriptor))
            .map_err(|_| ConnectFailure::NoSlot)?;
        let watched = self.watch_connect(connection);
        if let Err(failure) = watched {
            self.sockets.remove(connection);
            return Err(failure);
        }
        self.connecting.insert(request.token, connection);
        Ok(())
    }

    /// Watches an attempt for its outcome.
    fn watch_connect(&mut self, connection: ConnectionId) -> Result<(), ConnectFailure> {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return Ok(()) };
        let Some(descriptor) = &socket.descriptor else { return Ok(()) };
        let change =
            self.poll.change(descriptor.as_fd(), connection, socket.interest, Interest::Send);
        change.map_err(|error| ConnectFailure::of(&error))?;
        socket.interest = Interest::Send;
        Ok(())
    }

    /// Gives up an attempt; close(2) takes its descriptor out of the epoll set.
    pub(super) fn cancel_connect(&mut self, token: ConnectToken) {
        let connection = self.connecting.name(token);
        let failed = connection.and_then(|name| self.fail_connect(name, ConnectFailure::Cancelled));
        self.reports.extend(failed);
    }

    /// Handles an event of a connection that is being established.
    pub(super) fn complete_connect(
        &mut self,
        connection: ConnectionId,
        flags: EventFlags,
    ) -> Option<Completion<'static>> {
        let socket = self.sockets.lookup_mut(connection)?;
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            // HUP without an error: it was never connected, and the kernel gives no reason.
            let failure = socket.take_error().unwrap_or(Failure(libc::ENOTCONN));
            return self.fail_connect(connection, ConnectFailure::Kernel(failure));
        }
        socket.establish();
        let token = self.connecting.remove(connection)?;
        self.watch(connection);
        Some(Completion::Connected { connection, token })
    }

    fn fail_connect(
        &mut self,
        connection: ConnectionId,
        failure: ConnectFailure,
    ) -> Option<Completion<'static>> {
        let token = self.connecting.remove(connection)?;
        drop(self.sockets.remove(connection));
        self.acceptor.descriptor_freed(&self.poll);
        Some(Completion::ConnectFailed { token, failure })
    }
}
