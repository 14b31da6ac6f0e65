//! One connection's socket: how it receives and sends, and which events it waits for.
//!
//! It reports results, never completions, and never touches the epoll set.

use std::{
    io::IoSlice,
    os::fd::{AsFd, OwnedFd},
};

use bytes::Bytes;
use rustix::{
    buffer::Buffer,
    io::Errno,
    net::{
        RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown, sockopt,
    },
};

use super::{
    backlog::{Backlog, SLICES_MAX},
    poll::Interest,
};
use crate::{Failure, Outgoing, places::Flow, socket_options, tcp_progress::TcpProgress};

const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

#[derive(Debug)]
pub(super) struct Socket {
    /// `None`: closed; the name lives until the close is reported.
    pub(super) descriptor: Option<OwnedFd>,
    receiving: Receiving,
    /// Bulk: the owner is asked for a place.
    pub(super) flow: Flow,
    sending: Sending,
    /// The interest in the epoll set. It may be wider than [`Socket::wanted`]: it is narrowed only
    /// when an unwanted event shows up, so that a pause without arrivals, or an end that the owner
    /// answers by closing, costs no system call.
    pub(super) interest: Interest,
    backlog: Option<Box<Backlog>>,
}

const _: () = assert!(size_of::<Option<Socket>>() == 16);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Open,
    Paused,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// The connection is being established; nothing is received yet, either.
    Connecting,
    Open,
    /// FIN follows the backlog.
    Finishing,
    Finished,
    Broken,
}

/// The result of one receive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Bytes(usize),
    Nothing,
    EndOfStream,
    Failed(Failure),
}

/// The size of a backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsent {
    pub(super) bytes: usize,
    /// How many of them are in buffers shared with others.
    pub(super) shared_bytes: usize,
}

impl Unsent {
    fn of(backlog: &Backlog) -> Self {
        Self { bytes: backlog.len(), shared_bytes: backlog.shared_bytes() }
    }
}

/// The result of sending.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// There is no backlog.
    All,
    /// The backlog is not empty.
    Backlogged(Unsent),
    Failed(Failure),
}

