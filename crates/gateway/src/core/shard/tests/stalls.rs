//! A client whose dead connection has not failed yet reconnects without a cursor: the events that
//! are stuck in the dead connection's socket are not lost when it fails.

use ringway_acceptor::Failure;

use crate::{
    config::{SlowReader, patterns::Patterns},
    core::shard::tests::*,
};

/// One core, and event streams of one client that connects without a cursor.
struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
    /// Whether a gap was sent in the last turn.
    has_sent_gap: bool,
}

fn connection(slot: u32) -> ConnectionId {
    ConnectionId::new(slot, 0)
}

impl World {
    /// With these connections.
    fn with(slots: &[u32]) -> Self {
        Self::of(shard(), slots)
    }

    fn of(shard: Shard, slots: &[u32]) -> Self {
        let (operations, now) = (Operations::default(), Duration::from_millis(1));
        let mut world = Self { shard, operations, now, has_sent_gap: false };
        slots.iter().for_each(|slot| assert_eq!(world.comes(*slot), 0));
        world
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, self.now, &mut self.operations);
    }

    /// A connection opens; returns how many events are then sent.
    fn comes(&mut self, slot: u32) -> usize {
        let (connection, peer) = (connection(slot), "127.0.0.1:1".parse().expect("an address"));
        self.complete(Completion::Accepted { connection, listener: 0, peer });
        let mut bytes = b"GET /sse?client=ann HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        self.complete(Completion::Received { connection, bytes: &mut bytes });
        self.turn()
    }

    /// Sends the client an event; returns how often it is sent.
    fn notify(&mut self) -> usize {
        let notice = Notice { from: None, event: None, data: "1", ttl: None };
        let (broker, everybody) = (Arc::clone(&self.shard.hub().broker), Patterns::new(["*"]));
        broker.notify(&mut Submitter::default(), notice, &["ann"], &everybody, self.now).unwrap();
        self.turn()
    }

    fn stalls(&mut self, slot: u32) {
        let connection = connection(slot);
        self.complete(Completion::Backlogged { connection, unsent_bytes: 10, shared_bytes: 0 });
    }

    fn drains(&mut self, slot: u32) {
        self.complete(Completion::Drained { connection: connection(slot) });
    }

    fn fails(&mut self, slot: u32) {
        let connection = connection(slot);
        self.complete(Completion::Failed { connection, failure: Failure(104) });
        self.turn();
        self.complete(Completion::Closed { connection });
    }

    /// Ends a turn; returns how many events were sent in it.
    fn turn(&mut self) -> usize {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        let events = self.operations.bytes().windows(6).filter(|part| part == b"\"data\"").count();
        let text = String::from_utf8_lossy(self.operations.bytes());
        self.has_sent_gap = text.contains(r#""type":"gap""#);
        self.operations.clear();
        events
    }
}

#[test]
fn events_stuck_in_a_dead_connection_go_to_a_new_one() {
    let mut world = World::with(&[1]);
    assert_eq!(world.notify(), 1);
    world.stalls(1);
    assert_eq!(world.notify(), 0, "there is no room");
    assert_eq!(world.comes(2), 2, "both events");
    world.fails(1);
    assert_eq!(world.notify(), 1);
    world.fails(2);
    assert!(world.comes(3) <= 1, "events that the second one took are not sent again");
}

#[test]
fn events_stuck_in_two_dead_connections_are_kept() {
    let mut world = World::with(&[1]);
    assert_eq!(world.notify(), 1);
    world.stalls(1);
    assert_eq!(world.comes(2), 1);
    world.stalls(2);
    assert_eq!(world.comes(3), 1);
    world.stalls(3);
    [1, 2, 3].into_iter().for_each(|slot| world.fails(slot));
    assert_eq!(world.comes(4), 1);
}

#[test]
fn a_connection_beside_one_that_takes_its_events_starts_at_the_head() {
    let mut world = World::with(&[1, 2]);
    assert_eq!(world.notify(), 1, "staged once for both");
    world.turn();
    world.stalls(1);
    assert_eq!(world.comes(3), 0, "the second one has it");
    world.fails(2);
    world.fails(3);
    assert_eq!(world.comes(4), 0, "and it has left");
}

#[test]
fn a_connection_beside_one_that_has_drained_starts_at_the_head() {
    let mut world = World::with(&[1]);
    assert_eq!(world.notify(), 1);
    world.stalls(1);
    world.turn();
    world.drains(1);
    world.turn();
    assert_eq!(world.comes(2), 0);
}

#[test]
fn a_client_closed_for_being_slow_is_sent_the_gap_when_it_returns() {
    let shard = shard_with(|settings| {
        settings.clients.slow_reader = SlowReader::Close;
        settings.history.events_max = 16;
    });
    let mut world = World::of(shard, &[1]);
    assert_eq!(world.notify(), 1);
    world.stalls(1);
    (0..100).for_each(|_| assert_eq!(world.notify(), 0));
    world.drains(1);
    world.turn();
    assert!(!world.has_sent_gap, "the first connection is closed in place of it");
    assert_eq!(world.shard.hub().broker.directory.connections("ann"), 0);
    world.comes(2);
    assert!(world.has_sent_gap);
}
