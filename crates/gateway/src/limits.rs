//! Every bound of the gateway in one place: the least and the most that a
//! setting may be, its default, and the reason beside it. The relations that
//! the code relies on are asserted at compile time. Nothing here reads a file,
//! a clock or the kernel; a bound that an operator may move has its key in
//! `config::keys`.

mod memory;
mod private_api;
mod socket;
mod turn;

use std::time::Duration;

pub use memory::*;
pub use private_api::*;
pub use socket::*;
pub use turn::*;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// What a bounded setting is when nobody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This number.
    Exactly(u64),
    /// This number, where the word `"auto"` is allowed too.
    Adjustable(u64),
    /// The word `"auto"`: it follows from something else, which the key says.
    Auto,
}

/// The allowed range of a number, its default, and why they are what they are.
/// The unit (bytes, milliseconds, a count) is in the name of the constant.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The least allowed value.
    pub least: u64,
    /// The most allowed value, itself allowed.
    pub most: u64,
    /// The value when nobody sets one.
    pub default: Preset,
    /// Why the default and the ends are where they are; a sentence for operators.
    pub reason: &'static str,
}

impl Bound {
    /// Whether the value may be used.
    ///
    /// ```
    /// assert!(ringway::limits::HEADER_FIELDS.allows(64));
    /// assert!(!ringway::limits::HEADER_FIELDS.allows(0));
    /// ```
    pub const fn allows(&self, value: u64) -> bool {
        self.least <= value && value <= self.most
    }

    /// Whether the word `"auto"` may be used.
    pub const fn allows_auto(&self) -> bool {
        matches!(self.default, Preset::Adjustable(_) | Preset::Auto)
    }

    /// The default as a number; only for a bound that has one.
    const fn number(&self) -> u64 {
        match self.default {
            Preset::Exactly(value) | Preset::Adjustable(value) => value,
            Preset::Auto => panic!("this bound has no number as its default"),
        }
    }
}

const fn bound(least: u64, default: u64, most: u64, reason: &'static str) -> Bound {
    assert!(least <= default && default <= most);
    let default = Preset::Exactly(default);
    Bound { least, most, default, reason }
}

/// A default of our own, where "auto" is allowed and leaves it to the kernel.
const fn unless_automatic(least: u64, default: u64, most: u64, reason: &'static str) -> Bound {
    assert!(least <= default && default <= most);
    Bound { least, most, default: Preset::Adjustable(default), reason }
}

const fn automatic(least: u64, most: u64, reason: &'static str) -> Bound {
    assert!(least <= most);
    Bound { least, most, default: Preset::Auto, reason }
}

// ---- what no setting moves ----

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
/// whether the gateway lives, must be reachable above all when there is a crowd.
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

// ---- [server] ----

/// How many cores to run on, when given as a count.
pub const CORES: Bound = automatic(
    1,
    CORE_NUMBER_MAX + 1,
    "one thread per core; the kernel's core sets have 1,024 entries",
);

/// How long clients are told to leave when the gateway stops.
pub const DRAIN_TIME_MS: Bound = bound(
    0,
    20 * SECOND_MS,
    HOUR_MS,
    "under the 30 s that Kubernetes and the 90 s that systemd leave before they kill; \
     clients that all leave at once all come back at once",
);

/// The time in which clients leave after a thread has panicked, where `server.drain_time` is longer:
/// enough for Close frames both ways, and what the panic left half done is not served for long.
pub const FAILED_DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// Receive buffers of one core.
pub const RECEIVE_BUFFERS: Bound = bound(
    64,
    128,
    32_768,
    "the kernel takes a ring of at most 32,768 buffers; with too few, a burst waits a turn; \
     times receive_buffer_bytes it is memory that each core holds from the start",
);

/// Bytes of one receive buffer.
pub const RECEIVE_BUFFER_BYTES: Bound = bound(
    KIB,
    32 * KIB,
    64 * KIB,
    "a message of 16 KiB arrives in one piece, and a large one in few; small messages do not care",
);

