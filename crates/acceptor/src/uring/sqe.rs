//! Operations that refer to no memory of ours, so that queueing one is safe.
//!
//! These are all constructors: accept, receive into provided buffers, polls, cancel, message to
//! another ring, and a send of no bytes. Other sends refer to memory.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use io_uring::{
    opcode, squeue,
    types::{CancelBuilder, Fd},
};

use super::{buffers, ring};

// <linux/io_uring.h>; the `io-uring` crate does not export this.
const RECVSEND_POLL_FIRST: u16 = 1 << 0;
const RECV_MULTISHOT: u16 = 1 << 1;

/// An operation without a pointer.
pub(super) struct Plain(squeue::Entry);

/// Whether a receive ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    None,
    Bytes(u32),
}

/// Whether there is likely something to read when a receive is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nothing yet: a read that finds nothing would cost more than waiting.
    Silence,
    /// More bytes, because the last receive ended with some unread.
    Bytes,
}

impl Plain {
    /// Accepts one client.
    pub(super) fn accept_one(listener: BorrowedFd<'_>, user_data: u64) -> Self {
        let null = std::ptr::null_mut();
        // accept(2): a null address means that none is written.
        let entry = opcode::Accept::new(Fd(listener.as_raw_fd()), null, null.cast());
        Self(entry.flags(libc::SOCK_CLOEXEC).build().user_data(user_data))
    }

    /// Accepts clients until it is cancelled or fails.
    pub(super) fn accept(listener: BorrowedFd<'_>, user_data: u64) -> Self {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC);
        Self(entry.build().user_data(user_data))
    }

    /// Receives into provided buffers until it is cancelled, reaches its bound or fails.
    pub(super) fn receive(
        socket: BorrowedFd<'_>,
        user_data: u64,
        bound: Bound,
        expect: Expect,
    ) -> Self {
        let flags = match expect {
            Expect::Silence => RECV_MULTISHOT | RECVSEND_POLL_FIRST,
            Expect::Bytes => RECV_MULTISHOT,
        };
        // With BUFFER_SELECT the kernel ignores the address.
        let entry = opcode::Recv::new(Fd(socket.as_raw_fd()), std::ptr::null_mut(), 0)
            .buf_group(buffers::GROUP)
            .ioprio(flags)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(user_data);
        Self(match bound {
            Bound::None => entry,
            Bound::Bytes(bytes) => ring::bounded(entry, bytes),
        })
    }

    /// Reports each time that the eventfd becomes readable.
    pub(super) fn poll(eventfd: BorrowedFd<'_>, user_data: u64) -> Self {
        let entry = opcode::PollAdd::new(Fd(eventfd.as_raw_fd()), libc::POLLIN as u32).multi(true);
        Self(entry.build().user_data(user_data))
    }

    /// Reports once, with `poll(2)`'s bits, that there is something to receive.
    pub(super) fn readable(socket: BorrowedFd<'_>, user_data: u64) -> Self {
        let entry = opcode::PollAdd::new(Fd(socket.as_raw_fd()), libc::POLLIN as u32);
        Self(entry.build().user_data(user_data))
    }

    /// Reports once, with `poll(2)`'s bits, that a connection is established or never will be.
    pub(super) fn established(socket: BorrowedFd<'_>, user_data: u64) -> Self {
        let entry = opcode::PollAdd::new(Fd(socket.as_raw_fd()), libc::POLLOUT as u32);
        Self(entry.build().user_data(user_data))
    }

    /// Sends no bytes, which fails on a broken socket; only a failure is reported.
    pub(super) fn check(socket: BorrowedFd<'_>, user_data: u64) -> Self {
        // The kernel ignores the address of a send without bytes.
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), std::ptr::null(), 0)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build();
        Self(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data))
    }

    /// Cancels the operation that was queued as `target`; only a failure is reported.
    pub(super) fn cancel(target: u64, user_data: u64) -> Self {
        let entry = opcode::AsyncCancel::new(target).build();
        Self(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data))
    }

    /// Cancels all operations that were queued as `target`; only a failure is reported.
    pub(super) fn cancel_all(target: u64, user_data: u64) -> Self {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::user_data(target).all()).build();
        Self(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data))
    }

    /// Posts a completion with user data `told` to another ring; only a failure is reported.
    pub(super) fn message(other: RawFd, told: u64, user_data: u64) -> Self {
        let entry = opcode::MsgRingData::new(Fd(other), 0, told, None).build();
        Self(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data))
    }

    pub(super) fn entry(&self) -> &squeue::Entry {
        &self.0
    }
}
