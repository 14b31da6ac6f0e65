//! The limits that no setting moves, each with its reason. Those that an operator may move are in
//! the table of configuration keys. Nothing here reads a file, a clock or the kernel.

mod private_api;
mod submission;
mod turn;
mod upstream;

use std::time::Duration;

pub use private_api::*;
pub use submission::*;
pub use turn::*;
pub use upstream::*;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Payload bytes of a control frame. RFC 6455 §5.5: at most 125.
pub const CONTROL_FRAME_BYTES_MAX: u64 = ringway_frame::CONTROL_BYTES_MAX as u64;

/// Wire bytes before the payload of a client's control frame: two of header and
/// four of mask key (RFC 6455 §5.2).
pub const CONTROL_FRAME_HEAD_BYTES: u64 = 2 + 4;

/// Bytes of a configuration file. The longest sensible one is a few KiB; this
/// keeps a wrong path (a log, a device) from being read into memory.
pub const CONFIG_FILE_BYTES_MAX: u64 = MIB;

/// The highest core number. The kernel's `cpu_set_t` has 1,024 bits
/// (sched_setaffinity(2)).
pub const CORE_NUMBER_MAX: u64 = 1023;

/// Listeners of one process: more addresses than a gateway serves, few enough
/// that every core can hold a socket for each.
pub const LISTENERS_MAX: u64 = 64;

/// Networks in one list. The list is searched in order for each connection.
pub const NETWORKS_MAX: u64 = 64;

/// Name patterns in one list: room for one a tenant or a kind of topic. A search of the list takes
/// as many steps as its length has bits.
pub const PATTERNS_MAX: u64 = 1024;

/// Origins in one list. The list is searched in order for each request of another origin's page.
pub const ORIGINS_MAX: u64 = 64;

/// Connections that the process may hold beyond the limit, so that those who find no room can be
/// told why they must go. Half of the descriptors that are set aside: the private API, which says
/// whether the gateway lives, must be reachable above all under load.
pub const TURNED_AWAY_MAX: u32 = 64;

/// Answers to one client in one turn; the connection is closed after the one that passes this.
/// A request is much shorter than its answer, so that requests that have arrived already would
/// otherwise fill memory before it is known that nobody reads (RFC 9112 §9.3.2: a client that
/// pipelines is ready to send again).
pub const PIPELINED_BYTES_MAX: usize = 256 * KIB as usize;

/// Compressors that a core keeps for the next message. One is in use at a time, for the length
/// of a call; more are kept only because connections agree on different windows.
pub const IDLE_DEFLATERS_MAX: usize = 8;

/// A core's scratch buffer above this is given back, so that one large message does not stay
/// resident.
pub const SCRATCH_BYTES_KEPT: usize = 256 * KIB as usize;

/// Requests of a core whose clients are being identified elsewhere; one more is refused. Each keeps
/// what its head asks for, a few hundred bytes.
pub const IDENTITIES_WAITING_MAX: usize = 1024;

/// How long such a request may wait: a client that is told sooner can try elsewhere, and a source that
/// is slower is down.
pub const IDENTITY_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients that are away and for whom nothing is kept. Each is some 200 bytes with a long name, and
/// anybody can come under any number of names.
pub const AWAY_MAX: usize = 262_144;

/// Events that are counted when the application asks what is kept for a client: enough to tell few
/// from many, and little enough that asking costs nothing.
pub const WAITING_COUNTED_MAX: u32 = 1_000;

/// Acknowledgements that are kept for commands that come twice. Each is some 200 bytes.
pub const RECEIPTS_MAX: usize = 65_536;

/// Bytes of them: that of a notify names every recipient, so its size is up to the client.
pub const RECEIPTS_BYTES_MAX: usize = 32 * MIB as usize;

/// How long they are kept: a client that reconnects has sent its command again by then.
pub const RECEIPTS_AGE_MAX: Duration = Duration::from_secs(120);

/// Log lines that wait to be written, beyond which they are dropped and counted. Each is some 200
/// bytes, and a reader that keeps up never has more than a burst outstanding.
pub const LOG_LINES_QUEUED_MAX: usize = 1024;

/// Tables of `[[history.topic]]`: each topic that a client reads on from is compared with them in
/// their order.
pub const HISTORY_TOPICS_MAX: u64 = 64;

/// The time in which clients leave after a thread has panicked, where `server.drain_time` is longer:
/// enough for Close frames both ways, and what the panic left half done is not served for long.
pub const FAILED_DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// What the kernel may keep for a client that does not read, where no key bounds it: the most of
/// net.ipv4.tcp_wmem in a kernel that was not tuned.
pub const KERNEL_QUEUE_BYTES: u64 = 4 * MIB;

/// While no more than this is buffered for all clients, or an eighth of what may be, a poll is
/// answered with as much as `http.poll_bytes_max`.
pub const PLENTY_BYTES: u64 = 32 * MIB;

/// Beyond that it is answered with about this much, and asks again: a request of a hundred bytes must
/// not make the gateway keep a megabyte for a client that does not read it.
pub const SPARSE_ANSWER_BYTES: usize = 16 << 10;

/// An event of as many bytes is encoded once for all clients of a core that do not take it at once.
/// Below it a copy for each costs less than what the kernel keeps for its socket; and with an answer
/// as short as that, no client keeps more of its own.
pub const LARGE_EVENT_BYTES: usize = SPARSE_ANSWER_BYTES;
