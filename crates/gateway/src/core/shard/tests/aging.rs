//! A client whose connection is old is told to come back, in the way of its transport, before the
//! connection is too old.

use crate::core::shard::tests::*;

const AGE_MAX: Duration = Duration::from_secs(100);
const MAX_IDLE: Duration = Duration::from_secs(3_600);

struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
    /// The text of each send, and whether the stream was ended, by slot.
    sent: [(String, bool); 4],
}

impl World {
    fn new() -> Self {
        let shard = shard_with(|settings| {
            settings.server.max_connection_age = AGE_MAX;
            settings.limits.keep_alive_timeout = MAX_IDLE;
            settings.limits.handshake_timeout = MAX_IDLE;
            settings.http.poll_wait = MAX_IDLE;
            settings.http.poll_wait_max = MAX_IDLE;
            settings.websocket.ping_interval = MAX_IDLE;
        });
        let now = Duration::from_millis(1);
        Self { shard, operations: Operations::default(), now, sent: Default::default() }
    }

    fn asks(&mut self, slot: u32, path: &str, fields: &str) {
        let connection = ConnectionId::new(slot, 0);
        let peer = "127.0.0.1:1".parse().expect("an address");
        let accepted = Completion::Accepted { connection, listener: 0, peer };
        self.shard.complete(accepted, self.now, &mut self.operations);
        let mut bytes = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        let received = Completion::Received { connection, bytes: &mut bytes };
        self.shard.complete(received, self.now, &mut self.operations);
        self.turn();
    }

    fn turn(&mut self) {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        let staged = self.operations.bytes().to_vec();
        let (operations, _) = self.operations.drain();
        for operation in operations {
            match operation {
                Operation::Send { connection, outgoing: Outgoing::Turn(range) } => {
                    let text = String::from_utf8_lossy(&staged[range]);
                    self.sent[connection.slot() as usize].0.push_str(&text);
                }
                Operation::Shutdown(connection) => self.sent[connection.slot() as usize].1 = true,
                _ => {}
            }
        }
        self.operations.clear();
    }
}

#[test]
fn clients_of_all_transports_are_told_to_come_back() {
    let mut world = World::new();
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    world.asks(0, "/ws?client=ann", upgrade);
    world.asks(1, "/sse?client=bob", "");
    world.asks(2, "/poll?client=cid", "");
    world.asks(3, "/healthz-of-nobody", "");
    world.sent = Default::default();
    let begun = world.now;
    while world.now < begun + AGE_MAX * 8 / 10 - Duration::from_secs(1) {
        world.now += Duration::from_millis(500);
        world.turn();
    }
    assert!(world.sent.iter().all(|(text, is_ended)| text.is_empty() && !is_ended));
    while world.now < begun + AGE_MAX {
        world.now += Duration::from_millis(500);
        world.turn();
    }
    let [socket, stream, poll, idle] = &world.sent;
    let wait = "max_age: the connection is old; come back after ";
    assert!(socket.0.contains(wait), "{socket:?}");
    assert!(stream.0.contains("retry: ") && stream.0.ends_with("0\r\n\r\n"), "{stream:?}");
    assert!(poll.0.contains("Connection: close\r\n") && poll.0.contains("\"cursor\""), "{poll:?}");
    assert!(idle.0.is_empty());
    assert!([stream, poll, idle].iter().all(|(_, is_ended)| *is_ended), "{:?}", world.sent);
    assert_eq!(world.shard.core.metrics.ended.0[EndReason::MaxAge as usize].value(), 0, "not yet");
    for slot in 0..4 {
        let connection = ConnectionId::new(slot, 0);
        world.shard.complete(Completion::Closed { connection }, world.now, &mut world.operations);
    }
    assert_eq!(world.shard.core.metrics.ended.0[EndReason::MaxAge as usize].value(), 4);
}

/// Its request gets the answer, in the time that a request has, and then the connection ends.
#[test]
fn a_client_in_the_middle_of_a_request_is_answered_first() {
    let mut world = World::new();
    world.asks(0, "/nothing", "");
    world.sent = Default::default();
    world.now = AGE_MAX * 79 / 100;
    let connection = ConnectionId::new(0, 0);
    let (mut begun, mut rest) = (b"GET / HT".to_vec(), b"TP/1.1\r\nHost: a\r\n\r\n".to_vec());
    let received = Completion::Received { connection, bytes: &mut begun };
    world.shard.complete(received, world.now, &mut world.operations);
    world.turn();
    // It is due between 80 and 90 seconds, and then has 10 more.
    world.now = AGE_MAX * 89 / 100;
    while world.now < AGE_MAX * 91 / 100 {
        world.now += Duration::from_millis(500);
        world.turn();
    }
    assert_eq!(world.sent[0], (String::new(), false), "it is looked at again");
    let received = Completion::Received { connection, bytes: &mut rest };
    world.shard.complete(received, world.now, &mut world.operations);
    world.turn();
    assert!(
        world.sent[0].0.contains("Connection: close\r\n") && world.sent[0].1,
        "{:?}",
        world.sent[0]
    );
}