// ---- [[listener]] ----

/// Connections that the kernel holds until they are accepted.
pub const BACKLOG: Bound = bound(
    1,
    4096,
    65_535,
    "the kernel lowers it to net.core.somaxconn, which is 4096 unless it was tuned",
);

// ---- [websocket] ----

/// Payload bytes of a message on `/ws`, inflated.
pub const MESSAGE_BYTES: Bound = bound(
    CONTROL_FRAME_BYTES_MAX,
    MIB,
    256 * MIB,
    "a message is kept whole until its last frame; it is counted after inflating",
);

/// Payload bytes of one frame.
pub const FRAME_BYTES: Bound = automatic(
    CONTROL_FRAME_BYTES_MAX,
    256 * MIB,
    "no frame may be larger than the message that it is part of",
);

/// Payload bytes of a message on `/echo`, inflated.
pub const ECHO_MESSAGE_BYTES: Bound = bound(
    CONTROL_FRAME_BYTES_MAX,
    16 * MIB,
    256 * MIB,
    "the largest message of the Autobahn conformance suite is 16 MiB",
);

/// How long a peer may take to answer a Close.
pub const CLOSE_TIMEOUT_MS: Bound = bound(
    100,
    5 * SECOND_MS,
    MINUTE_MS,
    "several round trips of a slow mobile link; a peer that is gone never answers",
);

/// How long a peer may be silent until it is sent a Ping.
pub const PING_INTERVAL_MS: Bound = bound(
    100,
    25 * SECOND_MS,
    24 * HOUR_MS,
    "many proxies and mobile networks forget a connection that is silent for 30 s or a minute",
);

/// How long a peer may take to answer a Ping.
pub const PONG_TIMEOUT_MS: Bound = bound(
    100,
    10 * SECOND_MS,
    5 * MINUTE_MS,
    "time for a lost packet to be sent again a few times, and for a phone to change networks",
);

// ---- [websocket.deflate] ----

/// Effort of the compressor.
pub const DEFLATE_LEVEL: Bound = bound(
    1,
    1,
    9,
    "1 is the fastest and 9 the smallest; an edge tends to run out of cores before bytes",
);

/// Memory of the compressor's state.
pub const DEFLATE_MEMORY_LEVEL: Bound =
    bound(1, 8, 9, "zlib's own default; less memory ends blocks sooner and compresses worse");

/// Base-two logarithm of the compression window. RFC 7692 §7.1.2: 8 to 15.
pub const WINDOW_BITS: Bound = bound(8, 15, 15, "RFC 7692 §7.1.2 allows 8 to 15");

// ---- [clients] ----

/// Outgoing bytes kept for one slow client before its reading is paused.
pub const QUEUE_BYTES: Bound = bound(
    KIB,
    64 * KIB,
    64 * MIB,
    "beyond the kernel's own send buffer; what is being answered when it is reached is kept too, so \
     a slow client may cost this and the answers to what it sent in a turn (128 KiB, or more where \
     that was compressed)",
);

/// Recipients of one event.
pub const RECIPIENTS: Bound = bound(
    1,
    1000,
    10_000,
    "each one is looked up, and named in the answer; what more people are to get is a topic",
);

/// Levels of arrays and objects in the data of an event.
pub const DATA_DEPTH: Bound = bound(
    1,
    128,
    100_000,
    "Serde's own bound, and an eighth of Python's; parsers of receivers that recurse fail on deep data",
);

/// Topics that one connection is subscribed to.
pub const SUBSCRIPTIONS: Bound = bound(
    1,
    100,
    10_000,
    "each one is an entry in its core's tables, and one more search when the client resumes",
);

/// Events that a client may ask for when it subscribes.
pub const LAST_EVENTS: Bound = bound(
    1,
    100,
    10_000,
    "what a page shows when it opens; a client may ask for so many of each topic, and they count as \
     what it reads on from the history",
);

