//! The floor's io_uring: multishot accept, multishot receive into provided buffers, sends that run
//! inline and post nothing, one enter per turn. All unsafe code of the floor is here.
//!
//! Invariants: a buffer is in the kernel's hands, or lent to the floor, or part of the turn's
//! sends; and the bytes that a turn sends do not change before the enter that consumes them has
//! returned. It never reads a byte.

use std::{
    alloc::{Layout, alloc_zeroed, handle_alloc_error},
    io,
    net::TcpListener,
    os::fd::AsRawFd,
    ptr::{null, null_mut},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result, ensure};
use io_uring::{
    CompletionQueue, EnterFlags, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue,
    types::{BufRingEntry, Fd, Fixed},
};
use libc::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_WAITALL, iovec, msghdr};

use crate::sockets::{Chunk, Kind, Sockets, kind_of, slot_of, user_data};

/// The most connections: slots of the ring's own file table, which need no descriptors.
const SLOTS: u32 = 20_000;
const ENTRIES: u32 = 1024;
/// One enter without waiting posts at most as many completions as it has entries.
const COMPLETIONS: u32 = 8 * ENTRIES;
/// A turn's buffers go back after the next enter. Half as many run out with 1,000 clients, and each
/// receive that finds none has to be armed again.
const BUFFERS: u16 = 256;
const BUFFER_BYTES: usize = 32 << 10;
/// Spreads the buffers' starts over different sets of the processor's caches.
const STRIDE: usize = BUFFER_BYTES + 192;
const GROUP: u16 = 0;
const PAGE_BYTES: usize = 4096;
/// `IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST` of <linux/io_uring.h>.
const RECEIVE_FLAGS: u16 = 1 << 1 | 1;
/// The kernel runs this much deferred work in an enter before it checks whether that is enough. A
/// turn with as many events is likely to be followed by more (`IO_LOCAL_TW_DEFAULT_MAX`).
const FULL_TURN: usize = 20;
/// After a full turn the ring waits for this many completions, for at most this long.
const BUSY_WANT: u32 = 64;
const BUSY_WAIT_US: u32 = 50;
/// `IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG`.
const WAIT_FLAGS: EnterFlags = EnterFlags::GETEVENTS.union(EnterFlags::EXT_ARG);

/// `struct io_uring_getevents_arg`, io_uring_enter(2).
#[repr(C)]
struct GetEvents {
    sigmask: u64,
    sigmask_bytes: u32,
    min_wait_us: u32,
    timespec: u64,
}

/// An event of a turn.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    Accepted { slot: u32 },
    Received { slot: u32, buffer: u16, length: usize },
    Ended { slot: u32 },
}

/// A ring with its buffers and sockets.
pub struct Ring {
    submitter: Submitter<'static>,
    submission: SubmissionQueue<'static>,
    completion: CompletionQueue<'static>,
    listener: TcpListener,
    /// The buffer ring that the kernel reads, and the buffers.
    entries: *mut BufRingEntry,
    storage: *mut u8,
    tail: u16,
    /// Buffers that go back to the kernel after the next enter.
    lent: Vec<u16>,
    owned: Vec<Vec<u8>>,
    /// Slots to shut down.
    leaving: Vec<u32>,
    sockets: Sockets,
    vectors: Vec<iovec>,
    messages: Vec<msghdr>,
    taken: Vec<cqueue::Entry>,
    events: Vec<Event>,
    want: u32,
}

/// Zeroed pages that are never freed: the ring lives as long as the process.
fn pages(bytes: usize) -> *mut u8 {
    let layout = Layout::from_size_align(bytes, PAGE_BYTES).expect("a constant size");
    // SAFETY: all sizes here are constants above zero.
    let base = unsafe { alloc_zeroed(layout) };
    if base.is_null() {
        handle_alloc_error(layout);
    }
    base
}

