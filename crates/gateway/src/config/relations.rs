//! The relations between keys' ranges and defaults and the fixed limits, asserted at compile time.
//! It holds no bound.

use crate::{
    config::{
        bound::{Bound, MINUTE_MS, SECOND_MS},
        keys::bound_of,
    },
    limits::*,
};

const RECEIVE_BUFFERS: Bound = bound_of("server.receive_buffers");
const RECEIVE_BUFFER_BYTES: Bound = bound_of("server.receive_buffer_bytes");
const MESSAGE_BYTES: Bound = bound_of("websocket.message_bytes_max");
const FRAME_BYTES: Bound = bound_of("websocket.frame_bytes_max");
const CLOSE_TIMEOUT: Bound = bound_of("websocket.close_timeout");
const PONG_TIMEOUT: Bound = bound_of("websocket.pong_timeout");
const QUEUE_BYTES: Bound = bound_of("clients.queue_bytes_max");
const HISTORY_BYTES: Bound = bound_of("history.bytes_max");
const HEADER_BYTES: Bound = bound_of("limits.header_bytes_max");
const TARGET_BYTES: Bound = bound_of("limits.target_bytes_max");
const POLL_WAIT: Bound = bound_of("http.poll_wait");
const POLL_WAIT_MAX: Bound = bound_of("http.poll_wait_max");
const CONNECTIONS: Bound = bound_of("limits.connections_max");

const _: () = {
    // A whole control frame fits in the smallest receive buffer, a Close can always be queued, and
    // no message limit is smaller than a control frame's payload.
    let control_frame_bytes = CONTROL_FRAME_HEAD_BYTES + CONTROL_FRAME_BYTES_MAX;
    assert!(control_frame_bytes <= RECEIVE_BUFFER_BYTES.least);
    assert!(control_frame_bytes <= QUEUE_BYTES.least);
    assert!(CONTROL_FRAME_BYTES_MAX <= MESSAGE_BYTES.least);
    assert!(CONTROL_FRAME_BYTES_MAX <= FRAME_BYTES.least);

    // The target is part of the head.
    assert!(TARGET_BYTES.least <= HEADER_BYTES.least);
    assert!(TARGET_BYTES.number() <= HEADER_BYTES.number());
    assert!(TARGET_BYTES.most <= HEADER_BYTES.most);

    // The largest head fits in the receive buffers of one core, even the fewest
    // and smallest: a head that arrives in one burst never waits for a buffer.
    assert!(HEADER_BYTES.most <= RECEIVE_BUFFERS.least * RECEIVE_BUFFER_BYTES.least);

    // io_uring_setup_buf_ring(3): a power of two, at most 32,768.
    assert!(RECEIVE_BUFFERS.least.is_power_of_two());
    assert!(RECEIVE_BUFFERS.number().is_power_of_two());
    assert!(RECEIVE_BUFFERS.most == 1 << 15);
    // Buffer numbers and lengths are 16 and 32 bits wide in a completion.
    assert!(RECEIVE_BUFFER_BYTES.most <= u32::MAX as u64);

    // One frame may carry the largest message, and lengths fit in 32 bits.
    assert!(FRAME_BYTES.most >= MESSAGE_BYTES.most);
    assert!(FRAME_BYTES.most >= bound_of("websocket.echo_message_bytes_max").most);
    assert!(FRAME_BYTES.most <= u32::MAX as u64);

    // What is pending of a topic fits in the default queue of a client, and in what a core keeps.
    assert!(TOPIC_PENDING_BYTES_MAX as u64 <= QUEUE_BYTES.number());
    assert!(TOPIC_PENDING_BYTES_MAX < PENDING_BYTES_MAX);
    assert!(PENDING_BYTES_MAX <= TURN_EVENT_BYTES_MAX);

    // A peer that answers its Close in time is gone before the end of a drain.
    assert!(CLOSE_TIMEOUT.number() <= bound_of("server.drain_time").number());
    // By default a dead peer is noticed within a minute, and the time for a Pong is at least the
    // time for a Close.
    assert!(bound_of("websocket.ping_interval").number() + PONG_TIMEOUT.number() <= MINUTE_MS);
    assert!(CLOSE_TIMEOUT.number() <= PONG_TIMEOUT.number());

    // A history holds many of the largest events, so that one of them does not empty it, and no
    // message is allowed that does not fit in the history.
    assert!(16 * MESSAGE_BYTES.number() <= HISTORY_BYTES.number());
    assert!(MESSAGE_BYTES.most <= HISTORY_BYTES.most);

    // A client may ask for the default wait.
    assert!(POLL_WAIT.number() <= POLL_WAIT_MAX.number());
    assert!(POLL_WAIT.most <= POLL_WAIT_MAX.most);

    // One address may have as many connections as the whole process, never more.
    assert!(bound_of("limits.connections_per_address_max").most <= CONNECTIONS.most);
    // Connections are counted in 32 bits, and no count reaches the maximum.
    assert!(CONNECTIONS.most + (TURNED_AWAY_MAX as u64) < u32::MAX as u64);

    // The kernel compares the backlog as a signed 32-bit number.
    assert!(bound_of("listener.backlog").most <= i32::MAX as u64);
    // The kernel's limits: 32,767 s (tcp(7)), and 32 bits with a sign (socket(7)).
    assert!(bound_of("socket.keepalive_idle").most <= 32_767 * SECOND_MS);
    assert!(bound_of("socket.keepalive_interval").most <= 32_767 * SECOND_MS);
    assert!(2 * bound_of("socket.receive_buffer_bytes").most <= i32::MAX as u64);
    assert!(2 * bound_of("socket.send_buffer_bytes").most <= i32::MAX as u64);
    assert!(bound_of("socket.user_timeout").most <= i32::MAX as u64);
};
