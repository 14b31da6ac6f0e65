//! A message has its own time limit, independent of the client's signs of life.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// A core, and a client that has begun a message.
struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
    connection: ConnectionId,
    /// What the client was sent.
    sent: Vec<u8>,
    is_over: bool,
}

impl World {
    fn new() -> Self {
        let shard = shard_with(|settings| {
            settings.websocket.ping_interval = 2 * SECOND;
            settings.websocket.pong_timeout = 3 * SECOND;
            settings.websocket.message_timeout = 10 * SECOND;
            settings.clients.queue_bytes_max = 100;
        });
        let (operations, now) = (Operations::default(), SECOND);
        let (connection, sent) = (ConnectionId::new(0, 0), Vec::new());
        let mut world = Self { shard, operations, now, connection, sent, is_over: false };
        let peer = "127.0.0.1:1".parse().expect("an address");
        world.complete(Completion::Accepted { connection, listener: 0, peer });
        world.receive(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
        world.sent.clear();
        world.begins_a_message();
        world
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, self.now, &mut self.operations);
        self.turn();
    }

    fn receive(&mut self, bytes: &[u8]) {
        let connection = self.connection;
        self.complete(Completion::Received { connection, bytes: &mut bytes.to_vec() });
    }

    /// RFC 6455 §5.4: a first fragment, whose FIN bit is not set.
    fn begins_a_message(&mut self) {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, KEY, Opcode::Text, b"{");
        bytes[0] &= 0x7f;
        self.receive(&bytes);
    }

    fn ends_the_message(&mut self) {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, KEY, Opcode::Continuation, b"}");
        self.receive(&bytes);
    }

    fn gives_a_sign_of_life(&mut self) {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, KEY, Opcode::Pong, b"");
        self.receive(&bytes);
    }

    fn turn(&mut self) {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        let (list, turn) = self.operations.drain();
        let mut measured = false;
        for operation in list {
            match operation {
                Operation::Send { outgoing: Outgoing::Turn(range), .. } => {
                    self.sent.extend_from_slice(&turn[range]);
                }
                Operation::MeasureProgress(_) => measured = true,
                Operation::Shutdown(_) | Operation::Close(_) => self.is_over = true,
                _ => {}
            }
        }
        self.operations.clear();
        if measured {
            // It has read everything.
            let connection = self.connection;
            self.complete(Completion::Progress {
                connection,
                acknowledged_bytes: 0,
                unacknowledged_bytes: 0,
            });
        }
    }

    /// Runs until a deadline has come, or for `time`, in steps of the core's sleep.
    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let sleep = self.shard.next_deadline(self.now).unwrap_or(time);
            self.now = (self.now + sleep.max(Duration::from_millis(1))).min(end);
            self.turn();
        }
    }

    fn backlog(&mut self, unsent_bytes: usize) {
        let connection = self.connection;
        self.complete(Completion::Backlogged { connection, unsent_bytes, shared_bytes: 0 });
    }

    fn messages_timed_out(&self) -> u64 {
        self.shard.core.metrics.messages_timed_out.value()
    }

    /// Pings that it was sent (RFC 6455 §5.5.2).
    fn pings(&self) -> usize {
        self.sent.windows(2).filter(|bytes| *bytes == [0x89, 0]).count()
    }
}

#[test]
fn pongs_do_not_extend_the_time_for_a_message() {
    let mut world = World::new();
    for _ in 0..9 {
        world.passes(SECOND);
        world.gives_a_sign_of_life();
        assert!(!world.is_over);
    }
    assert_eq!((world.pings(), world.messages_timed_out()), (0, 0));
    world.passes(SECOND + SECOND / 10);
    assert_eq!(world.messages_timed_out(), 1);
    assert!(world.is_over);
}

#[test]
fn a_client_is_pinged_in_the_middle_of_its_message() {
    let mut world = World::new();
    world.passes(2 * SECOND + SECOND / 10);
    assert_eq!(world.pings(), 1);
    world.gives_a_sign_of_life();
    world.passes(3 * SECOND);
    assert_eq!(world.pings(), 2, "the message has not taken its place");
    world.passes(3 * SECOND);
    assert_eq!(world.messages_timed_out(), 0, "it was silent for too long before that");
}

#[test]
fn the_next_message_has_its_own_time() {
    let mut world = World::new();
    for _ in 0..3 {
        for _ in 0..9 {
            world.passes(SECOND);
            world.gives_a_sign_of_life();
        }
        world.ends_the_message();
        assert_eq!(world.messages_timed_out(), 0);
        world.begins_a_message();
    }
    world.passes(9 * SECOND / 10);
    world.ends_the_message();
    for _ in 0..20 {
        world.passes(SECOND);
        world.gives_a_sign_of_life();
    }
    assert_eq!((world.messages_timed_out(), world.is_over), (0, false), "none has begun");
}

/// While its input is not read, it cannot finish its message.
#[test]
fn a_paused_client_gets_its_time_afterwards() {
    let mut world = World::new();
    world.passes(SECOND);
    world.backlog(1000);
    for unsent in (0..15).rev() {
        world.passes(SECOND);
        world.backlog(100 + unsent);
    }
    assert_eq!((world.messages_timed_out(), world.is_over), (0, false));
    world.complete(Completion::Drained { connection: world.connection });
    for _ in 0..9 {
        world.passes(SECOND);
        world.gives_a_sign_of_life();
    }
    assert_eq!(world.messages_timed_out(), 0);
    world.passes(SECOND + SECOND / 10);
    assert_eq!(world.messages_timed_out(), 1);
}
