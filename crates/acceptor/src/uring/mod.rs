//! The io_uring driver: multishot accepts and receives, sends that run inline, one enter a turn.
//!
//! An enter both submits the turn's operations and waits. Its completions are taken out of the
//! ring at once (`harvest`), where short sends become backlogs; the rest is reported one by one.

mod accept;
mod backlog;
#[allow(unsafe_code)]
mod buffers;
mod ending;
mod pace;
pub mod probe;
#[allow(unsafe_code)]
mod receive;
#[allow(unsafe_code)]
mod ring;
mod send;
mod socket;
mod user_data;

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use io_uring::{cqueue, opcode, squeue, types::Fd};

use self::{
    accept::Acceptors,
    buffers::Buffers,
    pace::Pace,
    ring::{Ring, Wait},
    socket::{Ending, Socket, Stream},
    user_data::Kind,
};
use crate::{
    Completion, Connection, Counters, Driver, Failure, Listener, Operation, Operations, Settings,
    Waker, slots::Slots,
};

/// The io_uring driver. Belongs to the thread that made it.
pub struct UringDriver {
    // Dropped first: the kernel lets go of the memory below before that is freed.
    ring: Ring,
    buffers: Buffers,
    /// Backlogs, whose first pieces the kernel may be reading.
    sockets: Slots<Socket>,
    /// The turn being submitted: its buffers are the kernel's until the enter.
    turn: Operations,
    acceptors: Acceptors,
    /// Receives to arm at the next submission.
    to_arm: Vec<Connection>,
    /// Connections to shut down or close once the turn's sends are done.
    to_end: Vec<Connection>,
    harvested: Vec<cqueue::Entry>,
    /// Next entry of `harvested` to report.
    reported: usize,
    /// Reports that no single completion stands for.
    events: VecDeque<Event>,
    /// The buffer lent by the last `next`.
    lent: Option<u16>,
    waker: Waker,
    wake_armed: bool,
    pace: Pace,
    started: Instant,
    counters: Counters,
}

/// A completion that lends nothing yet.
#[derive(Debug, Clone, Copy)]
enum Event {
    Accepted(Connection, u16, SocketAddr),
    /// The buffer and how many bytes of it.
    Received(Connection, u16, usize),
    EndOfStream(Connection),
    Failed(Connection, Failure),
    Backlogged(Connection, usize),
    Drained(Connection),
    Closed(Connection),
    Refused(u32),
    Woken,
}

