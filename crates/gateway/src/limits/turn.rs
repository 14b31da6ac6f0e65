//! The bounds of a core's work in one turn, and the costs that are counted against them.
//!
//! The unit is the time to copy or inflate one byte: a MiB takes about a millisecond. No setting
//! changes these bounds.

use std::time::Duration;

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

/// The cost of checking the signature of a token with a secret: two microseconds.
pub const SECRET_CHECK_COST: usize = 2 * KIB as usize;

/// The cost of checking a signature with a public key: some 25 us for RSA and 50 us for the others.
pub const PUBLIC_KEY_CHECK_COST: usize = 48 * KIB as usize;

/// The part of a turn that is reserved for handshakes (`session::ready`), and the most that they get.
/// A turn with nothing else to do then takes half a millisecond. Clients whose bytes are still with
/// the kernel, because new connections have taken all buffers, wait for no longer than that.
pub const TURN_HANDSHAKE_SHARE: usize = 512 * KIB as usize;

/// The most handshakes passed over in a row, because they wait for the core and not for their clients,
/// when one has to make room for another. More would make each new connection expensive.
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

/// An event for no more clients than this is sent before a pass that takes several turns goes on,
/// unless much is pending for its topic.
pub const EARLY_AUDIENCE_MAX: usize = 64;

/// Pending bytes of a topic above which its subscribers wait for their turn.
pub const EARLY_BYTES_MAX: usize = 8 * KIB as usize;

/// Clients that are sent such events in a turn, beside `TURN_SENDS_MAX`.
pub const EARLY_SLOTS_MAX: usize = 256;

/// Bytes that these clients are sent in a turn, beside `TURN_EVENT_BYTES_MAX`: a single client may be
/// sent a full queue.
pub const EARLY_BYTES_OF_TURN: usize = MIB as usize;

/// The bytes of a client's events that make a window. At the end of each window the client waits until
/// the slowest core has sent the window before. Two windows, even of large events, are less than a core
/// reads of one topic before it stops reading, so the events of others are read at once.
pub const AHEAD_BYTES_MAX: usize = TOPIC_PENDING_BYTES_MAX / 4;

/// The windows of all waiting clients of a core together. A client may publish at least one event in a
/// window.
pub const AHEAD_BYTES_OF_ALL: usize = TOPIC_PENDING_BYTES_MAX / 2;

/// How soon an idle core looks again whether a slower core has caught up.
pub const AHEAD_INTERVAL: Duration = Duration::from_millis(1);

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
