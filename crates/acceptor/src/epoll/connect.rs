//! Connecting of the epoll driver: a connect(2) that was begun has its outcome when the socket
//! becomes writable, or broken.
//!
//! It asks nothing of a socket that is established; its events say so.

use std::os::fd::OwnedFd;

use super::{EpollDriver, poll::EventFlags, socket::Socket};
use crate::{Completion, Connect, Connection, Failure};

impl Connect for EpollDriver {
    fn connect(&mut self, socket: OwnedFd) -> Result<Connection, OwnedFd> {
        let socket = Socket::connecting(socket);
        let connection = self.sockets.insert(socket).map_err(Socket::into_inner)?;
        self.watch(connection);
        Ok(connection)
    }
}

impl EpollDriver {
    /// An event of a connection that is being established.
    pub(super) fn complete_connect(
        &mut self,
        connection: Connection,
        flags: EventFlags,
    ) -> Option<Completion<'static>> {
        let socket = self.sockets.lookup_mut(connection)?;
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            let failure = socket.take_error().unwrap_or_else(|| {
                // Shut down by somebody who holds the socket too.
                socket.break_off(Failure(libc::ENOTCONN))
            });
            return Some(Completion::Failed { connection, failure });
        }
        socket.establish();
        self.watch(connection);
        Some(Completion::Connected { connection })
    }
}
