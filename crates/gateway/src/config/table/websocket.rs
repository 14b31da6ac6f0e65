//! `[websocket]` and `[websocket.deflate]`.

use std::time::Duration;

use crate::{
    config::{
        Automatic,
        bound::{Bound, HOUR_MS, MIB, MINUTE_MS, SECOND_MS, automatic, bound},
        keys::section,
    },
    limits::CONTROL_FRAME_BYTES_MAX,
};

section! {
    /// WebSocket connections (RFC 6455).
    "websocket", Once => WebSocket

    /// The largest message that a client may send to /ws, inflated, and the largest body of a POST
    /// to /send; a larger one closes the connection with 1009, or is answered with 413.
    message_bytes_max [Restart]: usize = Size(bound(
        CONTROL_FRAME_BYTES_MAX,
        MIB,
        256 * MIB,
        "a message is kept whole until its last frame; it is counted after inflating",
    )), at most "history.bytes_max" which "must have room for it";

    /// The largest frame that a client may send; "auto" is as large as a message may be.
    frame_bytes_max [Live]: Automatic<usize> = Size(automatic(
        CONTROL_FRAME_BYTES_MAX,
        256 * MIB,
        "no frame may be larger than the message that it is part of",
    ));

    /// The largest message that a client may send to /echo, inflated.
    echo_message_bytes_max [Live]: usize = Size(bound(
        CONTROL_FRAME_BYTES_MAX,
        16 * MIB,
        256 * MIB,
        "the largest message of the Autobahn conformance suite is 16 MiB",
    ));

    /// How long a message may take from its first byte to its last; a client that takes longer is
    /// closed with 1008.
    message_timeout [Live]: Duration = Duration(bound(
        SECOND_MS,
        MINUTE_MS,
        24 * HOUR_MS,
        "1 MiB takes a minute at 17 KiB/s; a message that arrives at a byte a second would be kept \
         for days",
    ));

    /// How long a client may take to answer a Close before its connection is cut.
    close_timeout [Live]: Duration = Duration(bound(
        100,
        5 * SECOND_MS,
        MINUTE_MS,
        "several round trips of a slow mobile link; a peer that is gone never answers",
    ));

    /// A client that has sent nothing for this long is sent a Ping.
    ping_interval [Live]: Duration = Duration(bound(
        100,
        25 * SECOND_MS,
        24 * HOUR_MS,
        "many proxies and mobile networks forget a connection that is silent for 30 s or a minute",
    ));

    /// How long it may then stay silent before it is closed.
    pong_timeout [Live]: Duration = Duration(bound(
        100,
        10 * SECOND_MS,
        5 * MINUTE_MS,
        "time for a lost packet to be sent again a few times, and for a phone to change networks",
    ));
}

/// Base-two logarithm of a compression window.
const WINDOW_BITS: Bound = bound(8, 15, 15, "RFC 7692 §7.1.2 allows 8 to 15");

section! {
    /// Compression of messages (permessage-deflate, RFC 7692).
    "websocket.deflate", Once => Deflate

    /// Accept compression from clients that offer it.
    enabled [Restart]: bool = Switch(true);

    /// Effort of the compressor.
    level [Restart]: u8 = Count(bound(
        1,
        1,
        9,
        "1 is the fastest and 9 the smallest; an edge tends to run out of cores before bytes",
    ));

    /// Memory of the compressor's state.
    memory_level [Restart]: u8 = Count(bound(
        1,
        8,
        9,
        "zlib's own default; less memory ends blocks sooner and compresses worse",
    ));

    /// Let the gateway's compressor remember earlier messages. It compresses better, costs each
    /// connection a compressor's memory, and a broadcast can no longer be compressed once for all.
    server_context_takeover [Restart]: bool = Switch(false);

    /// Let clients' compressors remember earlier messages. It costs each connection a window of
    /// memory.
    client_context_takeover [Restart]: bool = Switch(false);

    /// Window of the gateway's compressor: 2 to this power, in bytes.
    server_window_bits_max [Restart]: u8 = Count(WINDOW_BITS);

    /// Window asked of clients' compressors that let the server choose: 2 to this power, in bytes.
    client_window_bits_max [Restart]: u8 = Count(WINDOW_BITS);
}