// ---- [history] ----

/// Events that are kept.
pub const HISTORY_EVENTS: Bound = bound(
    1,
    100_000,
    16_777_216,
    "five minutes of 300 events a second; each takes memory beside its own bytes",
);

/// Bytes of the events that are kept.
pub const HISTORY_BYTES: Bound = bound(
    64 * KIB,
    64 * MIB,
    64 * GIB,
    "100,000 events of some 650 bytes; memory that is taken as they come and given back as they \
     leave",
);

/// How long an event is kept.
pub const HISTORY_AGE_MS: Bound = bound(
    SECOND_MS,
    5 * MINUTE_MS,
    7 * 24 * HOUR_MS,
    "long enough for a tunnel, a restart or a change of networks; who is away for longer asks the \
     application anyway",
);

/// Tables of `[[history.topic]]`: each topic that a client reads on from is compared with them in
/// their order.
pub const HISTORY_TOPICS_MAX: u64 = 64;

// ---- [http] ----

/// How long a poll waits when the client does not say.
pub const POLL_WAIT_MS: Bound = bound(
    0,
    25 * SECOND_MS,
    HOUR_MS,
    "under the 30 s after which the least patient proxies give up on an answer",
);

/// How long a client may have a poll wait.
pub const POLL_WAIT_MAX_MS: Bound = bound(
    0,
    MINUTE_MS,
    HOUR_MS,
    "most proxies give up on an answer after a minute; a client that is gone is noticed only then",
);

/// Bytes of the events in one answer to a poll.
pub const POLL_BYTES: Bound = bound(
    KIB,
    MIB,
    64 * MIB,
    "the answer is held in memory until the client has read it; a client that was away asks again",
);

/// How long clients of server-sent events wait before they connect again.
pub const RETRY_MS: Bound = bound(
    0,
    2 * SECOND_MS,
    5 * MINUTE_MS,
    "browsers wait 3 to 5 s by default; when a gateway restarts, all of its clients come back \
     within this",
);

// ---- [limits] ----

/// Connections of the whole process.
pub const CONNECTIONS: Bound = automatic(
    1,
    16_777_216,
    "\"auto\" is the limit of open files (NOFILE) less what the gateway needs itself",
);

/// Connections from one address.
pub const CONNECTIONS_PER_ADDRESS: Bound = bound(
    1,
    1024,
    16_777_216,
    "room for an office behind one address, while no single machine can take every connection",
);

/// How long a client may take from connecting to the end of its request head.
pub const HANDSHAKE_TIMEOUT_MS: Bound = bound(
    100,
    10 * SECOND_MS,
    5 * MINUTE_MS,
    "ends connections that send a head one byte at a time; enough for a lost packet or two",
);

/// Bytes of a request head: request line and header fields.
pub const HEADER_BYTES: Bound = bound(
    KIB,
    16 * KIB,
    64 * KIB,
    "browsers with many cookies stay under it; each connection may hold this much \
     until its head is complete",
);

/// Header fields of a request.
pub const HEADER_FIELDS: Bound =
    bound(16, 64, 256, "browsers and proxies send a few dozen; each one costs a search");

/// Bytes of a request target.
pub const TARGET_BYTES: Bound =
    bound(256, 8 * KIB, 64 * KIB, "room for a token and a few dozen topics in the query");

/// How long a connection may wait between two requests.
pub const KEEP_ALIVE_TIMEOUT_MS: Bound = bound(
    SECOND_MS,
    75 * SECOND_MS,
    HOUR_MS,
    "longer than the 60 s for which most load balancers keep a connection: whoever closes first may \
     cross a request of the other's, which then fails",
);

/// Requests on one connection.
pub const REQUESTS_PER_CONNECTION: Bound = bound(
    1,
    1000,
    1_000_000_000,
    "polling clients are spread over the cores again from time to time",
);

mod relations;
