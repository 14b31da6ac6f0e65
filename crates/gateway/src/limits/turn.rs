//! The bounds of a core's work in one turn, and the costs that are counted against them.
//!
//! The unit is the time to copy or inflate one byte: a MiB takes about a millisecond. No setting
//! changes these bounds.

use crate::limits::{KIB, MIB};

/// What one client may cost in a turn before others are served, in copied or inflated bytes or
/// their equivalent: some 0.3 ms. A message that costs more is served over several turns where that
/// is possible.
pub const TURN_SLICE_BYTES: usize = 256 * KIB as usize;

/// The part of a turn that is reserved for expensive clients (`session::ready`).
pub const TURN_HEAVY_SHARE: usize = 512 * KIB as usize;

/// Received bytes of a WebSocket that cost as much as one inflated byte: they are unmasked,
/// validated, and perhaps copied, at memory speed.
pub const PLAIN_BYTES_PER_COST: usize = 4;

/// The cost of reading a message of any size.
pub const MESSAGE_COST: usize = 32;

/// The cost of compressing a byte, relative to copying or inflating one.
pub const DEFLATE_COST: usize = 4;

/// Bytes of one message that are compressed at a time: the cost of a slice.
pub const DEFLATED_AT_ONCE: usize = TURN_SLICE_BYTES / DEFLATE_COST;

/// The cost of reading and performing a command, without its bytes.
pub const COMMAND_COST: usize = KIB as usize;

/// The cost of a recipient of an event: it is looked up in the directory and by every core, named
/// in the answer, entered into the index and removed again. Each step is a cache miss: more than
/// two microseconds in all.
pub const RECIPIENT_COST: usize = 9 * KIB as usize / 4;

/// The cost of answering one of the two flights of a full TLS handshake: with an ECDSA key both
/// together take some 115 us.
pub const HANDSHAKE_FLIGHT_COST: usize = 64 * KIB as usize;

/// How much more a flight costs if a certificate has an RSA key.
pub const RSA_HANDSHAKE_FACTOR: usize = 3;

/// The part of a turn that is reserved for handshakes (`session::ready`).
pub const TURN_HANDSHAKE_SHARE: usize = 512 * KIB as usize;

/// Handshakes that wait for the core and not for their clients, which are passed over in a row when
/// one has to make room for another. More would make each new connection expensive.
pub const HANDSHAKES_PASSED_OVER_MAX: usize = 32;

/// The cost of resuming a client with pending work.
pub const RESUME_COST: usize = KIB as usize;

/// Bytes of deferred input above which nothing more is read from the client.
pub const DEFERRED_BYTES_MAX: usize = 16 * KIB as usize;

/// The cost of what a core reads from the log in a turn: recipients that are looked up, and bytes
/// that are compressed for many.
pub const TURN_READING_COST_MAX: usize = MIB as usize;

/// Sends of events in one turn. A larger audience is served over several turns, so that clients'
/// input waits for two or three milliseconds and not for the whole audience; a further turn costs
/// about as much as one send.
pub const TURN_SENDS_MAX: usize = 512;

/// Bytes of events that are written or scanned in one turn, over all clients, or equivalent work.
/// The same bound applies to the clients' input in a turn, and to the deferred input.
pub const TURN_EVENT_BYTES_MAX: usize = 2 * MIB as usize;

/// Bytes of one topic's events that a core has read and not sent to everybody yet; above this it
/// reads no further: no more than most queues hold.
pub const TOPIC_PENDING_BYTES_MAX: usize = 64 * KIB as usize;

/// Bytes that a core has read from the log and not sent yet; above this it reads no further. They
/// take memory on each core, and the log holds the rest anyway.
pub const PENDING_BYTES_MAX: usize = MIB as usize;

/// The cost of looking up an event that is skipped, in bytes.
pub const LOOK_UP_BYTES: usize = 64;

const _: () = {
    // Several expensive clients are served in a turn.
    assert!(4 * TURN_SLICE_BYTES <= TURN_EVENT_BYTES_MAX);
    assert!(TURN_HEAVY_SHARE >= TURN_SLICE_BYTES && TURN_HEAVY_SHARE < TURN_EVENT_BYTES_MAX);
    assert!(TURN_HEAVY_SHARE + TURN_HANDSHAKE_SHARE < TURN_EVENT_BYTES_MAX);
    assert!(TURN_HANDSHAKE_SHARE >= 2 * RSA_HANDSHAKE_FACTOR * HANDSHAKE_FLIGHT_COST);
    assert!(TURN_READING_COST_MAX <= TURN_EVENT_BYTES_MAX);
};
