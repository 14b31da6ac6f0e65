//! What a core hands over for applications, and that it hands over nothing that nobody asks for.

use tokio::sync::mpsc::Receiver;

use super::*;
use crate::notifications::{Feed, Kind, Occurrence};

const NOW: Duration = Duration::from_millis(1);

/// A core, and the other end of its feed.
struct World {
    shard: Shard,
    operations: Operations,
    feed: Receiver<Occurrence>,
}

impl World {
    fn new(wanted: &[Kind]) -> Self {
        let (feed, receiver) = Feed::new(wanted.iter().copied().collect(), 100);
        let parts = parts();
        let Settings { history, history_topics, .. } = &*parts.settings;
        let broker = Broker::new(Epoch::new(1), history, history_topics).with_feed(feed);
        let shard = Shard::new(ShardParts { broker: Arc::new(broker), ..parts });
        shard.hub().mailbox.register(ringway_acceptor::Waker::new().expect("an eventfd"));
        Self { shard, operations: Operations::default(), feed: receiver }
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, NOW, &mut self.operations);
        self.shard.follow_log(NOW, &mut self.operations);
        self.operations.clear();
    }

    fn receive(&mut self, slot: u32, bytes: &[u8]) {
        let connection = ConnectionId::new(slot, 0);
        self.complete(Completion::Received { connection, bytes: &mut bytes.to_vec() });
    }

    fn accept(&mut self, slot: u32) {
        let peer = "127.0.0.1:1".parse().expect("an address");
        self.complete(Completion::Accepted {
            connection: ConnectionId::new(slot, 0),
            listener: 0,
            peer,
        });
    }

    fn connect(&mut self, slot: u32, target: &str) {
        self.accept(slot);
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
        self.receive(slot, request.as_bytes());
    }

    fn say(&mut self, slot: u32, opcode: Opcode, payload: &[u8]) {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, Some(MaskKeys::new().draw()), opcode, payload);
        self.receive(slot, &bytes);
    }

    /// What was handed over since the last call, in short.
    fn handed_over(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(one) = self.feed.try_recv() {
            let kind = one.kind.event_type().trim_start_matches("ringway.");
            let fields = [one.transport, one.reason, one.topic.as_deref()];
            let fields: Vec<_> = fields.into_iter().flatten().collect();
            all.push(format!("{kind} {} {} {}", one.client, one.connection, fields.join(" ")));
        }
        all
    }
}

#[test]
fn clients_that_come_subscribe_and_leave_are_reported_in_order() {
    let mut world = World::new(&Kind::ALL);
    world.connect(0, "/ws?client=ann&topic=news");
    assert_eq!(world.handed_over(), ["connect ann 0-0-0 websocket", "subscribe ann 0-0-0 news"]);
    for (command, expected) in [
        (r#"{"type":"subscribe","id":"1","topic":"a"}"#, vec!["subscribe ann 0-0-0 a"]),
        (r#"{"type":"subscribe","id":"2","topic":"a"}"#, vec![]),
        (r#"{"type":"unsubscribe","id":"3","topic":"news"}"#, vec!["unsubscribe ann 0-0-0 news"]),
        (r#"{"type":"unsubscribe","id":"4","topic":"news"}"#, vec![]),
        (r#"{"type":"ping"}"#, vec![]),
    ] {
        world.say(0, Opcode::Text, command.as_bytes());
        assert_eq!(world.handed_over(), expected, "{command}");
    }
    world.say(0, Opcode::Close, &1000_u16.to_be_bytes());
    assert_eq!(world.handed_over(), [""; 0], "it has not ended yet");
    world.complete(Completion::Closed { connection: ConnectionId::new(0, 0) });
    assert_eq!(world.handed_over(), ["disconnect ann 0-0-0 websocket client_closed"]);
    assert_eq!(world.shard.clients(), 0);
}

#[test]
fn a_stream_is_reported_and_its_subscriptions_by_other_requests() {
    let mut world = World::new(&Kind::ALL);
    world.accept(0);
    world.receive(0, b"GET /sse?client=ann HTTP/1.1\r\nHost: a\r\n\r\n");
    world.accept(1);
    let command = r#"{"type":"subscribe","id":"1","topic":"a","connection":"0-0-0"}"#;
    let request = format!(
        "POST /send?client=ann HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{command}",
        command.len()
    );
    world.receive(1, request.as_bytes());
    world.complete(Completion::Woken);
    assert_eq!(world.handed_over(), ["connect ann 0-0-0 sse", "subscribe ann 0-0-0 a"]);
    let failure = ringway_acceptor::Failure(104);
    world.complete(Completion::Failed { connection: ConnectionId::new(0, 0), failure });
    world.complete(Completion::Closed { connection: ConnectionId::new(0, 0) });
    world.complete(Completion::Closed { connection: ConnectionId::new(1, 0) });
    assert_eq!(world.handed_over(), ["disconnect ann 0-0-0 sse connection_lost"]);
}

#[test]
fn polls_and_echoes_are_not_reported() {
    let mut world = World::new(&Kind::ALL);
    world.accept(0);
    world.receive(0, b"GET /poll?client=ann&topic=a&wait=0 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.complete(Completion::Closed { connection: ConnectionId::new(0, 0) });
    world.connect(1, "/echo");
    world.complete(Completion::Closed { connection: ConnectionId::new(1, 0) });
    assert_eq!(world.handed_over(), [""; 0]);
}

#[test]
fn clients_that_stay_to_the_end_are_reported_as_well() {
    let mut world = World::new(&[Kind::Disconnect]);
    world.connect(0, "/ws?client=ann");
    world.connect(1, "/ws?client=bob");
    world.say(1, Opcode::Close, &1000_u16.to_be_bytes());
    world.shard.report_left_behind();
    let mut reported = world.handed_over();
    reported.sort();
    assert_eq!(
        reported,
        [
            "disconnect ann 0-0-0 websocket going_away",
            "disconnect bob 0-1-0 websocket client_closed"
        ]
    );
}

#[test]
fn what_nobody_asks_for_is_not_handed_over_and_not_kept() {
    let mut world = World::new(&[Kind::Subscribe]);
    world.connect(0, "/ws?client=ann&topic=news");
    world.say(0, Opcode::Close, &1000_u16.to_be_bytes());
    assert!(world.shard.hub().leaving.is_empty());
    world.complete(Completion::Closed { connection: ConnectionId::new(0, 0) });
    assert_eq!(world.handed_over(), ["subscribe ann 0-0-0 news"]);
}
