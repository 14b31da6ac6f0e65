//! Connecting of the io_uring driver: one IORING_OP_CONNECT for each attempt.
//!
//! The kernel copies the address during the enter that submits the operation, as for all operations
//! (IORING_FEAT_SUBMIT_STABLE in io_uring_setup(2)). If it stops waiting although the attempt
//! continues, a poll waits instead.

use std::os::fd::{AsFd, AsRawFd};

use io_uring::{opcode, types::Fd};
use rustix::net::sockopt::socket_error;
use socket2::SockAddr;

use super::{
    UringDriver,
    socket::{Ending, Receiving, Socket},
    sqe::{Expect, Plain},
    user_data::{self, Kind},
};
use crate::{Completion, ConnectFailure, ConnectToken, ConnectionId, Failure, Operation};

/// The bits of poll(2) for a socket that was never connected, or no longer is.
const BROKEN: i32 = (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) as i32;

impl UringDriver {
    /// Begins the attempt of the turn's operation `index`.
    pub(super) fn submit_connect(&mut self, index: usize) {
        let Operation::Connect(request) = &self.turn.list()[index] else { return };
        let request = **request;
        if let Err(failure) = self.begin_connect(index) {
            self.events.push_back(Completion::ConnectFailed { token: request.token, failure });
        }
    }

    #[allow(unsafe_code)]
    fn begin_connect(&mut self, index: usize) -> Result<(), ConnectFailure> {
        let Operation::Connect(request) = &self.turn.list()[index] else { return Ok(()) };
        if self.sockets.is_full() {
            return Err(ConnectFailure::NoSlot);
        }
        let socket = request.connector.socket(request.source);
        let socket = socket.map_err(|error| ConnectFailure::of(&error))?;
        let descriptor = Fd(socket.as_raw_fd());
        let connection = self
            .sockets
            .insert(Socket::connecting(socket.into()))
            .map_err(|_| ConnectFailure::NoSlot)?;
        self.connecting.insert(request.token, connection);
        self.addresses.push(Box::new(SockAddr::from(request.connector.target)));
        let Some(address) = self.addresses.last() else { return Ok(()) };
        let entry = opcode::Connect::new(descriptor, address.as_ptr().cast(), address.len())
            .build()
            .user_data(user_data::of_connection(Kind::Connect, connection));
        // SAFETY: the address is in `self.addresses`, which is only appended to before the next
        // `submit`. That asserts `TurnState::Settled`, so an enter has consumed the entry and
        // copied the address; in a driver that is `broken` it changes nothing. The driver's `drop`
        // ends the ring first.
        unsafe { self.push(&entry) };
        Ok(())
    }

    /// Cancels an attempt; its descriptor is closed once the kernel holds no operation of it.
    pub(super) fn cancel_connect(&mut self, token: ConnectToken) {
        if let Some(connection) = self.connecting.name(token) {
            self.want_end(connection, Ending::Closing);
        }
    }

    /// The attempt has ended with `result`: zero, an error, or the bits of the poll.
    pub(super) fn complete_connect(
        &mut self,
        connection: ConnectionId,
        result: i32,
    ) -> Option<Completion<'static>> {
        let socket = self.sockets.lookup_mut(connection)?;
        if socket.is_closing() {
            socket.receiving = Receiving::Idle;
            self.close_if_last(connection);
            return None;
        }
        match -result {
            // connect(2), EINTR: the attempt continues. EALREADY: it does so although the kernel
            // took an event for its end.
            libc::EINPROGRESS | libc::EALREADY | libc::EINTR | libc::EAGAIN => {
                let user_data = user_data::of_connection(Kind::Connect, connection);
                let entry = Plain::established(socket.descriptor.as_fd(), user_data);
                self.push_plain(&entry);
                None
            }
            // EISCONN: the kernel looked twice at an attempt, on a socket that is ours alone.
            0 | libc::EISCONN => self.establish(connection),
            errno @ 1.. => self.fail_connect(connection, errno),
            _ if result & BROKEN == 0 => self.establish(connection),
            _ => {
                let errno = match socket_error(&socket.descriptor) {
                    Ok(Err(errno)) | Err(errno) => errno.raw_os_error(),
                    // It was never connected, and the kernel gives no reason.
                    Ok(Ok(())) => libc::ENOTCONN,
                };
                self.fail_connect(connection, errno)
            }
        }
    }

    fn establish(&mut self, connection: ConnectionId) -> Option<Completion<'static>> {
        let token = self.connecting.remove(connection)?;
        self.sockets.lookup_mut(connection)?.receiving = Receiving::Idle;
        self.queue_receive(connection, Expect::Silence);
        Some(Completion::Connected { connection, token })
    }

    fn fail_connect(
        &mut self,
        connection: ConnectionId,
        errno: i32,
    ) -> Option<Completion<'static>> {
        let token = self.connecting.remove(connection)?;
        drop(self.sockets.remove(connection));
        self.acceptors.has_room_again();
        Some(Completion::ConnectFailed { token, failure: ConnectFailure::Kernel(Failure(errno)) })
    }
}
