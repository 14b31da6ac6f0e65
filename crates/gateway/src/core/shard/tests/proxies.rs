//! Clients behind the operator's proxies: their addresses count, and nobody else is believed.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    core::shard::tests::*,
    edge::limiter::{ConnectionLimits, Origin},
    outbox::channel::{Channels, RecordLayer, xor::XorLayer},
};

const PROXY: &str = "10.0.0.1:4000";
const STRANGER: &str = "198.51.100.1:4000";

/// Listeners: a plain one, one with the PROXY protocol, and one with a record layer after it.
const HEADER: u16 = 1;
const SEALED: u16 = 2;

struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
}

/// What a connection was sent, and the operation that ended it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    text: String,
    end: Option<&'static str>,
}

impl World {
    fn new() -> Self {
        let mut channels = Channels::default();
        channels.expect_proxy_header(HEADER);
        channels.expect_proxy_header(SEALED);
        channels.set(SEALED, Arc::new(|| Box::new(XorLayer::server(5))));
        let mut settings = Settings::from_config(&Config::default());
        settings.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let limits = ConnectionLimits {
            connections_max: 100,
            connections_per_address_max: 2,
            exempt: vec![],
        };
        let (settings, limiter) = (Arc::new(settings), ConnectionLimiter::new(limits));
        let limiter = Arc::new(limiter);
        let shard = Shard::new(ShardParts { settings, limiter, channels, ..parts() });
        Self { shard, operations: Operations::default(), now: Duration::from_millis(1) }
    }

    fn accept(&mut self, slot: u32, listener: u16, from: &str) {
        let peer = from.parse().expect("an address");
        let connection = ConnectionId::new(slot, 0);
        let accepted = Completion::Accepted { connection, listener, peer };
        self.shard.complete(accepted, self.now, &mut self.operations);
    }

    /// A connection sends bytes; returns what it was sent by the end of the turn.
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Seen {
        let (connection, mut bytes) = (ConnectionId::new(slot, 0), bytes.to_vec());
        let received = Completion::Received { connection, bytes: &mut bytes };
        self.shard.complete(received, self.now, &mut self.operations);
        self.seen(slot)
    }

    fn seen(&mut self, slot: u32) -> Seen {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        let mut seen = Seen::default();
        let (operations, turn) = self.operations.drain();
        for operation in operations {
            match operation {
                Operation::Send { connection, outgoing: Outgoing::Turn(range) }
                    if connection.slot() == slot =>
                {
                    seen.text += &String::from_utf8_lossy(&turn[range]);
                }
                Operation::Shutdown(connection) if connection.slot() == slot => {
                    seen.end = Some("shutdown");
                }
                Operation::Close(connection) if connection.slot() == slot => {
                    seen.end = Some("close");
                }
                _ => {}
            }
        }
        seen
    }

    fn close(&mut self, slot: u32) {
        let closed = Completion::Closed { connection: ConnectionId::new(slot, 0) };
        self.shard.complete(closed, self.now, &mut self.operations);
    }

    /// How many more connections a client at this address may open.
    fn room(&self, address: &str) -> usize {
        let limiter = &self.shard.core.limiter;
        let address = address.parse().expect("an address");
        let permits: Vec<_> =
            std::iter::from_fn(|| limiter.admit(address, Origin::Client).ok()).take(9).collect();
        let room = permits.len();
        permits.into_iter().for_each(|permit| limiter.leave(permit));
        room
    }
}

