//! The one table of configuration keys. Reading, `--set`, `RINGWAY_` variables,
//! nearest-name search and `ringway defaults` all work from it, so that they
//! cannot disagree. It never holds a bound: those are in `limits`.

use crate::{
    config::keys::{Key, Kind, LISTENER, Repeats, Section},
    limits,
};

pub(super) static SECTIONS: &[Section] = &[
    Section {
        path: "server",
        repeats: Repeats::Once,
        meaning: "The process: its threads, its engine, its private API.",
    },
    Section {
        path: LISTENER,
        repeats: Repeats::Each,
        meaning: "A public listener. Write the section once for each address. From the \
                  environment, --set and --listen: the addresses (several with commas) replace \
                  all listeners, and any other key holds for every listener.",
    },
    Section {
        path: "socket",
        repeats: Repeats::Once,
        meaning: "What the kernel is told of each client's connection. Where a key is \"auto\", it \
                  is told nothing. What each one was seen to change is in tuning/README.md.",
    },
    Section {
        path: "websocket",
        repeats: Repeats::Once,
        meaning: "WebSocket connections (RFC 6455).",
    },
    Section {
        path: "websocket.deflate",
        repeats: Repeats::Once,
        meaning: "Compression of messages (permessage-deflate, RFC 7692).",
    },
    Section {
        path: "clients",
        repeats: Repeats::Once,
        meaning: "What one client may take and do, on every transport.",
    },
    Section {
        path: "history",
        repeats: Repeats::Once,
        meaning: "Events that are kept for those who were away, until the first of these bounds. \
                  They are held in memory.",
    },
    Section {
        path: "http",
        repeats: Repeats::Once,
        meaning: "The transports beside WebSocket: /poll, /sse, /stream, /send.",
    },
    Section {
        path: "cors",
        repeats: Repeats::Once,
        meaning: "Which web pages of other origins may use the gateway: open a WebSocket, and use \
                  /poll, /sse, /stream and /send and read what they answer. Pages of others are \
                  refused with 403; the gateway's own pages and programs are not.",
    },
    Section { path: "limits", repeats: Repeats::Once, meaning: "What clients may take." },
    Section { path: "log", repeats: Repeats::Once, meaning: "The log, on standard error." },
];

