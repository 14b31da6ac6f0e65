//! Accepting of the io_uring driver: a multishot accept per listener, or several accepts of one
//! client each if others accept from the same socket; paused when descriptors run out.
//!
//! It never spins: after EMFILE it refuses the waiting clients and pauses.

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

/// Accepts of one client each that are armed on a socket that others accept from, and thus the most
/// clients that it brings in a turn.
///
/// The kernel wakes the request that has waited longest. A multishot accept keeps its place in that
/// queue, so the first core would get every client; an accept that is armed again goes to the end,
/// so the cores take turns, and a busy core is passed over.
const SHARED_ACCEPTS: u32 = 16;

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
    /// Requests in the kernel's hands.
    armed: u32,
}

impl Acceptor {
    /// The next request to queue; `None` if enough are armed.
    fn arm(&mut self, index: u32) -> Option<Plain> {
        let listener = self.listener.as_ref()?;
        let is_shared = listener.may_be_shared();
        if self.armed >= if is_shared { SHARED_ACCEPTS } else { 1 } {
            return None;
        }
        self.armed += 1;
        let user_data = user_data::of_index(Kind::Accept, index);
        Some(match is_shared {
            true => Plain::accept_one(listener.as_fd(), user_data),
            false => Plain::accept(listener.as_fd(), user_data),
        })
    }
}

impl Acceptors {
    pub(super) fn new(listeners: Vec<Listener>) -> Self {
        let acceptor = |listener| Acceptor { listener: Some(listener), armed: 0 };
        Self {
            list: listeners.into_iter().map(acceptor).collect(),
            reserve: Reserve::new(),
            paused_until: None,
            stopping: false,
        }
    }

    /// A descriptor was closed: accepting may resume.
    pub(super) fn has_room_again(&mut self) {
        self.paused_until = None;
    }

    /// How long until a pause is over.
    pub(super) fn resumes_in(&self) -> Option<Duration> {
        self.paused_until.map(|until| until.saturating_duration_since(Instant::now()))
    }
}

impl UringDriver {
    /// Arms every listener that is not armed, unless accepting is paused.
    pub(super) fn arm_acceptors(&mut self) {
        let acceptors = &mut self.acceptors;
        if acceptors.stopping || acceptors.paused_until.is_some_and(|until| until > Instant::now())
        {
            return;
        }
        acceptors.paused_until = None;
        for index in 0..self.acceptors.list.len() {
            while let Some(entry) = self.acceptors.list[index].arm(index as u32) {
                self.push_plain(&entry);
            }
        }
    }

    /// Closes the listeners; armed ones after their last completion.
    pub(super) fn stop_accepting(&mut self) {
        self.acceptors.stopping = true;
        for index in 0..self.acceptors.list.len() {
            let acceptor = &mut self.acceptors.list[index];
            if acceptor.armed == 0 {
                acceptor.listener = None;
                continue;
            }
            let target = user_data::of_index(Kind::Accept, index as u32);
            let cancel = Plain::cancel_all(target, user_data::of_index(Kind::Ignored, 0));
            self.push_plain(&cancel);
        }
    }

    #[allow(unsafe_code)]
    pub(super) fn complete_accept(&mut self, entry: &cqueue::Entry) -> Option<Completion<'static>> {
        let index = user_data::index(entry.user_data());
        let stopping = self.acceptors.stopping;
        let acceptor = &mut self.acceptors.list[index as usize];
        if !cqueue::more(entry.flags()) {
            acceptor.armed -= 1;
            if stopping && acceptor.armed == 0 {
                acceptor.listener = None;
            }
        }
        if entry.result() < 0 {
            return self.complete_failed_accept(index, -entry.result());
        }
        // SAFETY: a completed accept passes the ownership of a new descriptor to us, once.
        let descriptor = unsafe { OwnedFd::from_raw_fd(entry.result()) };
        // Accepted just before accepting stopped: like the others, it is told to leave.
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
