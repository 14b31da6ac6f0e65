//! What a core does in one turn at most, and what things cost in it.
//!
//! The unit is the time that a byte takes that is copied or inflated: a MiB is about a millisecond.
//! No setting moves these bounds.

use crate::limits::{KIB, MIB};

/// What one client may cost in a turn before others are served, in bytes that are copied or
/// inflated or in what takes as long: some 0.3 ms. A message that costs more is served over several
/// turns where that is possible.
pub const TURN_SLICE_BYTES: usize = 256 * KIB as usize;

/// The part of a turn that is kept for clients that cost much (`session::ready`).
pub const TURN_HEAVY_SHARE: usize = 512 * KIB as usize;

/// A byte of a message that came as it is, as a part of one that is inflated: it is unmasked and
/// validated at memory speed, and receive buffers bound how many there are in a turn.
pub const PLAIN_BYTES_PER_COST: usize = 4;

/// What it costs to read a message, however small.
pub const MESSAGE_COST: usize = 32;

/// What a compressed byte costs beside one that is copied or inflated.
pub const DEFLATE_COST: usize = 4;

/// Bytes of one message that are compressed at a time: a slice's worth.
pub const DEFLATED_AT_ONCE: usize = TURN_SLICE_BYTES / DEFLATE_COST;

/// What it costs to read a command and to carry it out, beside its bytes.
pub const COMMAND_COST: usize = KIB as usize;

/// What a recipient of an event costs: it is looked up in the directory and by every core, named
/// in the answer, and entered into the index and taken out again. Each of these is a place in memory
/// that no cache holds: more than two microseconds in all.
pub const RECIPIENT_COST: usize = 9 * KIB as usize / 4;

/// What it costs to get to a client that has something to do.
pub const RESUME_COST: usize = KIB as usize;

/// Input that was put off, past which nothing more is read from the client.
pub const DEFERRED_BYTES_MAX: usize = 16 * KIB as usize;

/// Clients that are sent a run before it is asked what that has cost: some are sent it in a form of
/// their own.
pub const TURN_BATCH_MAX: usize = 64;

/// What a core reads from the log in a turn may cost: recipients that are looked up, and bytes that
/// are compressed for many.
pub const TURN_READING_COST_MAX: usize = MIB as usize;

/// Sends of events in one turn. A larger audience is served over several turns, so that clients'
/// input waits for two or three milliseconds and not for the whole audience; a further turn costs
/// about as much as one send.
pub const TURN_SENDS_MAX: usize = 512;

/// Bytes of events that are written or gone through in one turn, over all clients, or what takes as
/// long; and the same for what clients send in a turn, and for those that were put off.
pub const TURN_EVENT_BYTES_MAX: usize = 2 * MIB as usize;

/// Events of one topic that go out as one run. A burst of a few publishes is one send for each
/// subscriber; more would only make who falls behind read more on its own.
pub const BATCH_EVENTS_MAX: usize = 64;

/// Bytes of a run that has several events: no more than most queues hold.
pub const BATCH_BYTES_MAX: usize = 64 * KIB as usize;

/// Bytes that a core has read from the log and not sent yet, past which it reads no further. It
/// is memory of each core, and what is beyond it is in the log anyway.
pub const PENDING_BYTES_MAX: usize = MIB as usize;

/// The cost of looking up an event that is not visited, as if it had this many bytes.
pub const LOOK_UP_BYTES: usize = 64;

const _: () = {
    // Several clients that cost much are served in a turn.
    assert!(4 * TURN_SLICE_BYTES <= TURN_EVENT_BYTES_MAX);
    assert!(TURN_HEAVY_SHARE >= TURN_SLICE_BYTES && TURN_HEAVY_SHARE < TURN_EVENT_BYTES_MAX);
    assert!(TURN_READING_COST_MAX <= TURN_EVENT_BYTES_MAX);
};
