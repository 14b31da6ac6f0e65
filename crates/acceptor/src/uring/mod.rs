//! The io_uring driver: multishot accepts and receives, sends that run inline, one enter per turn.
//!
//! An enter both submits the turn's operations and waits; operations that are sent early have one
//! of their own, without a wait. Its completions are taken out of the ring at once (`harvest`),
//! where short sends become backlogs; the rest is reported one by one.

mod accept;
mod backlog;
#[allow(unsafe_code)]
mod buffers;
mod bulk;
mod check;
#[allow(unsafe_code)]
mod connect;
mod ending;
pub mod features;
mod pace;
pub mod probe;
#[allow(unsafe_code)]
mod receive;
#[allow(unsafe_code)]
mod ring;
mod send;
mod socket;
mod sqe;
mod turn;
mod user_data;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use io_uring::{cqueue, squeue};
use socket2::SockAddr;

use self::{
    accept::Acceptors,
    buffers::Buffers,
    check::Doubt,
    pace::Pace,
    ring::Ring,
    socket::{Ending, Socket, Stream},
    sqe::{Expect, Plain},
    turn::TurnState,
    user_data::Kind,
};
use crate::{
    Completion, ConnectionId, Counters, Driver, Failure, Listener, Operation, Operations, Places,
    Settings, Waker, connecting::Connecting, slots::Slots,
};

/// The io_uring driver. Belongs to the thread that made it: its ring is entered by a number that
/// is invalid on other threads, or names another ring.
///
/// ```compile_fail
/// fn sent_elsewhere<T: Send>() {}
/// sent_elsewhere::<ringway_acceptor::uring::UringDriver>();
/// ```
pub struct UringDriver {
    // Dropped first: the kernel releases the memory below before that is freed.
    ring: Ring,
    buffers: Buffers,
    /// Where one bulk connection after the other receives (see `bulk`).
    bulk_buffer: Box<[u8]>,
    /// A bulk connection that may have more to receive in this turn.
    unfinished: Option<ConnectionId>,
    has_bounded_receive: bool,
    doubt: Doubt,
    /// Sockets with their backlogs, whose first pieces the kernel may be reading.
    sockets: Slots<Socket>,
    /// The turn being submitted: its buffers belong to the kernel until the enter.
    turn: Operations,
    /// The addresses that the turn connects to; they belong to the kernel until the enter, too.
    #[allow(clippy::vec_box, reason = "an address does not move while others are appended")]
    addresses: Vec<Box<SockAddr>>,
    connecting: Connecting,
    acceptors: Acceptors,
    /// Receives to arm at the next submission.
    to_arm: Vec<(ConnectionId, Expect)>,
    /// Where the receives of connections that were put off begin in `to_arm`.
    put_off_from: Option<usize>,
    /// Connections whose socket may have broken unseen (see `check`).
    doubted: Vec<ConnectionId>,
    /// Connections to shut down or close once the turn's sends are done.
    to_end: Vec<ConnectionId>,
    harvested: Vec<cqueue::Entry>,
    /// Next entry of `harvested` to report.
    reported: usize,
    /// Reports that do not come from a single completion.
    events: VecDeque<Completion<'static>>,
    /// The buffer lent by the last `next`.
    lent: Option<u16>,
    waker: Waker,
    wake_armed: bool,
    pace: Pace,
    started: Instant,
    counters: Counters,
    turn_state: TurnState,
    /// Why the ring takes no more operations. From then on nothing is submitted, and memory of
    /// operations that may still be queued stays untouched until the ring is gone.
    broken: Option<io::Error>,
}