fn request(route: &str, fields: &str) -> Vec<u8> {
    format!("GET {route} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

#[test]
fn the_clients_of_a_proxy_have_limits_of_their_own() {
    let mut world = World::new();
    let stream = request("/sse?client=a&topic=t", "X-Forwarded-For: 192.0.2.1\r\n");
    for slot in 0..2 {
        world.accept(slot, 0, PROXY);
        assert!(world.send(slot, &stream).text.starts_with("HTTP/1.1 200"));
    }
    assert_eq!((world.room("192.0.2.1"), world.room("192.0.2.2")), (0, 2));
    world.accept(2, 0, PROXY);
    let refused = world.send(2, &stream);
    assert!(refused.text.starts_with("HTTP/1.1 429"), "{refused:?}");
    assert!(refused.text.contains("limits.connections_per_address_max"), "{refused:?}");
    let other = request("/sse?client=b&topic=t", "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n");
    world.accept(3, 0, PROXY);
    assert!(world.send(3, &other).text.starts_with("HTTP/1.1 200"));
    assert_eq!(world.room("192.0.2.2"), 1);
    (0..4).for_each(|slot| world.close(slot));
    assert_eq!((world.room("192.0.2.1"), world.room("192.0.2.2")), (2, 2));
    assert_eq!(world.shard.core.limiter.connections(), 0);
}

#[test]
fn a_connection_of_a_proxy_that_waits_for_a_request_serves_nobody() {
    let mut world = World::new();
    world.accept(0, 0, PROXY);
    let poll = |address| {
        let field = format!("X-Forwarded-For: {address}\r\n");
        request("/poll?client=a&topic=t&wait=0", &field)
    };
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.1"] {
        assert!(world.send(0, &poll(address)).text.starts_with("HTTP/1.1 200"));
        assert_eq!(world.room(address), 2, "{address}");
    }
}

#[test]
fn nobody_else_is_believed() {
    let mut world = World::new();
    world.accept(0, 0, STRANGER);
    let stream = request("/sse?client=a&topic=t", "X-Forwarded-For: 192.0.2.1\r\n");
    assert!(world.send(0, &stream).text.starts_with("HTTP/1.1 200"));
    assert_eq!((world.room("192.0.2.1"), world.room("198.51.100.1")), (2, 1));
    world.accept(1, HEADER, STRANGER);
    assert_eq!(world.seen(1), Seen { text: String::new(), end: Some("close") });
    let header = b"PROXY TCP4 192.0.2.1 10.0.0.9 1 2\r\nGET /sse HTTP/1.1\r\n\r\n";
    assert_eq!(world.send(1, header), Seen::default());
    assert_eq!(world.room("192.0.2.1"), 2);
}

#[test]
fn a_proxy_header_may_be_split_anywhere() {
    let header = b"PROXY TCP4 192.0.2.1 10.0.0.9 1 2\r\n";
    let whole = [&header[..], &request("/sse?client=a&topic=t", "")].concat();
    for at in 0..whole.len() {
        let mut world = World::new();
        world.accept(0, HEADER, PROXY);
        let first = world.send(0, &whole[..at]);
        assert_eq!(first, Seen::default());
        let second = world.send(0, &whole[at..]);
        assert!(second.text.starts_with("HTTP/1.1 200"), "{at}: {second:?}");
        assert_eq!(world.room("192.0.2.1"), 1);
    }
}

#[test]
fn limits_apply_to_the_address_in_the_header() {
    let mut world = World::new();
    let hello = b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n";
    for slot in 0..2 {
        world.accept(slot, HEADER, PROXY);
        assert_eq!(world.send(slot, hello), Seen::default());
    }
    world.accept(2, HEADER, PROXY);
    let refused = world.send(2, hello);
    assert!(refused.text.starts_with("HTTP/1.1 429") && refused.end == Some("shutdown"));
    // The load balancer itself has no limit.
    for slot in 3..9 {
        world.accept(slot, HEADER, PROXY);
        let health = world.send(slot, b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(health.text.starts_with("HTTP/1.1 200"), "{health:?}");
    }
}

#[test]
fn a_connection_without_the_header_is_closed() {
    let too_long = [b'x'; 5000];
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff";
    for bytes in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"\x16\x03\x01", &too_long, binary] {
        let mut world = World::new();
        world.accept(0, HEADER, PROXY);
        let seen = world.send(0, bytes);
        assert_eq!(seen, Seen { text: String::new(), end: Some("close") });
        assert_eq!(world.shard.core.metrics.channel_errors.value(), 1);
    }
}

#[test]
fn a_record_layer_begins_after_the_header() {
    let mut world = World::new();
    world.accept(0, SEALED, PROXY);
    let mut hello = b"PROXY TCP4 192.0.2.1 10.0.0.9 1 2\r\n".to_vec();
    let mut layer = XorLayer::client(11, &mut hello);
    world.send(0, &hello);
    let mut sealed = request("/sse?client=a&topic=t", "");
    layer.seal(&mut sealed, 0);
    assert!(!world.send(0, &sealed).text.is_empty());
    assert_eq!(world.room("192.0.2.1"), 1);
    let address: SocketAddr = PROXY.parse().unwrap();
    assert_eq!(world.room(&address.ip().to_string()), 2, "the proxy takes no place");
}
