//! The driver on epoll: for kernels that forbid io_uring, and the baseline of its measurements.
//!
//! Level-triggered; sends go out in `submit`, one receive per ready connection and turn happens
//! in `next`, into one buffer that all connections share. It never allocates for a connection
//! that is not backlogged. See epoll(7).

mod accept;
mod backlog;
mod connect;
mod poll;
mod socket;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{buffer::spare_capacity, net::SendFlags};

use self::{
    accept::{Acceptor, Arrival, Room},
    poll::{EventFlags, Interest, Poll, Token},
    socket::{Received, Sent, Socket, Unsent},
};
use crate::{
    Completion, ConnectionId, Counters, Driver, Failure, Listener, Operation, Operations, Places,
    Settings, Waker,
    connecting::Connecting,
    places::{Flow, Place, worthwhile},
    slots::Slots,
    tcp_progress::TcpProgress,
};

/// The size of the shared receive buffer: as much as a socket's receive buffer often holds, and at
/// most half of an L2 cache.
const RECEIVE_BYTES_MIN: usize = 64 << 10;

/// Receives for one connection in one turn once its peer is known to have finished, so that the
/// end is seen at once. The rest of a long stream waits for the next turn.
const RECEIVES_TO_END_MAX: u8 = 16;

/// The driver of one core on epoll.
///
/// It uses `connections_max` of [`Settings`] and, above 64 KiB, `receive_buffer_bytes`. There is no
/// ring to size, and epoll cannot hold events back, so [`Settings::wait`] has no effect.
#[derive(Debug)]
pub struct EpollDriver {
    poll: Poll,
    waker: Waker,
    sockets: Slots<Socket>,
    connecting: Connecting,
    acceptor: Acceptor,
    /// Completions to report next.
    reports: VecDeque<Completion<'static>>,
    /// A connection whose end is near, and how many receives it may use to reach it.
    ending: Option<(ConnectionId, u8)>,
    /// A connection whose last receive has filled its room: it may have the rest of a large message.
    unfinished: Option<ConnectionId>,
    receive_buffer: Box<[u8]>,
    counters: Counters,
}

/// A completion that lends nothing yet.
#[derive(Debug)]
enum Report {
    Received {
        connection: ConnectionId,
        length: usize,
    },
    /// The bytes are in a place of the owner's.
    Placed {
        connection: ConnectionId,
        length: usize,
    },
    Told(Completion<'static>),
}

impl EpollDriver {
    /// Bytes of an idle connection in the driver's own tables.
    pub const CONNECTION_BYTES: usize = Slots::<Socket>::SLOT_BYTES;

    /// A driver that accepts from `listeners`.
    ///
    /// # Errors
    /// `epoll_create1(2)`, `eventfd(2)`: no descriptor left.
    pub fn new(settings: &Settings, listeners: Vec<Listener>) -> io::Result<Self> {
        let (poll, waker) = (Poll::new()?, Waker::new()?);
        poll.add_waker(waker.descriptor())?;
        let receive_bytes = RECEIVE_BYTES_MIN.max(settings.receive_buffer_bytes as usize);
        Ok(Self {
            acceptor: Acceptor::new(listeners, &poll)?,
            poll,
            waker,
            sockets: Slots::new(settings.connections_max),
            connecting: Connecting::default(),
            reports: VecDeque::new(),
            ending: None,
            unfinished: None,
            receive_buffer: vec![0; receive_bytes].into_boxed_slice(),
            counters: Counters::default(),
        })
    }

    /// Wakes this driver's thread from another.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Starts to drive a socket made elsewhere, such as a client's.
    ///
    /// # Errors
    /// `connections_max` are held; the descriptor is returned.
    pub fn adopt(&mut self, descriptor: OwnedFd) -> Result<ConnectionId, OwnedFd> {
        let connection =
            self.sockets.insert(Socket::new(descriptor)).map_err(Socket::into_inner)?;
        self.watch(connection);
        Ok(connection)
    }