/// A completion that lends nothing yet.
#[derive(Debug)]
enum Event {
    Received {
        connection: ConnectionId,
        buffer: u16,
        length: usize,
    },
    /// The bytes are in the bulk buffer.
    ReceivedBulk {
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

impl UringDriver {
    /// Bytes of an idle connection in the driver's own tables.
    pub const CONNECTION_BYTES: usize = Slots::<Socket>::SLOT_BYTES;

    /// A driver for the calling thread, and only for it.
    ///
    /// # Errors
    /// `io_uring_setup(2)` or a registration is refused: see [`probe::check`] for the reasons.
    pub fn new(settings: &Settings, listeners: Vec<Listener>) -> io::Result<Self> {
        pace::sharpen_timers();
        let mut ring = Ring::new(settings.submission_entries)?;
        let mut buffers = Buffers::register(
            ring.instance(),
            settings.receive_buffers,
            settings.receive_buffer_bytes,
        )?;
        let has_bounded_receive = receive::is_bounded(&mut ring, &mut buffers)?;
        let doubt = Doubt::of_kernel(&mut ring, &mut buffers);
        let waker = Waker::new()?;
        waker.sleeps_in(ring.instance().as_raw_fd());
        Ok(Self {
            ring,
            buffers,
            bulk_buffer: Box::default(),
            unfinished: None,
            has_bounded_receive,
            doubt,
            sockets: Slots::new(settings.connections_max),
            turn: Operations::default(),
            addresses: Vec::new(),
            connecting: Connecting::default(),
            acceptors: Acceptors::new(listeners),
            to_arm: Vec::new(),
            put_off_from: None,
            doubted: Vec::new(),
            to_end: Vec::new(),
            harvested: Vec::new(),
            reported: 0,
            events: VecDeque::new(),
            lent: None,
            waker,
            wake_armed: false,
            pace: Pace::new(settings.wait),
            started: Instant::now(),
            counters: Counters::default(),
            turn_state: TurnState::Settled,
            broken: None,
        })
    }

    /// Wakes this driver from another thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Whether waits can be batched (Linux 6.12).
    pub fn has_min_wait(&self) -> bool {
        self.ring.has_min_wait()
    }

    /// Whether one client's share of a turn is bounded (Linux 6.17).
    pub fn has_bounded_receive(&self) -> bool {
        self.has_bounded_receive
    }

    /// Starts to drive a socket made elsewhere, such as a client's.
    ///
    /// # Errors
    /// `connections_max` are held; the descriptor is returned.
    pub fn adopt(&mut self, descriptor: OwnedFd) -> Result<ConnectionId, OwnedFd> {
        let connection =
            self.sockets.insert(Socket::new(descriptor)).map_err(|socket| socket.descriptor)?;
        self.queue_receive(connection, Expect::Silence);
        Ok(connection)
    }

    /// Queues an entry; the callers' SAFETY comments say how its memory, if any, is pinned.
    ///
    /// # Safety
    /// As [`Ring::push`].
    #[allow(unsafe_code)]
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        if self.broken.is_some() {
            return;
        }
        // SAFETY: passed on to the caller by this function's contract.
        let pushed = unsafe { self.ring.push(entry) };
        self.note(pushed);
    }

    /// Queues an operation that refers to no memory.
    fn push_plain(&mut self, sqe: &Plain) {
        if self.broken.is_some() {
            return;
        }
        let pushed = self.ring.push_plain(sqe);
        self.note(pushed);
    }

    /// Records an error of the ring, which ends this core: `wait` returns it.
    fn note(&mut self, pushed: io::Result<()>) {
        if let Err(error) = pushed {
            self.broken.get_or_insert(error);
        }
    }

    /// Takes the operations and queues their entries.
    fn queue(&mut self, operations: &mut Operations) {
        // Otherwise the queue would point into buffers that are reused.
        assert!(
            self.turn_state == TurnState::Settled,
            "a turn is submitted after the last one's wait"
        );
        self.turn_state = TurnState::Queued;
        self.turn.clear();
        self.addresses.clear();
        std::mem::swap(&mut self.turn, operations);
        for index in 0..self.turn.list().len() {
            self.submit_operation(index);
        }
    }

    fn submit_operation(&mut self, index: usize) {
        match &self.turn.list()[index] {
            Operation::Send { .. } => self.submit_send(index),
            Operation::Connect(_) => self.submit_connect(index),
            Operation::CancelConnect(token) => self.cancel_connect(*token),
            Operation::PauseReceive(connection) => self.pause(*connection),
            Operation::ResumeReceive(connection) => self.resume(*connection),
            Operation::MeasureProgress(connection) => self.measure_progress(*connection),
            Operation::Shutdown(connection) => self.want_end(*connection, Ending::ShutdownWanted),
            Operation::Close(connection) => self.want_end(*connection, Ending::Closing),
            Operation::Reset(connection) => self.want_reset(*connection),
            Operation::StopAccepting => self.stop_accepting(),
            Operation::Wake(waker) => {
                if waker.notify() {
                    self.ring_other(index);
                }
            }
        }
    }

    fn cancel(&mut self, target: u64) {
        let user_data = user_data::of_index(Kind::Ignored, 0);
        self.push_plain(&Plain::cancel(target, user_data));
    }

    fn arm_waker(&mut self) {
        if !self.wake_armed {
            self.wake_armed = true;
            let user_data = user_data::of_index(Kind::Wake, 0);
            let entry = Plain::poll(self.waker.descriptor(), user_data);
            self.push_plain(&entry);
        }
    }

    /// Ends another core's sleep by a message to its ring, in this turn's batch.
    fn ring_other(&mut self, index: usize) {
        let Operation::Wake(waker) = &self.turn.list()[index] else { return };
        let Some(ring) = waker.ring() else { return waker.signal() };
        let told = user_data::of_index(Kind::Ignored, 0);
        let user_data = user_data::of_index(Kind::WakeOther, index as u32);
        self.push_plain(&Plain::message(ring, told, user_data));
    }

    /// The other ring did not take the message: its kernel is old, or the ring is gone.
    fn complete_wake_other(&mut self, index: usize) {
        if let Some(Operation::Wake(waker)) = self.turn.list().get(index) {
            waker.signal();
        }
    }

    fn next_event(&mut self, places: &mut dyn Places) -> Option<Event> {
        loop {
            if let Some(completion) = self.events.pop_front() {
                return Some(Event::Told(completion));
            }
            if let Some(connection) = self.unfinished.take() {
                match self.receive_rest(connection, places) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let entry = self.harvested.get(self.reported)?.clone();
            self.reported += 1;
            let data = entry.user_data();
            let told = match user_data::kind(data) {
                Kind::Receive => match self.complete_receive(&entry, places) {
                    Some(event) => return Some(event),
                    None => continue,
                },
                Kind::Accept => self.complete_accept(&entry),
                Kind::Connect => self.complete_connect(user_data::connection(data), entry.result()),
                Kind::BacklogSend => {
                    self.complete_backlog_send(user_data::connection(data), entry.result())
                }
                Kind::Check => self.complete_check(user_data::connection(data), -entry.result()),
                Kind::Wake => {
                    self.complete_wake(&entry);
                    continue;
                }
                Kind::WakeOther => {
                    self.complete_wake_other(user_data::index(data) as usize);
                    continue;
                }
                Kind::InlineSend | Kind::Ignored => continue,
            };
            if let Some(completion) = told {
                return Some(Event::Told(completion));
            }
        }
    }

    /// Marks a connection as broken; returns the report, unless it was made before.
    fn fail(&mut self, connection: ConnectionId, errno: i32) -> Option<Completion<'static>> {
        let socket = self.sockets.lookup_mut(connection)?;
        if socket.stream == Stream::Failed || socket.is_closing() {
            return None;
        }
        socket.stream = Stream::Failed;
        if !socket.is_sending() {
            socket.backlog = None;
        }
        Some(Completion::Failed { connection, failure: Failure(errno) })
    }

    /// The eventfd became readable; the waker's state decides whether to report it.
    fn complete_wake(&mut self, entry: &cqueue::Entry) {
        self.wake_armed = cqueue::more(entry.flags());
        self.waker.clear();
    }
}

impl Driver for UringDriver {
    fn submit(&mut self, operations: &mut Operations) {
        if self.broken.is_some() {
            return operations.clear();
        }
        assert!(
            self.reported == self.harvested.len() && self.events.is_empty(),
            "the turn must be read to its end before the next one is submitted"
        );
        self.queue(operations);
        self.check_doubted();
        self.arm_receives();
    }

