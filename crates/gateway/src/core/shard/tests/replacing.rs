//! Replaced settings apply from the next turn on, to open connections too, and close none.

use super::*;
use crate::{broker::mailbox::CoreMessage, config::patterns::Patterns};

/// A core, and a client that publishes on one connection.
struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
}

impl World {
    fn new() -> Self {
        let (shard, operations) = (shard(), Operations::default());
        let mut world = Self { shard, operations, now: Duration::from_millis(1) };
        world.shard.hub().mailbox.register(ringway_acceptor::Waker::new().expect("an eventfd"));
        let peer = "127.0.0.1:1".parse().expect("an address");
        let connection = ConnectionId::new(0, 0);
        world.complete(Completion::Accepted { connection, listener: 0, peer });
        world.receive(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                .to_vec(),
        );
        world
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, self.now, &mut self.operations);
        self.shard.follow_log(self.now, &mut self.operations);
        self.operations.clear();
        self.now += Duration::from_millis(1);
    }

    fn receive(&mut self, mut bytes: Vec<u8>) {
        self.complete(Completion::Received {
            connection: ConnectionId::new(0, 0),
            bytes: &mut bytes,
        });
    }

    /// How many events there are after the client has published one more.
    fn publishes(&mut self) -> u64 {
        let id = self.now.as_millis();
        let text = format!(r#"{{"type":"publish","id":"{id}","topic":"a","data":1}}"#);
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, Some(MaskKeys::new().draw()), Opcode::Text, text.as_bytes());
        self.receive(bytes);
        assert_eq!(self.shard.clients(), 1, "the connection stays open");
        self.shard.hub().broker.log.head()
    }

    fn replace(&mut self, change: impl FnOnce(&mut Settings)) {
        let running = Arc::clone(&self.shard.core.settings);
        let mut next = Settings::clone(&running);
        change(&mut next);
        let order = CoreMessage::ReplaceSettings(Arc::new(running.replaced_by(&next)));
        self.shard.hub().mailbox.tell_all(&order);
        self.complete(Completion::Woken);
    }
}

#[test]
fn open_connections_follow_replaced_settings() {
    let mut world = World::new();
    assert_eq!(world.publishes(), 1);
    world.replace(|next| next.clients.may_publish = Patterns::new(["news"]));
    assert_eq!(world.publishes(), 1, "it is denied");
    world.replace(|next| next.clients.may_publish = Patterns::new(["*"]));
    assert_eq!(world.publishes(), 2);
}

#[test]
fn settings_that_need_a_restart_are_not_replaced() {
    let mut world = World::new();
    world.replace(|next| {
        next.clients.data_depth_max = 0;
        next.websocket.message_bytes_max = 1;
        next.history.events_max = 1;
    });
    assert_eq!((world.publishes(), world.publishes()), (1, 2));
    let Settings { clients, websocket, history, .. } = &*world.shard.core.settings;
    assert!(clients.data_depth_max > 0 && websocket.message_bytes_max > 1);
    assert!(history.events_max > 1);
}