    fn perform(&mut self, operation: Operation, flags: SendFlags, turn: &[u8]) {
        let Some(connection) = operation.connection() else {
            return match operation {
                Operation::Wake(waker) => waker.wake(),
                Operation::Connect(request) => self.connect(&request),
                Operation::CancelConnect(token) => self.cancel_connect(token),
                _ => self.acceptor.stop(),
            };
        };
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let queues_behind = socket.is_backlogged();
        match operation {
            Operation::Send { outgoing, .. } => match socket.send(outgoing, flags, turn) {
                None | Some(Sent::All) => {}
                Some(Sent::Backlogged(unsent)) => {
                    self.counters.short_sends += u64::from(!queues_behind);
                    self.tell_of_backlog(connection, unsent);
                    self.widen(connection);
                }
                Some(Sent::Failed(failure)) => {
                    self.tell(Completion::Failed { connection, failure });
                }
            },
            Operation::PauseReceive(_) => socket.pause(),
            Operation::ResumeReceive(_) => {
                socket.resume();
                self.widen(connection);
            }
            Operation::MeasureProgress(_) => {
                if let Some(TcpProgress { acknowledged_bytes, unacknowledged_bytes }) =
                    socket.progress()
                {
                    self.tell(Completion::Progress {
                        connection,
                        acknowledged_bytes,
                        unacknowledged_bytes,
                    });
                }
            }
            Operation::Shutdown(_) => socket.shut_down(),
            Operation::Reset(_) => {
                socket.reset_at_close();
                self.close(connection);
            }
            Operation::Close(_) => self.close(connection),
            // These are not about a connection that has a name.
            Operation::Connect(_)
            | Operation::CancelConnect(_)
            | Operation::StopAccepting
            | Operation::Wake(_) => {}
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(socket) = self.sockets.lookup_mut(connection)
            && socket.close()
        {
            self.tell(Completion::Closed { connection });
            self.acceptor.descriptor_freed(&self.poll);
        }
    }

    /// Reports `completion` in this turn, or in the next one.
    fn tell(&mut self, completion: Completion<'static>) {
        self.reports.push_back(completion);
    }

    /// Adds the interest that is wanted and missing to the epoll set.
    fn widen(&mut self, connection: ConnectionId) {
        if let Some(socket) = self.sockets.lookup(connection)
            && !socket.interest.covers(socket.wanted())
        {
            self.watch(connection);
        }
    }

    /// Makes the epoll set have exactly the interest that is wanted.
    fn watch(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let Some(descriptor) = &socket.descriptor else { return };
        let wanted = socket.wanted();
        match self.poll.change(descriptor.as_fd(), connection, socket.interest, wanted) {
            Ok(()) => socket.interest = wanted,
            // ENOMEM or ENOSPC: an unwatched connection would hang for ever.
            Err(error) => {
                let failure = Failure(error.raw_os_error().unwrap_or(libc::ENOMEM));
                let failure = socket.break_off(failure);
                self.tell(Completion::Failed { connection, failure });
            }
        }
    }

    /// The turn's next report: first those queued, then the ready connections, then new clients.
    fn next_report(&mut self, places: &mut dyn Places) -> Option<Report> {
        loop {
            if let Some(completion) = self.reports.pop_front() {
                if self.is_current(&completion) {
                    return Some(Report::Told(completion));
                }
                continue;
            }
            if let Some((connection, receives)) = self.ending.take() {
                if let Some(report) = self.receive(connection, receives, places) {
                    return Some(report);
                }
                continue;
            }
            if let Some(connection) = self.unfinished.take() {
                if let Some(report) = self.receive_rest(connection, places) {
                    return Some(report);
                }
                continue;
            }
            match self.poll.next_ready() {
                Some((Token::Connection(connection), flags)) => {
                    if let Some(report) = self.serve(connection, flags, places) {
                        return Some(report);
                    }
                }
                Some((Token::Listener(index), _)) => self.acceptor.found_ready(index),
                Some((Token::Waker, _)) => {}
                None => return self.accept().map(Report::Told),
            }
        }
    }

    /// Whether to report it: a closed connection reports only `Closed`, and its slot is then free.
    fn is_current(&mut self, completion: &Completion<'static>) -> bool {
        match *completion {
            Completion::Closed { connection } => self.sockets.remove(connection).is_some(),
            Completion::Backlogged { connection, .. }
            | Completion::Drained { connection }
            | Completion::Progress { connection, .. }
            | Completion::Failed { connection, .. } => {
                self.sockets.lookup(connection).is_some_and(|socket| socket.descriptor.is_some())
            }
            _ => true,
        }
    }

    fn serve(
        &mut self,
        connection: ConnectionId,
        flags: EventFlags,
        places: &mut dyn Places,
    ) -> Option<Report> {
        let socket = self.sockets.lookup_mut(connection)?;
        if socket.is_connecting() {
            return self.complete_connect(connection, flags).map(Report::Told);
        }
        if flags.contains(EventFlags::OUT) && socket.is_backlogged() {
            let sent = socket.flush();
            self.flushed(connection, sent);
        }
        if flags == EventFlags::OUT {
            return None;
        }
        let socket = self.sockets.lookup_mut(connection)?;
        let ending = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if socket.is_receiving() {
            let receives = if flags.intersects(ending) { RECEIVES_TO_END_MAX } else { 1 };
            return self.receive(connection, receives, places);
        }
        if flags.contains(EventFlags::ERR)
            && !socket.is_broken()
            && let Some(failure) = socket.take_error()
        {
            return Some(Report::Told(Completion::Failed { connection, failure }));
        }
        self.quieten(connection, flags);
        None
    }

    /// Stops the epoll set from repeating an unwanted event.
    fn quieten(&mut self, connection: ConnectionId, flags: EventFlags) {
        let Some(socket) = self.sockets.lookup_mut(connection) else { return };
        let Some(descriptor) = &socket.descriptor else { return };
        if flags.contains(EventFlags::HUP) && !socket.is_backlogged() {
            // Both directions have ended, and that event cannot be masked.
            if self
                .poll
                .change(descriptor.as_fd(), connection, socket.interest, Interest::Nothing)
                .is_ok()
            {
                socket.interest = Interest::Nothing;
            }
        } else {
            self.watch(connection);
        }
    }

    fn tell_of_backlog(&mut self, connection: ConnectionId, unsent: Unsent) {
        let Unsent { bytes: unsent_bytes, shared_bytes } = unsent;
        self.tell(Completion::Backlogged { connection, unsent_bytes, shared_bytes });
    }

    fn flushed(&mut self, connection: ConnectionId, sent: Option<Sent>) {
        match sent {
            None => {}
            Some(Sent::Backlogged(unsent)) => {
                self.tell_of_backlog(connection, unsent);
            }
            Some(Sent::Failed(failure)) => {
                self.tell(Completion::Failed { connection, failure });
            }
            Some(Sent::All) => {
                self.tell(Completion::Drained { connection });
                self.watch(connection);
            }
        }
    }

    fn receive(
        &mut self,
        connection: ConnectionId,
        receives: u8,
        places: &mut dyn Places,
    ) -> Option<Report> {
        let socket = self.sockets.lookup_mut(connection)?;
        if socket.flow == Flow::Bulk {
            match worthwhile(places, connection) {
                Place::In(place) => return self.receive_placed(connection, receives, place),
                Place::Lent => {}
                Place::Later => {
                    self.poll.put_off(connection);
                    return None;
                }
            }
        }
        let socket = self.sockets.lookup_mut(connection)?;
        let received = socket.receive(&mut *self.receive_buffer);
        if received == Received::Bytes(self.receive_buffer.len()) {
            self.unfinished = Some(connection);
        }
        self.received(connection, receives, received)
    }

    fn receive_placed(
        &mut self,
        connection: ConnectionId,
        receives: u8,
        place: &mut Vec<u8>,
    ) -> Option<Report> {
        let received = self.sockets.lookup_mut(connection)?.receive(spare_capacity(place));
        if place.len() == place.capacity() {
            self.unfinished = Some(connection);
        }
        match self.received(connection, receives, received)? {
            Report::Received { connection, length } => Some(Report::Placed { connection, length }),
            report => Some(report),
        }
    }

    fn received(
        &mut self,
        connection: ConnectionId,
        receives: u8,
        received: Received,
    ) -> Option<Report> {
        match received {
            Received::Nothing => None,
            Received::Bytes(length) => {
                self.counters.received_bytes += length as u64;
                self.ending = (receives > 1).then(|| (connection, receives - 1));
                Some(Report::Received { connection, length })
            }
            Received::EndOfStream => Some(Report::Told(Completion::EndOfStream { connection })),
            Received::Failed(failure) => {
                Some(Report::Told(Completion::Failed { connection, failure }))
            }
        }
    }

    /// Receives more of a connection whose last receive has filled its room, if that was the
    /// beginning of a large message.
    fn receive_rest(
        &mut self,
        connection: ConnectionId,
        places: &mut dyn Places,
    ) -> Option<Report> {
        if !self.sockets.lookup(connection)?.is_receiving() {
            return None;
        }
        match worthwhile(places, connection) {
            Place::In(place) => self.receive_placed(connection, 1, place),
            Place::Lent | Place::Later => None,
        }
    }

    fn accept(&mut self) -> Option<Completion<'static>> {
        loop {
            let room = if self.sockets.is_full() { Room::Full } else { Room::Free };
            let Some(arrival) = self.acceptor.next_arrival(room, &self.poll) else {
                let count = self.acceptor.take_refused()?;
                self.counters.refused += u64::from(count);
                return Some(Completion::Refused { count });
            };
            if let Some(accepted) = self.admit(arrival) {
                return Some(accepted);
            }
            self.acceptor.count_refused();
        }
    }