    fn send_early(&mut self, operations: &mut Operations) {
        if self.broken.is_some() {
            return operations.clear();
        }
        self.queue(operations);
        if let Err(error) = self.enter_early() {
            self.broken.get_or_insert(error);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.broken.is_none()
            && let Err(error) = self.enter(timeout)
        {
            self.broken.get_or_insert(error);
        }
        self.broken.as_ref().map_or(Ok(()), |error| {
            let errno = error.raw_os_error().map(io::Error::from_raw_os_error);
            Err(errno.unwrap_or_else(|| io::Error::new(error.kind(), error.to_string())))
        })
    }

    fn next_in(&mut self, places: &mut dyn Places) -> Option<Completion<'_>> {
        if let Some(id) = self.lent.take() {
            self.buffers.recycle(id);
        }
        let event = self.next_event(places)?;
        self.counters.completions += 1;
        match event {
            Event::Told(completion) => Some(completion),
            Event::Received { connection, buffer, length } => {
                self.counters.received_bytes += length as u64;
                self.lent = Some(buffer);
                Some(Completion::Received { connection, bytes: self.buffers.lend(buffer, length) })
            }
            Event::ReceivedBulk { connection, length } => {
                self.counters.received_bytes += length as u64;
                Some(Completion::Received { connection, bytes: &mut self.bulk_buffer[..length] })
            }
            Event::Placed { connection, length } => {
                self.counters.received_bytes += length as u64;
                Some(Completion::Placed { connection, length })
            }
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Drop for UringDriver {
    /// Memory that the kernel may still use is not freed.
    fn drop(&mut self) {
        if !self.ring.cancel_all() {
            tracing::error!("io_uring did not let go of its operations; their memory is kept");
            self.buffers.keep();
            std::mem::forget(std::mem::take(&mut self.turn));
            std::mem::forget(std::mem::take(&mut self.addresses));
            std::mem::forget(std::mem::replace(&mut self.sockets, Slots::new(0)));
        }
    }
}

#[cfg(test)]
mod tests;
