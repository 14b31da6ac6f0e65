//! Accepting of the io_uring driver: a multishot accept per listener, paused when descriptors run
//! out.
//!
//! It never spins: after EMFILE it turns the waiting clients away and rests.

use std::{
    net::SocketAddr,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

use io_uring::cqueue;

use super::{
    UringDriver,
    sqe::Plain,
    user_data::{self, Kind},
};
use crate::{
    Completion, Listener,
    listener::{ACCEPT_PAUSE, Reserve},
};

/// The listeners of one core.
pub(super) struct Acceptors {
    list: Vec<Acceptor>,
    reserve: Reserve,
    paused_until: Option<Instant>,
    stopping: bool,
}

struct Acceptor {
    /// `None` once closed. Kept open while armed: the request refers to it.
    listener: Option<Listener>,
    armed: bool,
}

impl Acceptors {
    pub(super) fn new(listeners: Vec<Listener>) -> Self {
        let acceptor = |listener| Acceptor { listener: Some(listener), armed: false };
        Self {
            list: listeners.into_iter().map(acceptor).collect(),
            reserve: Reserve::new(),
            paused_until: None,
            stopping: false,
        }
    }

    /// A descriptor was closed: accepting may go on.
    pub(super) fn has_room_again(&mut self) {
        self.paused_until = None;
    }

    /// How long until a pause is over.
    pub(super) fn resumes_in(&self) -> Option<Duration> {
        self.paused_until.map(|until| until.saturating_duration_since(Instant::now()))
    }
}

impl UringDriver {
    /// Arms every listener that is not, unless accepting rests.
    pub(super) fn arm_acceptors(&mut self) {
        let acceptors = &mut self.acceptors;
        if acceptors.paused_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        acceptors.paused_until = None;
        for index in 0..self.acceptors.list.len() {
            let acceptor = &mut self.acceptors.list[index];
            let Some(listener) = acceptor.listener.as_ref().filter(|_| !acceptor.armed) else {
                continue;
            };
            let user_data = user_data::of_index(Kind::Accept, index as u32);
            let entry = Plain::accept(listener.as_fd(), user_data);
            acceptor.armed = true;
            self.push_plain(&entry);
        }
    }

    /// Closes the listeners, those in the kernel's hands after their last completion.
    pub(super) fn stop_accepting(&mut self) {
        self.acceptors.stopping = true;
        for index in 0..self.acceptors.list.len() {
            if self.acceptors.list[index].armed {
                self.cancel(user_data::of_index(Kind::Accept, index as u32));
            } else {
                self.acceptors.list[index].listener = None;
            }
        }
    }

    #[allow(unsafe_code)]
    pub(super) fn complete_accept(&mut self, entry: &cqueue::Entry) -> Option<Completion<'static>> {
        let index = user_data::index(entry.user_data());
        let stopping = self.acceptors.stopping;
        let acceptor = &mut self.acceptors.list[index as usize];
        if !cqueue::more(entry.flags()) {
            acceptor.armed = false;
            if stopping {
                acceptor.listener = None;
            }
        }
        if entry.result() < 0 {
            return self.complete_failed_accept(index, -entry.result());
        }
        // SAFETY: a completed accept passes the ownership of a new descriptor to us, once.
        let descriptor = unsafe { OwnedFd::from_raw_fd(entry.result()) };
        if stopping {
            return None;
        }
        self.admit(index, descriptor)
    }

    fn admit(&mut self, listener: u32, descriptor: OwnedFd) -> Option<Completion<'static>> {
        // getpeername(2), ENOTCONN: the client has already reset the connection, so it is closed.
        let peer = rustix::net::getpeername(&descriptor).ok().flatten()?;
        let peer = SocketAddr::try_from(peer).ok()?;
        match self.adopt(descriptor) {
            Ok(connection) => {
                self.counters.accepted += 1;
                Some(Completion::Accepted { connection, listener: listener as u16, peer })
            }
            Err(descriptor) => {
                drop(descriptor);
                self.counters.refused += 1;
                Some(Completion::Refused { count: 1 })
            }
        }
    }

    fn complete_failed_accept(&mut self, index: u32, errno: i32) -> Option<Completion<'static>> {
        match errno {
            // The client gave up, or a signal came: arm again at once.
            libc::ECANCELED | libc::ECONNABORTED | libc::EINTR | libc::EAGAIN => None,
            libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => {
                let acceptors = &mut self.acceptors;
                acceptors.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
                let listener = acceptors.list[index as usize].listener.as_ref()?;
                let refused = acceptors.reserve.refuse_waiting(listener.as_fd());
                self.counters.refused += u64::from(refused);
                (refused > 0).then_some(Completion::Refused { count: refused })
            }
            errno => {
                let error = std::io::Error::from_raw_os_error(errno);
                tracing::warn!(%error, "accept failed; accepting rests for {ACCEPT_PAUSE:?}");
                self.acceptors.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
                None
            }
        }
    }
}