pub(super) static KEYS: &[Key] = &[
    Key {
        path: "server.cores",
        kind: Kind::Cores,
        meaning: "The cores to run on, one thread each: \"auto\" is every core that the process \
                  may use; 2 is a count; \"0,2-3\" is a list (core 5 alone: \"5-5\").",
    },
    Key {
        path: "server.io",
        kind: Kind::Word(&["auto", "uring", "epoll"], "auto"),
        meaning: "The kernel interface: \"auto\" is io_uring where the kernel allows it and \
                  epoll, with one log line, where it does not.",
    },
    Key {
        path: "server.wait",
        kind: Kind::Word(&["latency", "adaptive", "throughput"], "adaptive"),
        meaning: "How a core waits: \"latency\" wakes for every completion; \"adaptive\" gathers \
                  them for at most 50 us while the core is busy anyway; \"throughput\" gathers \
                  them for at most 400 us from 16 a millisecond on, to save CPU. It has no effect \
                  on epoll.",
    },
    Key {
        path: "server.drain_time",
        kind: Kind::Duration(limits::DRAIN_TIME_MS),
        meaning: "KeepAlive SIGTERM, the time over which clients are told to leave.",
    },
    Key {
        path: "server.api_listen",
        kind: Kind::Address("127.0.0.1:8081"),
        meaning: "Address of the application's private API and of the metrics. It asks for no \
                  credentials: keep it out of reach of clients.",
    },
    Key {
        path: "server.api_allowed_hosts",
        kind: Kind::Hosts,
        meaning: "Host names under which the private API may be asked for, without a port; \"*\" is \
                  every one. IP addresses, localhost and names without a dot always may. Others are \
                  refused with 421: a web page whose name leads to the gateway's address could \
                  otherwise use the API through a browser (DNS rebinding).",
    },
    Key {
        path: "server.allow_anonymous_on_public_address",
        kind: Kind::Switch(false),
        meaning: "Clients need no credentials. On an address that other machines can reach the \
                  gateway refuses to start that way unless this is true.",
    },
    Key {
        path: "server.receive_buffers",
        kind: Kind::PowerOfTwo(limits::RECEIVE_BUFFERS),
        meaning: "Receive buffers of each core, shared by all its connections.",
    },
    Key {
        path: "server.receive_buffer_bytes",
        kind: Kind::Size(limits::RECEIVE_BUFFER_BYTES),
        meaning: "Bytes of one receive buffer.",
    },
    Key {
        path: "listener.address",
        kind: Kind::Address("127.0.0.1:8080"),
        meaning: "IP address and port, such as \"0.0.0.0:8080\" or \"[::1]:8080\"; port 0 lets \
                  the kernel choose one.",
    },
    Key {
        path: "listener.backlog",
        kind: Kind::Count(limits::BACKLOG),
        meaning: "Connections that may wait to be accepted, on each core.",
    },
    Key {
        path: "socket.nodelay",
        kind: Kind::Switch(true),
        meaning: "Send a segment that is not full although an earlier one has not been \
                  acknowledged (TCP_NODELAY). Without it the client may wait for some 40 ms.",
    },
    Key {
        path: "socket.defer_accept",
        kind: Kind::WholeSeconds(limits::DEFER_ACCEPT_MS),
        meaning: "Accept a connection when its first bytes arrive, or after about this time \
                  (TCP_DEFER_ACCEPT); \"0s\" accepts at once.",
    },
    Key {
        path: "socket.notsent_lowat_bytes",
        kind: Kind::Size(limits::NOTSENT_LOWAT_BYTES),
        meaning: "The kernel takes no more for a client while it holds as many bytes that were \
                  never sent (TCP_NOTSENT_LOWAT); the rest waits in the gateway, or \
                  stays in the history. \"auto\" is net.ipv4.tcp_notsent_lowat, which is no bound.",
    },
    Key {
        path: "socket.keepalive_idle",
        kind: Kind::WholeSeconds(limits::KEEPALIVE_IDLE_MS),
        meaning: "KeepAlive so much silence the kernel asks the client's for a sign of life \
                  (SO_KEEPALIVE, TCP_KEEPIDLE); \"0s\" never asks.",
    },
    Key {
        path: "socket.keepalive_interval",
        kind: Kind::WholeSeconds(limits::KEEPALIVE_INTERVAL_MS),
        meaning: "From one such question to the next (TCP_KEEPINTVL), where keepalive_idle is \
                  set; \"auto\" is net.ipv4.tcp_keepalive_intvl.",
    },
    Key {
        path: "socket.keepalive_probes",
        kind: Kind::Count(limits::KEEPALIVE_PROBES),
        meaning: "Unanswered questions that end the connection (TCP_KEEPCNT), where \
                  keepalive_idle is set; \"auto\" is net.ipv4.tcp_keepalive_probes.",
    },
    Key {
        path: "socket.user_timeout",
        kind: Kind::Duration(limits::USER_TIMEOUT_MS),
        meaning: "How long what was sent may stay unacknowledged, or the client's receive window \
                  closed, before the connection is cut (TCP_USER_TIMEOUT). It also ends a \
                  connection that answers none of keepalive_idle's probes. \"auto\" follows from \
                  net.ipv4.tcp_retries2.",
    },
    Key {
        path: "socket.receive_buffer_bytes",
        kind: Kind::Size(limits::SOCKET_BUFFER_BYTES),
        meaning: "The kernel's receive buffer of a connection (SO_RCVBUF), at most \
                  net.core.rmem_max; \"auto\" grows it to net.ipv4.tcp_rmem as it is needed.",
    },
    Key {
        path: "socket.send_buffer_bytes",
        kind: Kind::Size(limits::SOCKET_BUFFER_BYTES),
        meaning: "The kernel's send buffer of a connection (SO_SNDBUF), at most \
                  net.core.wmem_max; \"auto\" grows it to net.ipv4.tcp_wmem as it is needed.",
    },
    Key {
        path: "socket.busy_poll_us",
        kind: Kind::Count(limits::BUSY_POLL_US),
        meaning: "Microseconds for which a receive looks into the network card's queue itself \
                  (SO_BUSY_POLL); \"auto\" is net.core.busy_read, which is 0. Loopback has no \
                  such queue.",
    },
    Key {
        path: "websocket.message_bytes_max",
        kind: Kind::Size(limits::MESSAGE_BYTES),
        meaning: "The largest message that a client may send to /ws, inflated, and the largest \
                  body of a POST to /send; a larger one closes the connection with 1009, or is \
                  answered with 413.",
    },
    Key {
        path: "websocket.frame_bytes_max",
        kind: Kind::Size(limits::FRAME_BYTES),
        meaning: "The largest frame that a client may send; \"auto\" is as large as a message \
                  may be.",
    },
    Key {
        path: "websocket.echo_message_bytes_max",
        kind: Kind::Size(limits::ECHO_MESSAGE_BYTES),
        meaning: "The largest message that a client may send to /echo, inflated.",
    },
    Key {
        path: "websocket.message_timeout",
        kind: Kind::Duration(limits::MESSAGE_TIMEOUT_MS),
        meaning: "How long a message may take from its first byte to its last; a client that takes \
                  longer is closed with 1008.",
    },
    Key {
        path: "websocket.close_timeout",
        kind: Kind::Duration(limits::CLOSE_TIMEOUT_MS),
        meaning: "How long a client may take to answer a Close before its connection is cut.",
    },
    Key {
        path: "websocket.ping_interval",
        kind: Kind::Duration(limits::PING_INTERVAL_MS),
        meaning: "A client that has sent nothing for this long is sent a Ping.",
    },
    Key {
        path: "websocket.pong_timeout",
        kind: Kind::Duration(limits::PONG_TIMEOUT_MS),
        meaning: "How long it may then stay silent before it is closed.",
    },
    Key {
        path: "websocket.deflate.enabled",
        kind: Kind::Switch(true),
        meaning: "Accept compression from clients that offer it.",
    },
    Key {
        path: "websocket.deflate.level",
        kind: Kind::Count(limits::DEFLATE_LEVEL),
        meaning: "Effort of the compressor.",
    },
    Key {
        path: "websocket.deflate.memory_level",
        kind: Kind::Count(limits::DEFLATE_MEMORY_LEVEL),
        meaning: "Memory of the compressor's state.",
    },
    Key {
        path: "websocket.deflate.server_context_takeover",
        kind: Kind::Switch(false),
        meaning: "Let the gateway's compressor remember earlier messages. It compresses better, \
                  costs each connection a compressor's memory, and a broadcast can no longer be \
                  compressed once for all.",
    },
    Key {
        path: "websocket.deflate.client_context_takeover",
        kind: Kind::Switch(false),
        meaning: "Let clients' compressors remember earlier messages. It costs each connection \
                  a window of memory.",
    },
    Key {
        path: "websocket.deflate.server_window_bits_max",
        kind: Kind::Count(limits::WINDOW_BITS),
        meaning: "Window of the gateway's compressor: 2 to this power, in bytes.",
    },
    Key {
        path: "websocket.deflate.client_window_bits_max",
        kind: Kind::Count(limits::WINDOW_BITS),
        meaning: "Window asked of clients' compressors that let the server choose: 2 to this \
                  power, in bytes.",
    },
    Key {
        path: "clients.queue_bytes_max",
        kind: Kind::Size(limits::QUEUE_BYTES),
        meaning: "Outgoing bytes kept for a client that reads slowly. Beyond it, nothing more is \
                  read from that client until it has caught up, and its events wait in the \
                  history.",
    },
    Key {
        path: "clients.slow_reader",
        kind: Kind::Word(&["gap", "close"], "gap"),
        meaning: "What becomes of a client that reads so slowly that its events have left the \
                  history: \"gap\" tells it which it has missed and goes on; \"close\" closes its \
                  connection with 1013 and a cursor to resume from.",
    },
    Key {
        path: "clients.recipients_max",
        kind: Kind::Count(limits::RECIPIENTS),
        meaning: "Recipients that one event may list.",
    },
    Key {
        path: "clients.data_depth_max",
        kind: Kind::Count(limits::DATA_DEPTH),
        meaning: "Levels of arrays and objects in the data of an event, from clients and from the \
                  application; deeper data is refused.",
    },
    Key {
        path: "clients.subscriptions_max",
        kind: Kind::Count(limits::SUBSCRIPTIONS),
        meaning: "Topics that one connection may be subscribed to.",
    },
    Key {
        path: "clients.last_events_max",
        kind: Kind::Count(limits::LAST_EVENTS),
        meaning: "The last events of a topic that a client is sent when it subscribes with `last`; \
                  a greater number counts as this one.",
    },
    Key {
        path: "clients.may_notify",
        kind: Kind::Patterns(&["*"]),
        meaning: "The clients that clients may notify; \"*\" at the end of a name stands for any \
                  rest. Others are \"denied\" in the outcome. An empty list leaves it to the \
                  application.",
    },
    Key {
        path: "clients.may_publish",
        kind: Kind::Patterns(&["*"]),
        meaning: "The topics that clients may publish to, in the same form.",
    },
    Key {
        path: "clients.may_subscribe",
        kind: Kind::Patterns(&["*"]),
        meaning: "The topics that clients may subscribe to, in the same form.",
    },
    Key {
        path: "history.events_max",
        kind: Kind::Count(limits::HISTORY_EVENTS),
        meaning: "Events that are kept.",
    },
    Key {
        path: "history.bytes_max",
        kind: Kind::Size(limits::HISTORY_BYTES),
        meaning: "Bytes of the events that are kept, at least websocket.message_bytes_max.",
    },
    Key {
        path: "history.age_max",
        kind: Kind::Duration(limits::HISTORY_AGE_MS),
        meaning: "How long an event is kept.",
    },
    Key {
        path: "http.poll_wait",
        kind: Kind::Duration(limits::POLL_WAIT_MS),
        meaning: "How long /poll waits for an event when the client does not say; at most \
                  poll_wait_max.",
    },
    Key {
        path: "http.poll_wait_max",
        kind: Kind::Duration(limits::POLL_WAIT_MAX_MS),
        meaning: "How long a client may have /poll wait; a longer wish is cut to it.",
    },
    Key {
        path: "http.poll_bytes_max",
        kind: Kind::Size(limits::POLL_BYTES),
        meaning: "Bytes of events in one answer to /poll; the next one goes on from there. One \
                  event always fits.",
    },
    Key {
        path: "http.retry",
        kind: Kind::Duration(limits::RETRY_MS),
        meaning: "How long clients of /sse are told to wait before they connect again.",
    },
    Key {
        path: "cors.allowed_origins",
        kind: Kind::Origins,
        meaning: "Origins such as \"https://example.org\" whose pages may read them; \"*\" is every \
                  origin.",
    },
    Key {
        path: "limits.connections_max",
        kind: Kind::Count(limits::CONNECTIONS),
        meaning: "Connections of the whole process; further ones are refused.",
    },
    Key {
        path: "limits.memory_bytes",
        kind: Kind::Size(limits::MEMORY_BYTES),
        meaning: "Memory for what is buffered, over all clients and the private API: unfinished \
                  requests and messages, input that waits, output that slow readers have not taken. \
                  Beyond it the clients that hold most are closed (1013 or 503, counted as \
                  \"memory\"), and new connections are refused with 503.",
    },
    Key {
        path: "limits.connections_per_address_max",
        kind: Kind::Count(limits::CONNECTIONS_PER_ADDRESS),
        meaning: "Connections from one IP address; further ones are refused.",
    },
    Key {
        path: "limits.connections_per_address_exempt",
        kind: Kind::Networks(&["127.0.0.0/8", "::1/128"]),
        meaning: "Networks to which connections_per_address_max does not apply: a proxy or a \
                  load generator on this machine brings every client from one address.",
    },
    Key {
        path: "limits.handshake_timeout",
        kind: Kind::Duration(limits::HANDSHAKE_TIMEOUT_MS),
        meaning: "From the connection to the end of its first request head.",
    },
    Key {
        path: "limits.header_bytes_max",
        kind: Kind::Size(limits::HEADER_BYTES),
        meaning: "Bytes of a request head: request line and header fields; beyond it, 431.",
    },
    Key {
        path: "limits.header_fields_max",
        kind: Kind::Count(limits::HEADER_FIELDS),
        meaning: "Header fields of a request; beyond it, 431.",
    },
    Key {
        path: "limits.target_bytes_max",
        kind: Kind::Size(limits::TARGET_BYTES),
        meaning: "Bytes of a request target, at most header_bytes_max; beyond it, 414.",
    },
    Key {
        path: "limits.keep_alive_timeout",
        kind: Kind::Duration(limits::KEEP_ALIVE_TIMEOUT_MS),
        meaning: "How long an HTTP connection may wait for its next request.",
    },
    Key {
        path: "limits.requests_per_connection_max",
        kind: Kind::Count(limits::REQUESTS_PER_CONNECTION),
        meaning: "Requests that one HTTP connection may carry before it is closed.",
    },
    Key {
        path: "log.level",
        kind: Kind::Word(&["error", "warn", "info", "debug", "trace"], "info"),
        meaning: "The least important lines that are written.",
    },
    Key {
        path: "log.format",
        kind: Kind::Word(&["text", "json"], "text"),
        meaning: "\"text\" for people, \"json\" (an object a line) for collectors.",
    },
];
