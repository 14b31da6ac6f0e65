//! Sends of the io_uring driver: inline first, the rest as a backlog.
//!
//! A send with MSG_DONTWAIT runs during the enter that submits it. With MSG_WAITALL a short send
//! posts its count, and with CQE_SKIP_SUCCESS a complete one posts nothing. So success costs no
//! completion, and its memory is free once the enter has returned (send(2), io_uring_enter(2)).

use std::{
    collections::TryReserveError,
    os::fd::{AsFd, AsRawFd},
};

use io_uring::{opcode, squeue, types::Fd};
use libc::{MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, MSG_WAITALL};

use super::{
    UringDriver,
    backlog::Memory,
    socket::{Ending, Health, Stream},
    user_data::{self, Kind},
};
use crate::{Completion, ConnectionId, Operation, Outgoing, Piece, tcp_progress::TcpProgress};

/// A backlog is sent in parts of this size, so that a slow reader's progress is seen.
const ARMED_BYTES_MAX: usize = 256 << 10;

impl UringDriver {
    /// Sends the turn's operation `index`, or queues it behind a backlog.
    #[allow(unsafe_code)]
    pub(super) fn submit_send(&mut self, index: usize) {
        let list = self.turn.list();
        let Operation::Send { connection, outgoing } = &list[index] else { return };
        let Some(socket) = self.sockets.lookup_mut(*connection) else { return };
        if socket.stream == Stream::Failed
            || socket.ending >= Ending::ShutdownWanted
            || socket.is_connecting()
        {
            return;
        }
        if socket.backlog.is_some() {
            return self.queue_behind_backlog(index);
        }
        let bytes = match outgoing {
            Outgoing::Turn(range) => &self.turn.bytes()[range.clone()],
            Outgoing::Owned { bytes, start } => &bytes[*start..],
            Outgoing::Shared(bytes) => bytes,
            Outgoing::Pieces(_) => return self.submit_pieces(index),
        };
        if bytes.is_empty() {
            return;
        }
        // A send that fails reports it.
        socket.health = Health::Sound;
        let more = if list[index].precedes_fin(list.get(index + 1)) { MSG_MORE } else { 0 };
        let entry = opcode::Send::new(
            Fd(socket.descriptor.as_raw_fd()),
            bytes.as_ptr(),
            // A longer one is "short" and continues as a backlog.
            u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        )
        .flags(MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL | more)
        .build()
        .flags(squeue::Flags::SKIP_SUCCESS)
        .user_data(user_data::of_index(Kind::InlineSend, index as u32));
        // SAFETY: the bytes belong to `self.turn`, which nothing changes before the next `submit`.
        // That asserts `TurnState::Settled`, so a `submit_and_wait` has returned `Ok`; in a driver
        // that is `broken` it changes nothing. The driver's `drop` ends the ring first.
        unsafe { self.push(&entry) };
    }

    fn queue_behind_backlog(&mut self, index: usize) {
        let Operation::Send { connection, .. } = &self.turn.list()[index] else { return };
        let connection = *connection;
        if self.keep_rest(index, 0).is_err() {
            return self.fail_for_memory(connection);
        }
        self.tell_of_backlog(connection);
    }

    /// Sends several pieces in order, as a backlog from the start: an inline send has one buffer,
    /// and a second one would overtake a short first one.
    fn submit_pieces(&mut self, index: usize) {
        let Operation::Send { connection, .. } = &self.turn.list()[index] else { return };
        let connection = *connection;
        if self.keep_rest(index, 0).is_err() {
            return self.fail_for_memory(connection);
        }
        if self.unsent_bytes(connection) > 0 {
            if let Some(socket) = self.sockets.lookup_mut(connection) {
                socket.health = Health::Sound;
            }
            self.arm_backlog(connection);
            self.tell_of_backlog(connection);
        }
    }

    fn tell_of_backlog(&mut self, connection: ConnectionId) {
        let told = self.backlogged(connection);
        self.events.extend(told);
    }