impl Socket {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self {
            descriptor: Some(descriptor),
            receiving: Receiving::Open,
            flow: Flow::Trickle,
            sending: Sending::Open,
            interest: Interest::Nothing,
            backlog: None,
        }
    }

    /// A socket that is being established.
    pub(super) fn connecting(descriptor: OwnedFd) -> Self {
        Self { sending: Sending::Connecting, ..Self::new(descriptor) }
    }

    /// The descriptor of a socket that is not closed.
    pub(super) fn into_inner(self) -> OwnedFd {
        self.descriptor.expect("a socket holds its descriptor until it is closed")
    }

    pub(super) fn wanted(&self) -> Interest {
        match (self.receiving == Receiving::Open, self.backlog.is_some()) {
            _ if self.is_broken() => Interest::Nothing,
            _ if self.is_connecting() => Interest::Send,
            (true, true) => Interest::Both,
            (true, false) => Interest::Receive,
            (false, true) => Interest::Send,
            (false, false) => Interest::Errors,
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.sending == Sending::Connecting
    }

    /// The connection is established.
    pub(super) fn establish(&mut self) {
        self.sending = Sending::Open;
    }

    pub(super) fn is_receiving(&self) -> bool {
        self.receiving == Receiving::Open
    }

    pub(super) fn is_backlogged(&self) -> bool {
        self.backlog.is_some()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.sending == Sending::Broken
    }

    pub(super) fn pause(&mut self) {
        if self.receiving == Receiving::Open {
            self.receiving = Receiving::Paused;
        }
    }

    pub(super) fn resume(&mut self) {
        if self.receiving == Receiving::Paused {
            self.receiving = Receiving::Open;
        }
    }

    /// One recv(2).
    pub(super) fn receive(&mut self, buffer: impl Buffer<u8>) -> Received {
        let Some(descriptor) = &self.descriptor else { return Received::Nothing };
        match recv(descriptor, buffer, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => {
                self.receiving = Receiving::Ended;
                Received::EndOfStream
            }
            Ok((_, length)) => {
                self.flow = Flow::of(length);
                Received::Bytes(length)
            }
            Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Err(errno) => Received::Failed(self.fail(errno)),
        }
    }

    /// Takes the error that the kernel keeps for the socket (SO_ERROR in socket(7)).
    pub(super) fn take_error(&mut self) -> Option<Failure> {
        let errno = sockopt::socket_error(self.descriptor.as_ref()?).ok()?.err()?;
        Some(self.fail(errno))
    }

    /// Sends what the socket takes now, with additional `flags`, and keeps the rest. `None`: nothing may be sent any more.
    pub(super) fn send(
        &mut self,
        outgoing: Outgoing,
        flags: SendFlags,
        turn: &[u8],
    ) -> Option<Sent> {
        let Outgoing::Pieces(pieces) = outgoing else {
            return self.send_piece(outgoing, flags, turn);
        };
        let mut sent = None;
        for piece in pieces {
            sent = self.send_piece(piece.into(), flags, turn);
            if !matches!(sent, Some(Sent::All | Sent::Backlogged(_))) {
                break;
            }
        }
        sent
    }

    fn send_piece(&mut self, outgoing: Outgoing, flags: SendFlags, turn: &[u8]) -> Option<Sent> {
        let descriptor = self.descriptor.as_ref()?;
        if self.sending != Sending::Open {
            return None;
        }
        let bytes = match &outgoing {
            Outgoing::Turn(range) => &turn[range.clone()],
            Outgoing::Owned { bytes, start } => &bytes[*start..],
            Outgoing::Shared(bytes) => bytes,
            Outgoing::Pieces(_) => unreachable!("pieces are sent one by one"),
        };
        let sent = if self.backlog.is_some() {
            0
        } else {
            match send(descriptor, bytes, SEND_FLAGS | flags) {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(errno) => return Some(Sent::Failed(self.fail(errno))),
            }
        };
        if sent == bytes.len() {
            return Some(
                self.backlog.as_ref().map_or(Sent::All, |b| Sent::Backlogged(Unsent::of(b))),
            );
        }
        let backlog = self.backlog.get_or_insert_default();
        let kept = match outgoing {
            Outgoing::Turn(range) => backlog.copy(&turn[range][sent..]),
            Outgoing::Owned { bytes, start } => {
                backlog.keep(Bytes::from(bytes).slice(start + sent..))
            }
            Outgoing::Shared(bytes) => backlog.share(bytes.slice(sent..)),
            Outgoing::Pieces(_) => Ok(()),
        };
        let unsent = Unsent::of(backlog);
        // The stream would have a hole without the rest: the connection has failed.
        Some(match kept {
            Ok(()) => Sent::Backlogged(unsent),
            Err(_) => Sent::Failed(self.fail(Errno::NOMEM)),
        })
    }

    /// One sendmsg(2) of the backlog, then FIN if that was requested and all bytes are sent.
    /// `None`: the socket took nothing, or there is no backlog.
    pub(super) fn flush(&mut self) -> Option<Sent> {
        let (descriptor, backlog) = (self.descriptor.as_ref()?, self.backlog.as_mut()?);
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = backlog.lend(&mut slices);
        let mut control = SendAncillaryBuffer::default();
        match sendmsg(descriptor, &slices[..filled], &mut control, SEND_FLAGS) {
            Ok(sent) => backlog.consume(sent),
            Err(Errno::AGAIN | Errno::INTR) => return None,
            Err(errno) => return Some(Sent::Failed(self.fail(errno))),
        }
        if !backlog.is_empty() {
            return Some(Sent::Backlogged(Unsent::of(backlog)));
        }
        self.backlog = None;
        if self.sending == Sending::Finishing {
            self.finish();
        }
        Some(Sent::All)
    }

    /// How far the peer has read; `None` when the connection is broken or closed.
    pub(super) fn progress(&self) -> Option<TcpProgress> {
        let descriptor = self.descriptor.as_ref().filter(|_| !self.is_broken())?;
        let backlog_bytes = self.backlog.as_ref().map_or(0, |backlog| backlog.len());
        Some(TcpProgress::of(descriptor.as_fd(), backlog_bytes))
    }

    /// Sends FIN once the backlog is gone.
    pub(super) fn shut_down(&mut self) {
        if self.sending == Sending::Open {
            self.sending = Sending::Finishing;
            if self.backlog.is_none() {
                self.finish();
            }
        }
    }

    /// Makes the close a reset, so that the kernel drops the bytes that it has taken.
    pub(super) fn reset_at_close(&self) {
        if let Some(descriptor) = &self.descriptor {
            socket_options::reset_at_close(descriptor);
        }
    }

    /// Drops the descriptor and the unsent bytes; `false` if that was done before.
    pub(super) fn close(&mut self) -> bool {
        self.backlog = None;
        self.interest = Interest::Nothing;
        self.descriptor.take().is_some()
    }

    fn finish(&mut self) {
        self.sending = Sending::Finished;
        if let Some(descriptor) = &self.descriptor {
            // This fails only if the peer has reset the connection, which receiving reports.
            let _ = shutdown(descriptor.as_fd(), Shutdown::Write);
        }
    }

    /// Ends receiving and sending after a failure.
    pub(super) fn break_off(&mut self, failure: Failure) -> Failure {
        self.backlog = None;
        self.receiving = Receiving::Ended;
        self.sending = Sending::Broken;
        failure
    }

    fn fail(&mut self, errno: Errno) -> Failure {
        self.break_off(Failure(errno.raw_os_error()))
    }
}
