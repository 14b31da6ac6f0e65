//! The contract of a driver, and the settings and counters that all of them share.
//!
//! The call order is a loop: `submit`, `wait`, then `next` until it returns `None`; between two calls
//! of `next` the operations so far may be sent by `send_early`.

use std::{io, time::Duration};

use crate::{Completion, Nowhere, Operations, Places};

/// An engine for one thread. Bytes in by [`Driver::next_in`], bytes out by [`Driver::submit`].
///
/// Guarantees to the caller:
/// - Sends of one connection reach the socket in the order submitted, in full or, if the connection
///   breaks, up to a prefix.
/// - A send that the socket does not take whole is reported as
///   [`Completion::Backlogged`] by the end of the turn that follows its submission. So once that
///   turn is over, silence means that the kernel has all of it.
/// - After [`Operation::Close`](crate::Operation::Close) or
///   [`Operation::Reset`](crate::Operation::Reset) exactly one [`Completion::Closed`] follows, and nothing else for that name after it.
/// - After [`Operation::Connect`](crate::Operation::Connect) exactly one
///   [`Completion::Connected`] or [`Completion::ConnectFailed`] follows, and nothing about the
///   connection comes before it.
/// - An operation is ignored if its name is void or already closing, or if no attempt has its
///   token.
pub trait Driver {
    /// Takes the operations; `operations` is empty afterwards and may be filled again at once.
    ///
    /// Kernel work may happen here or in the following [`Driver::wait`].
    fn submit(&mut self, operations: &mut Operations);

    /// Sends the operations so far, in the middle of a turn: while the bytes are still in the
    /// processor's cache, and in memory that later operations of the turn use again. `operations`
    /// is empty afterwards.
    fn send_early(&mut self, operations: &mut Operations);

    /// Hands the operations to the kernel and sleeps until something completes, another thread
    /// wakes this one, or `timeout` passes (`None`: for ever; zero: does not sleep).
    ///
    /// # Errors
    /// Errors that no retry resolves, such as an `io_uring_enter` refused by a new seccomp filter.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// The next completion of this turn. `None` ends the turn. Bytes may be received in one of the
    /// owner's `places`, and are then reported as [`Completion::Placed`].
    fn next_in(&mut self, places: &mut dyn Places) -> Option<Completion<'_>>;

    /// As [`Driver::next_in`], for an owner without places.
    fn next(&mut self) -> Option<Completion<'_>> {
        self.next_in(&mut Nowhere)
    }

    /// Counts of events since the start.
    fn counters(&self) -> Counters;
}

/// How long a driver may hold back completions to find more of them in one wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitMode {
    /// One completion wakes.
    Latency,
    /// One completion wakes, unless the core is busy: then it waits for up to 64, at most 50 us.
    #[default]
    Adaptive,
    /// From a moderate rate on it waits for up to 128 completions, at most 400 us.
    Throughput,
}

/// What a driver is built with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections beyond this are refused, in both directions; attempts to connect count. Bounds
    /// every table of the driver.
    pub connections_max: u32,
    /// Receive buffers of this core: io_uring requires a power of two; epoll always has one.
    pub receive_buffers: u16,
    /// Bytes of each receive buffer.
    pub receive_buffer_bytes: u32,
    /// Entries of io_uring's submission queue.
    pub submission_entries: u32,
    /// When completions wake the core.
    pub wait: WaitMode,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            receive_buffers: 128,
            receive_buffer_bytes: 32 << 10,
            submission_entries: 1_024,
            wait: WaitMode::Adaptive,
        }
    }
}

/// Counted since the driver was built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns of the loop, that is, wake-ups.
    pub turns: u64,
    /// Completions reported.
    pub completions: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused for lack of a descriptor or a slot.
    pub refused: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Sends that the socket took only in part; those queued behind a backlog are not counted.
    pub short_sends: u64,
    /// Receives that found no buffer (`ENOBUFS`) and were queued to be armed again.
    pub buffer_shortages: u64,
}
