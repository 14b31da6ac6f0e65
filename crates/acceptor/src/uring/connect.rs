//! Connecting of the io_uring driver: a poll for the outcome of a connect(2) that was begun.
//!
//! It lends the kernel no memory, which IORING_OP_CONNECT would want for the address, and it asks
//! nothing of a socket that is established: the poll goes with the turn's other operations.

use std::os::fd::{AsFd, OwnedFd};

use rustix::net::sockopt::socket_error;

use super::{
    UringDriver,
    plain::{Expect, Plain},
    socket::{Receiving, Socket},
    user_data::{self, Kind},
};
use crate::{Completion, Connect, Connection};

/// What poll(2) says of a socket that was not connected, or not for long.
const BROKEN: i32 = (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) as i32;

impl Connect for UringDriver {
    fn connect(&mut self, socket: OwnedFd) -> Result<Connection, OwnedFd> {
        let socket = Socket::connecting(socket);
        let connection = self.sockets.insert(socket).map_err(|socket| socket.descriptor)?;
        if let Some(socket) = self.sockets.lookup(connection) {
            let user_data = user_data::of_connection(Kind::Connect, connection);
            let entry = Plain::established(socket.descriptor.as_fd(), user_data);
            self.push_plain(&entry);
        }
        Ok(connection)
    }
}

impl UringDriver {
    /// The poll has ended: `result` is what it saw, or why it saw nothing.
    pub(super) fn complete_connect(
        &mut self,
        connection: Connection,
        result: i32,
    ) -> Option<Completion<'static>> {
        let socket = self.sockets.lookup_mut(connection)?;
        socket.receiving = Receiving::Idle;
        if socket.is_closing() {
            self.close_if_last(connection);
            return None;
        }
        if result < 0 {
            return self.fail(connection, -result);
        }
        if result & BROKEN != 0 {
            let errno = match socket_error(&socket.descriptor) {
                Ok(Err(errno)) | Err(errno) => errno.raw_os_error(),
                // Shut down by somebody who holds the socket too.
                Ok(Ok(())) => libc::ENOTCONN,
            };
            return self.fail(connection, errno);
        }
        self.queue_receive(connection, Expect::Silence);
        Some(Completion::Connected { connection })
    }
}