    fn backlogged(&self, connection: ConnectionId) -> Option<Completion<'static>> {
        let backlog = self.sockets.lookup(connection)?.backlog.as_ref()?;
        let (unsent_bytes, shared_bytes) = (backlog.unsent_bytes(), backlog.shared_bytes());
        Some(Completion::Backlogged { connection, unsent_bytes, shared_bytes })
    }

    fn unsent_bytes(&self, connection: ConnectionId) -> usize {
        let backlog = self.sockets.lookup(connection).and_then(|socket| socket.backlog.as_ref());
        backlog.map_or(0, |backlog| backlog.unsent_bytes())
    }

    /// Reports how far the peer has read. The kernel is asked by a direct system call: a ring would
    /// answer no sooner, and it has no operation for TCP_INFO.
    pub(super) fn measure_progress(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.lookup(connection) else { return };
        if socket.stream == Stream::Failed || socket.is_closing() || socket.is_connecting() {
            return;
        }
        let TcpProgress { acknowledged_bytes, unacknowledged_bytes } =
            TcpProgress::of(socket.descriptor.as_fd(), self.unsent_bytes(connection));
        let progress =
            Completion::Progress { connection, acknowledged_bytes, unacknowledged_bytes };
        self.events.push_back(progress);
    }

    /// An inline send that was not complete: `result` is its bytes, or an error before any byte.
    pub(super) fn complete_inline_send(&mut self, index: usize, result: i32) {
        let Some(Operation::Send { connection, .. }) = self.turn.list().get(index) else { return };
        let connection = *connection;
        let kept = match result {
            0.. => self.keep_rest(index, result as usize),
            _ if -result == libc::EAGAIN || -result == libc::EINTR => self.keep_rest(index, 0),
            _ => {
                let failed = self.fail(connection, -result);
                return self.events.extend(failed);
            }
        };
        if kept.is_err() {
            return self.fail_for_memory(connection);
        }
        if self.unsent_bytes(connection) > 0 {
            self.counters.short_sends += 1;
            self.arm_backlog(connection);
            self.tell_of_backlog(connection);
        }
    }

    /// The stream would have a hole without the rest of the send: the connection has failed.
    fn fail_for_memory(&mut self, connection: ConnectionId) {
        let failed = self.fail(connection, libc::ENOMEM);
        self.events.extend(failed);
    }

    /// Puts the bytes of operation `index` after the first `sent` ones into the backlog.
    ///
    /// # Errors
    /// There is no memory for it.
    fn keep_rest(&mut self, index: usize, sent: usize) -> Result<(), TryReserveError> {
        let Operation::Send { connection, outgoing } = &mut self.turn.list_mut()[index] else {
            return Ok(());
        };
        let Some(socket) = self.sockets.lookup_mut(*connection) else { return Ok(()) };
        let backlog = socket.backlog.get_or_insert_default();
        let kept = match std::mem::replace(outgoing, Outgoing::Turn(0..0)) {
            Outgoing::Owned { bytes, start } if start + sent < bytes.len() => {
                backlog.push(Memory::Owned(bytes), start + sent);
                Ok(())
            }
            Outgoing::Shared(bytes) if sent < bytes.len() => {
                backlog.push(Memory::Shared(bytes), sent);
                Ok(())
            }
            Outgoing::Turn(range) => {
                let rest = range.start + sent..range.end;
                *outgoing = Outgoing::Turn(rest.clone());
                if rest.is_empty() { Ok(()) } else { backlog.push_copy(&self.turn.bytes()[rest]) }
            }
            Outgoing::Pieces(pieces) => pieces.into_iter().try_for_each(|piece| match piece {
                Piece::Turn(range) => backlog.push_copy(&self.turn.bytes()[range]),
                Piece::Shared(bytes) => {
                    backlog.push(Memory::Shared(bytes), 0);
                    Ok(())
                }
            }),
            Outgoing::Owned { .. } | Outgoing::Shared(_) => Ok(()),
        };
        if backlog.is_empty() {
            socket.backlog = None;
        }
        kept
    }

    /// Gives the first piece of the backlog to the kernel, which sends it when there is room.
    #[allow(unsafe_code)]
    fn arm_backlog(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let descriptor = Fd(socket.descriptor.as_raw_fd());
        let Some(backlog) = &mut socket.backlog else { return };
        let Some(rest) = backlog.arm() else { return };
        let length = rest.len().min(ARMED_BYTES_MAX) as u32;
        let entry = opcode::Send::new(descriptor, rest.as_ptr(), length)
            .flags(MSG_WAITALL | MSG_NOSIGNAL)
            .build()
            .user_data(user_data::of_connection(Kind::BacklogSend, connection));
        // SAFETY: an armed piece neither moves nor changes (the invariant of `backlog.rs`), and
        // the socket keeps its backlog while `is_sending`, so until the last completion; the
        // driver's `drop` frees no sockets before the ring has released them.
        unsafe { self.push(&entry) };
    }

    /// A piece of a backlog was sent, or its send failed.
    pub(super) fn complete_backlog_send(
        &mut self,
        connection: ConnectionId,
        result: i32,
    ) -> Option<Completion<'static>> {
        let socket = self.sockets.lookup_mut(connection)?;
        let backlog = socket.backlog.as_mut()?;
        backlog.disarm();
        if socket.ending == Ending::Closing || socket.stream == Stream::Failed {
            socket.backlog = None;
            self.close_if_last(connection);
            return None;
        }
        match result {
            0.. => backlog.advance(result as usize),
            _ if matches!(-result, libc::EAGAIN | libc::EINTR) => {}
            _ => return self.fail(connection, -result),
        }
        if !backlog.is_empty() {
            self.arm_backlog(connection);
            return self.backlogged(connection);
        }
        socket.backlog = None;
        self.shutdown(connection);
        Some(Completion::Drained { connection })
    }
}