impl Ring {
    /// Sets the ring up on this thread and accepts from `listener`.
    pub fn new(listener: TcpListener) -> Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_no_sqarray()
            .setup_cqsize(COMPLETIONS)
            .build(ENTRIES)
            .context("io_uring is not available; the floor needs Linux 6.12")?;
        ensure!(ring.params().is_feature_min_timeout(), "the floor needs Linux 6.12");
        let (mut submitter, submission, completion) = Box::leak(Box::new(ring)).split();
        submitter.register_ring_fd()?;
        submitter.register_files_sparse(SLOTS).context("raise the limit of open files")?;
        let entries = pages(usize::from(BUFFERS) * size_of::<BufRingEntry>());
        let storage = pages(usize::from(BUFFERS) * STRIDE);
        // SAFETY: `entries` is page-aligned, holds `BUFFERS` entries and is never freed.
        unsafe { submitter.register_buf_ring_with_flags(entries as u64, BUFFERS, GROUP, 0)? };
        let mut ring = Self {
            submitter,
            submission,
            completion,
            listener,
            entries: entries.cast(),
            storage,
            tail: 0,
            lent: (0..BUFFERS).collect(),
            owned: Vec::new(),
            leaving: Vec::new(),
            sockets: Sockets::new(SLOTS),
            vectors: Vec::new(),
            messages: Vec::new(),
            taken: Vec::new(),
            events: Vec::new(),
            want: 1,
        };
        ring.recycle();
        ring.accept()?;
        Ok(ring)
    }

    /// The bytes of an event; the buffer stays with the floor until the next turn is over.
    pub fn lend(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        assert!(buffer < BUFFERS && length <= BUFFER_BYTES, "the kernel's own numbers");
        // SAFETY: in bounds by the assertion; exclusive, because the kernel has taken the buffer
        // out of its ring for this event, and gets it back in `recycle` only.
        unsafe {
            std::slice::from_raw_parts_mut(self.storage.add(usize::from(buffer) * STRIDE), length)
        }
    }

    /// Hands memory to the turn.
    pub fn own(&mut self, bytes: Vec<u8>) -> Chunk {
        self.owned.push(bytes);
        Chunk::Owned(self.owned.len() - 1)
    }

    /// Sends the chunk after the turn's earlier ones for this socket.
    pub fn send(&mut self, slot: u32, chunk: Chunk) {
        self.sockets.add(slot, chunk);
    }

    /// Closes a connection that has ended, once no operation of it is in progress.
    pub fn close(&mut self, slot: u32) {
        self.sockets.end(slot);
    }

    /// Ends a connection whose receive is armed, after the turn's sends: its end will be an event.
    pub fn shut_down(&mut self, slot: u32) {
        self.leaving.push(slot);
    }

    /// Sends the turn's chunks, and waits for the next events.
    pub fn turn(&mut self) -> Result<()> {
        self.push_sends()?;
        while let Some(slot) = self.leaving.pop() {
            self.push_silent(opcode::Shutdown::new(Fixed(slot), libc::SHUT_RDWR).build())?;
        }
        // Completions taken out early are not waited for again.
        let want = if self.taken.is_empty() { self.want } else { 0 };
        self.enter(want, WAIT_FLAGS)?;
        self.take();
        self.want = if self.taken.len() >= FULL_TURN { BUSY_WANT } else { 1 };
        let mut taken = std::mem::take(&mut self.taken);
        for entry in &taken {
            if kind_of(entry.user_data()) == Kind::Send {
                self.keep_rest(slot_of(entry.user_data()), entry.result())?;
            }
        }
        self.sockets.forget_turn();
        self.owned.clear();
        self.recycle();
        for entry in taken.drain(..) {
            self.complete(&entry)?;
        }
        if self.taken.is_empty() {
            self.taken = taken;
        }
        while let Some(slot) = self.sockets.next_ended() {
            let close = opcode::Close::new(Fixed(slot)).build();
            self.push_silent(close)?;
        }
        Ok(())
    }

    /// The events of the last turn, in order.
    pub fn take_events(&mut self, into: &mut Vec<Event>) {
        into.append(&mut self.events);
    }

    fn accept(&mut self) -> Result<()> {
        let entry = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()))
            .allocate_file_index(true)
            .build();
        self.push(&entry.user_data(user_data(Kind::Accept, 0)))
    }

    fn receive(&mut self, slot: u32) -> Result<()> {
        let entry = opcode::Recv::new(Fixed(slot), null_mut(), 0)
            .buf_group(GROUP)
            .ioprio(RECEIVE_FLAGS)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(&entry.user_data(user_data(Kind::Receive, slot)))
    }

    /// Gives all lent buffers back.
    fn recycle(&mut self) {
        for buffer in self.lent.drain(..) {
            let index = usize::from(self.tail & (BUFFERS - 1));
            // SAFETY: inside `entries`; the kernel reads nothing at or past the published tail.
            let entry = unsafe { &mut *self.entries.add(index) };
            entry.set_addr(self.storage as u64 + (usize::from(buffer) * STRIDE) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
        }
        // SAFETY: the tail is a u16 in the first entry, which only this thread writes.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn bytes(&self, chunk: &Chunk) -> &[u8] {
        match chunk {
            Chunk::Owned(place) => &self.owned[*place],
            Chunk::Received(buffer, range) => {
                assert!(*buffer < BUFFERS && range.start <= range.end && range.end <= BUFFER_BYTES);
                // SAFETY: in bounds by the assertion; a chunk is of this turn, in which the buffer
                // is lent to the floor, and `lend` borrows `self` for as long as it is written to.
                unsafe {
                    let base = self.storage.add(usize::from(*buffer) * STRIDE);
                    std::slice::from_raw_parts(base.add(range.start), range.len())
                }
            }
        }
    }

    /// One entry for each connection with chunks: a send that the kernel tries at once and
    /// reports only if it was short (send(2), `MSG_WAITALL` with `MSG_DONTWAIT`).
    fn push_sends(&mut self) -> Result<()> {
        let (touched, chunks) = self.sockets.sizes();
        self.vectors.clear();
        self.vectors.reserve(chunks);
        self.messages.clear();
        self.messages.reserve(touched);
        for index in 0..touched {
            let slot = self.sockets.touched(index);
            if self.sockets.is_behind(slot) {
                self.queue(slot, 0);
                continue;
            }
            let first = self.vectors.len();
            let mut next = self.sockets.first(slot);
            while let Some((chunk, after)) = next {
                let bytes = self.bytes(chunk);
                let vector =
                    iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
                // Never moves: capacity was reserved above.
                self.vectors.push(vector);
                next = self.sockets.chunk(after);
            }
            let flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
            let entry = if let [one] = &self.vectors[first..] {
                opcode::Send::new(Fixed(slot), one.iov_base.cast(), one.iov_len as u32)
                    .flags(flags)
                    .build()
            } else {
                let message = self.message(first);
                opcode::SendMsg::new(Fixed(slot), message).flags(flags as u32).build()
            };
            let entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
            self.push(&entry.user_data(user_data(Kind::Send, slot)))?;
        }
        Ok(())
    }

    /// The header of a send of all vectors from `first` on.
    fn message(&mut self, first: usize) -> *const msghdr {
        let vectors = &mut self.vectors[first..];
        let message = msghdr {
            msg_name: null_mut(),
            msg_namelen: 0,
            msg_iov: vectors.as_mut_ptr(),
            msg_iovlen: vectors.len(),
            msg_control: null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        };
        // Never moves: capacity was reserved by `push_sends`.
        self.messages.push(message);
        self.messages.last().map_or(null(), std::ptr::from_ref)
    }

    /// Handles a short send, by its result.
    fn keep_rest(&mut self, slot: u32, result: i32) -> Result<()> {
        match result {
            0.. => self.queue(slot, result as usize),
            _ if -result == libc::EAGAIN || -result == libc::EINTR => self.queue(slot, 0),
            // The client has left, which the receive reports, too.
            _ => return Ok(()),
        }
        self.send_backlog(slot)
    }

    /// Copies the turn's chunks for `slot`, except the first `sent` bytes, behind its backlog.
    fn queue(&mut self, slot: u32, mut sent: usize) {
        let mut rest = Vec::new();
        let mut next = self.sockets.first(slot);
        while let Some((chunk, after)) = next {
            let bytes = self.bytes(chunk);
            let skipped = sent.min(bytes.len());
            rest.extend_from_slice(&bytes[skipped..]);
            sent -= skipped;
            next = self.sockets.chunk(after);
        }
        self.sockets.queue(slot, &rest);
    }

    fn send_backlog(&mut self, slot: u32) -> Result<()> {
        let Some(bytes) = self.sockets.arm(slot) else { return Ok(()) };
        let entry = opcode::Send::new(Fixed(slot), bytes.as_ptr(), bytes.len() as u32)
            .flags(MSG_WAITALL | MSG_NOSIGNAL)
            .build();
        self.push(&entry.user_data(user_data(Kind::Backlog, slot)))
    }

    fn complete(&mut self, entry: &cqueue::Entry) -> Result<()> {
        let (slot, result) = (slot_of(entry.user_data()), entry.result());
        let is_armed = cqueue::more(entry.flags());
        match kind_of(entry.user_data()) {
            Kind::Accept => {
                if result >= 0 {
                    self.receive(result as u32)?;
                    self.events.push(Event::Accepted { slot: result as u32 });
                }
                if !is_armed {
                    self.accept()?;
                }
            }
            Kind::Receive => {
                if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
                    self.lent.push(buffer);
                    if result > 0 {
                        let length = result as usize;
                        self.events.push(Event::Received { slot, buffer, length });
                    }
                }
                if !is_armed && (result > 0 || -result == libc::ENOBUFS) {
                    self.receive(slot)?;
                } else if !is_armed {
                    self.events.push(Event::Ended { slot });
                }
            }
            Kind::Backlog => {
                self.sockets.disarm(slot, usize::try_from(result).ok());
                self.send_backlog(slot)?;
            }
            Kind::Send | Kind::Done => {}
        }
        Ok(())
    }

    fn push_silent(&mut self, entry: squeue::Entry) -> Result<()> {
        self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data(Kind::Done, 0)))
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<()> {
        // SAFETY: memory that a send of the turn points to is kept until the enter in `turn` has
        // returned (`lent`, `owned`, `vectors`, `messages`); an armed backlog neither moves nor
        // changes (`Sockets::arm`); all other entries point to nothing.
        while unsafe { self.submission.push(entry) }.is_err() {
            self.enter(0, EnterFlags::empty())?;
            self.take();
        }
        Ok(())
    }

    fn take(&mut self) {
        self.completion.sync();
        self.taken.extend(&mut self.completion);
    }

    fn enter(&mut self, want: u32, flags: EnterFlags) -> Result<()> {
        self.submission.sync();
        ensure!(!self.submission.cq_overflow(), "more completions than the floor has room for");
        let min_wait_us = if want > 1 { BUSY_WAIT_US } else { 0 };
        let argument = GetEvents { sigmask: 0, sigmask_bytes: 0, min_wait_us, timespec: 0 };
        let argument = flags.contains(EnterFlags::EXT_ARG).then_some(&argument);
        let queued = self.submission.len() as u32;
        // SAFETY: the argument has the shape that EXT_ARG names, and outlives the call.
        let entered = unsafe { self.submitter.enter(queued, want, flags.bits(), argument) };
        self.submission.sync();
        match entered {
            Err(error) if !is_normal(&error) => Err(error).context("io_uring_enter"),
            _ => Ok(()),
        }
    }
}

/// A signal, a time-out, or completions that wait to be taken.
fn is_normal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN))
}