    fn admit(&mut self, arrival: Arrival) -> Option<Completion<'static>> {
        let Arrival { descriptor, listener, peer } = arrival;
        let connection = self.adopt(descriptor).ok()?;
        self.counters.accepted += 1;
        Some(Completion::Accepted { connection, listener, peer })
    }
}

impl Driver for EpollDriver {
    fn submit(&mut self, operations: &mut Operations) {
        let (list, turn) = operations.drain();
        let mut list = list.peekable();
        while let Some(operation) = list.next() {
            let flags = match operation.precedes_fin(list.peek()) {
                true => SendFlags::MORE,
                false => SendFlags::empty(),
            };
            self.perform(operation, flags, turn);
        }
        drop(list);
        operations.clear();
    }

    fn send_early(&mut self, operations: &mut Operations) {
        self.submit(operations);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.counters.turns += 1;
        let timeout = match self.acceptor.pause_left(&self.poll) {
            Some(left) => Some(timeout.map_or(left, |timeout| timeout.min(left))),
            None => timeout,
        };
        let may_sleep =
            timeout != Some(Duration::ZERO) && self.reports.is_empty() && self.waker.fall_asleep();
        let result = self.poll.wait(if may_sleep { timeout } else { Some(Duration::ZERO) });
        if self.waker.wake_up() {
            self.tell(Completion::Woken);
        }
        result
    }

    fn next_in(&mut self, places: &mut dyn Places) -> Option<Completion<'_>> {
        let report = self.next_report(places)?;
        self.counters.completions += 1;
        Some(match report {
            Report::Received { connection, length } => {
                Completion::Received { connection, bytes: &mut self.receive_buffer[..length] }
            }
            Report::Placed { connection, length } => Completion::Placed { connection, length },
            Report::Told(completion) => completion,
        })
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
