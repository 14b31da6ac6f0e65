//! The epoll set: which descriptor is watched for what, and what one wait found ready.
//!
//! Level-triggered except for the waker. It never reads or writes a socket. See epoll(7).

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    io::Errno,
};

use crate::ConnectionId;

pub(super) use rustix::event::epoll::EventFlags;

/// Ready descriptors found by one wait; if there are more, the kernel reports them in rotation.
const EVENTS_MAX: usize = 1_024;

/// The events that a connection is watched for. `EPOLLERR` and `EPOLLHUP` are always included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Not in the set at all.
    Nothing,
    /// In the set for errors only.
    Errors,
    Receive,
    Send,
    Both,
}

impl Interest {
    fn flags(self) -> EventFlags {
        let receive = EventFlags::IN | EventFlags::RDHUP;
        match self {
            Self::Nothing | Self::Errors => EventFlags::empty(),
            Self::Receive => receive,
            Self::Send => EventFlags::OUT,
            Self::Both => receive | EventFlags::OUT,
        }
    }

    /// Whether it includes all events of `other`.
    pub(super) fn covers(self, other: Self) -> bool {
        self == other
            || match other {
                Self::Nothing => true,
                Self::Errors => self != Self::Nothing,
                Self::Receive | Self::Send => self == Self::Both,
                Self::Both => false,
            }
    }
}

/// The subject of an event; packed into the event's 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Connection(ConnectionId),
    Listener(u16),
    Waker,
}

const KIND_SHIFT: u32 = 56;
const KIND_LISTENER: u64 = 1;
const KIND_WAKER: u64 = 2;

const _: () = assert!(ConnectionId::GENERATIONS as u64 <= 1 << (KIND_SHIFT - 32));

impl Token {
    fn pack(self) -> epoll::EventData {
        epoll::EventData::new_u64(match self {
            Self::Connection(name) => u64::from(name.generation()) << 32 | u64::from(name.slot()),
            Self::Listener(index) => KIND_LISTENER << KIND_SHIFT | u64::from(index),
            Self::Waker => KIND_WAKER << KIND_SHIFT,
        })
    }

    fn unpack(data: epoll::EventData) -> Self {
        let bits = data.u64();
        match bits >> KIND_SHIFT {
            KIND_LISTENER => Self::Listener(bits as u16),
            KIND_WAKER => Self::Waker,
            _ => Self::Connection(ConnectionId::new(bits as u32, (bits >> 32) as u32)),
        }
    }
}

pub(super) struct Poll {
    set: OwnedFd,
    /// The events of the last wait, and how many of them have been taken.
    events: Vec<epoll::Event>,
    taken: usize,
    /// The first connection that was put off since the last wait.
    put_off: Option<ConnectionId>,
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = self.events.len() - self.taken;
        f.debug_struct("Poll").field("set", &self.set).field("ready", &ready).finish()
    }
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { set, events: Vec::with_capacity(EVENTS_MAX), taken: 0, put_off: None })
    }

    /// Watches an eventfd edge-triggered: each write is one event, and no read is needed.
    pub(super) fn add_waker(&self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::ET;
        Ok(epoll::add(&self.set, eventfd, Token::Waker.pack(), flags)?)
    }

    pub(super) fn add_listener(&self, listener: impl AsFd, index: u16) -> io::Result<()> {
        Ok(epoll::add(&self.set, listener, Token::Listener(index).pack(), EventFlags::IN)?)
    }

    /// Takes a listener out of the set, if it is in it.
    pub(super) fn remove_listener(&self, listener: impl AsFd) {
        let _ = epoll::delete(&self.set, listener);
    }

    /// Watches a connection for `new` instead of `old`.
    pub(super) fn change(
        &self,
        descriptor: BorrowedFd<'_>,
        connection: ConnectionId,
        old: Interest,
        new: Interest,
    ) -> io::Result<()> {
        let (data, flags) = (Token::Connection(connection).pack(), new.flags());
        match (old, new) {
            (old, new) if old == new => return Ok(()),
            (Interest::Nothing, _) => epoll::add(&self.set, descriptor, data, flags),
            (_, Interest::Nothing) => epoll::delete(&self.set, descriptor),
            _ => epoll::modify(&self.set, descriptor, data, flags),
        }
        .map_err(io::Error::from)
    }

    /// Sleeps until something is ready. The kernel is asked in whole milliseconds, rounded up: that
    /// is finer than the timing wheel, and sandboxes do not know `epoll_pwait2(2)`.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.events.clear();
        self.taken = 0;
        // A timeout too large for the kernel counts as none.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.set, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if let Some(first) = self.put_off.take() {
            let is_first =
                |event: &epoll::Event| Token::unpack(event.data) == Token::Connection(first);
            let at = self.events.iter().position(is_first).unwrap_or(0);
            self.events.rotate_left(at);
        }
        Ok(())
    }

    /// Leaves a ready connection to the next turn, which begins with the first of those: the kernel
    /// reports descriptors that stay ready in the same order each time.
    pub(super) fn put_off(&mut self, connection: ConnectionId) {
        self.put_off.get_or_insert(connection);
    }

    /// The next ready descriptor of the last wait.
    pub(super) fn next_ready(&mut self) -> Option<(Token, EventFlags)> {
        let epoll::Event { flags, data, .. } = *self.events.get(self.taken)?;
        self.taken += 1;
        Some((Token::unpack(data), flags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        for token in [
            Token::Connection(ConnectionId::new(0, 0)),
            Token::Connection(ConnectionId::new(u32::MAX, ConnectionId::GENERATIONS - 1)),
            Token::Listener(0),
            Token::Listener(u16::MAX),
            Token::Waker,
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }

    #[test]
    fn a_token_covers_the_readiness_of_its_flags() {
        use Interest::{Both, Errors, Nothing, Receive, Send};
        for a in [Nothing, Errors, Receive, Send, Both] {
            for b in [Nothing, Errors, Receive, Send, Both] {
                let expected = a.flags().contains(b.flags()) && (a != Nothing || b == Nothing);
                assert_eq!(a.covers(b), expected, "{a:?} {b:?}");
            }
        }
    }
}