impl UringDriver {
    /// A driver for the calling thread, and only for it.
    ///
    /// # Errors
    /// `io_uring_setup(2)` or a registration refused: see [`probe::check`] for the reasons.
    pub fn new(settings: &Settings, listeners: Vec<Listener>) -> io::Result<Self> {
        let ring = Ring::new(settings.submission_entries)?;
        let buffers = Buffers::register(
            ring.instance(),
            settings.receive_buffers,
            settings.receive_buffer_bytes,
        )?;
        Ok(Self {
            ring,
            buffers,
            sockets: Slots::new(settings.connections_max),
            turn: Operations::default(),
            acceptors: Acceptors::new(listeners),
            to_arm: Vec::new(),
            to_end: Vec::new(),
            harvested: Vec::new(),
            reported: 0,
            events: VecDeque::new(),
            lent: None,
            waker: Waker::new()?,
            wake_armed: false,
            pace: Pace::new(settings.wait),
            started: Instant::now(),
            counters: Counters::default(),
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

    /// Starts to drive a socket that was made elsewhere, such as a client's.
    ///
    /// # Errors
    /// The descriptor itself when `connections_max` are held.
    pub fn adopt(&mut self, descriptor: OwnedFd) -> Result<Connection, OwnedFd> {
        let connection =
            self.sockets.insert(Socket::new(descriptor)).map_err(|socket| socket.descriptor)?;
        self.queue_receive(connection);
        Ok(connection)
    }

    /// Queues an entry whose memory, if it has any, is pinned as the callers' SAFETY says.
    ///
    /// # Safety
    /// As [`Ring::push`].
    #[allow(unsafe_code)]
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: passed on to the caller by this function's contract.
        let pushed = unsafe { self.ring.push(entry) };
        // A ring that takes no entries at all is reported by the enter in `wait`.
        debug_assert!(pushed.is_ok(), "{pushed:?}");
    }

    /// Queues an entry that refers to no memory.
    #[allow(unsafe_code)]
    fn push_plain(&mut self, entry: &squeue::Entry) {
        // SAFETY: nothing to keep valid.
        unsafe { self.push(entry) }
    }

    fn submit_operation(&mut self, index: usize) {
        match &self.turn.list()[index] {
            Operation::Send { .. } => self.submit_send(index),
            Operation::PauseReceive(connection) => self.pause(*connection),
            Operation::ResumeReceive(connection) => self.resume(*connection),
            Operation::Shutdown(connection) => self.want_end(*connection, Ending::ShutdownWanted),
            Operation::Close(connection) => self.want_end(*connection, Ending::Closing),
            Operation::StopAccepting => self.stop_accepting(),
        }
    }

    fn cancel(&mut self, target: u64) {
        let entry = opcode::AsyncCancel::new(target)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(user_data::of_index(Kind::Ignored, 0));
        self.push_plain(&entry);
    }

    fn arm_waker(&mut self) {
        if !self.wake_armed {
            self.wake_armed = true;
            let entry =
                opcode::PollAdd::new(Fd(self.waker.descriptor().as_raw_fd()), libc::POLLIN as u32)
                    .multi(true)
                    .build()
                    .user_data(user_data::of_index(Kind::Wake, 0));
            self.push_plain(&entry);
        }
    }

    /// Takes the completions out of the ring and deals at once with those that decide about
    /// memory: sends that came short.
    fn harvest(&mut self) -> io::Result<()> {
        let mut first = self.harvested.len();
        self.ring.take_completions(&mut self.harvested);
        while self.ring.has_overflowed() {
            self.ring.submit_and_wait(Wait::NONE)?;
            self.ring.take_completions(&mut self.harvested);
        }
        while first < self.harvested.len() {
            let entry = &self.harvested[first];
            let (data, result) = (entry.user_data(), entry.result());
            if user_data::kind(data) == Kind::InlineSend {
                self.complete_inline_send(user_data::index(data) as usize, result);
            }
            first += 1;
        }
        Ok(())
    }

    fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let entry = self.harvested.get(self.reported)?.clone();
            self.reported += 1;
            let data = entry.user_data();
            let event = match user_data::kind(data) {
                Kind::Receive => self.complete_receive(&entry),
                Kind::Accept => self.complete_accept(&entry),
                Kind::BacklogSend => {
                    self.complete_backlog_send(user_data::connection(data), entry.result())
                }
                Kind::Wake => self.complete_wake(&entry),
                Kind::InlineSend | Kind::Ignored => None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Marks a connection as broken; the report, unless it was made before.
    fn fail(&mut self, connection: Connection, errno: i32) -> Option<Event> {
        let socket = self.sockets.lookup_mut(connection)?;
        if socket.stream == Stream::Failed || socket.is_closing() {
            return None;
        }
        socket.stream = Stream::Failed;
        if !socket.is_sending() {
            socket.backlog = None;
        }
        Some(Event::Failed(connection, Failure(errno)))
    }

    /// The eventfd became readable; whether to report it, the waker's state has said.
    fn complete_wake(&mut self, entry: &cqueue::Entry) -> Option<Event> {
        self.wake_armed = cqueue::more(entry.flags());
        self.waker.clear();
        None
    }
}

impl Driver for UringDriver {
    fn submit(&mut self, operations: &mut Operations) {
        assert!(
            self.reported == self.harvested.len() && self.events.is_empty(),
            "the turn must be read to its end before the next one is submitted"
        );
        self.turn.clear();
        std::mem::swap(&mut self.turn, operations);
        for index in 0..self.turn.list().len() {
            self.submit_operation(index);
        }
        self.arm_receives();
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.harvested.clear();
        self.reported = 0;
        self.buffers.publish();
        self.arm_waker();
        self.arm_acceptors();
        let plan = self.pace.plan();
        let timeout = match (timeout, self.acceptors.resumes_in()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        // Endings are due right after the sends have run, which is after this enter.
        let sleeps = self.to_end.is_empty() && self.events.is_empty() && self.waker.fall_asleep();
        self.ring.submit_and_wait(Wait {
            want: plan.want,
            min_wait_us: plan.min_wait_us,
            timeout: if sleeps { timeout } else { Some(Duration::ZERO) },
        })?;
        if self.waker.wake_up() {
            self.events.push_back(Event::Woken);
        }
        self.harvest()?;
        self.end_connections();
        self.counters.turns += 1;
        if self.pace.is_timed() {
            self.pace.observe(self.harvested.len(), self.started.elapsed());
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Completion<'_>> {
        if let Some(id) = self.lent.take() {
            self.buffers.recycle(id);
        }
        let event = self.next_event()?;
        self.counters.completions += 1;
        Some(match event {
            Event::Accepted(connection, listener, peer) => {
                Completion::Accepted { connection, listener, peer }
            }
            Event::Received(connection, buffer, length) => {
                self.counters.received_bytes += length as u64;
                self.lent = Some(buffer);
                Completion::Received { connection, bytes: self.buffers.lend(buffer, length) }
            }
            Event::EndOfStream(connection) => Completion::EndOfStream { connection },
            Event::Failed(connection, failure) => Completion::Failed { connection, failure },
            Event::Backlogged(connection, unsent_bytes) => {
                Completion::Backlogged { connection, unsent_bytes }
            }
            Event::Drained(connection) => Completion::Drained { connection },
            Event::Closed(connection) => Completion::Closed { connection },
            Event::Refused(count) => Completion::Refused { count },
            Event::Woken => Completion::Woken,
        })
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
