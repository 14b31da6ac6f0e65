//! The answer to a poll counts as received only when its socket has taken it: events that a socket
//! did not take are kept for the client, and events that it took are not sent again.

use ringway_acceptor::Failure;

use crate::{config::patterns::Patterns, core::shard::tests::*};

/// One core, and a client that polls without a cursor.
struct World {
    /// The client's connection.
    ann: ConnectionId,
    shard: Shard,
    operations: Operations,
    now: Duration,
}

impl World {
    /// A client that was connected before, with an event that is kept for it.
    fn new() -> Self {
        let (shard, operations) = (shard(), Operations::default());
        let ann = ConnectionId::new(1, 0);
        let mut world = Self { ann, shard, operations, now: Duration::from_millis(1) };
        world.connect(ann);
        world.poll(ann);
        world.turn();
        world.notify();
        world.turn();
        world
    }

    fn connect(&mut self, connection: ConnectionId) {
        let peer = "127.0.0.1:1".parse().expect("an address");
        self.complete(Completion::Accepted { connection, listener: 0, peer });
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, self.now, &mut self.operations);
    }

    fn poll(&mut self, connection: ConnectionId) {
        let mut bytes = b"GET /poll?client=ann&wait=0 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        self.complete(Completion::Received { connection, bytes: &mut bytes });
    }

    fn notify(&mut self) {
        let notice = Notice { from: None, event: None, data: "1", ttl: None };
        let broker = Arc::clone(&self.shard.hub().broker);
        broker
            .notify(&mut Submitter::default(), notice, &["ann"], &Patterns::new(["*"]), self.now)
            .unwrap();
    }

    fn fails(&mut self, connection: ConnectionId) {
        self.complete(Completion::Failed { connection, failure: Failure(104) });
    }

    /// Ends a turn; returns how many events were sent in it.
    fn turn(&mut self) -> usize {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        let events = self.operations.bytes().windows(6).filter(|part| part == b"\"data\"").count();
        self.operations.clear();
        events
    }

    /// How many events are kept for the client.
    fn waiting(&self) -> u32 {
        let broker = &self.shard.hub().broker;
        let left = broker.directory.sight("ann").left;
        broker.waiting("ann", left, self.now).events
    }

    /// The answer to a client that polls on a new connection.
    fn comes_again(&mut self) -> usize {
        let other = ConnectionId::new(2, 0);
        self.connect(other);
        self.poll(other);
        self.turn()
    }
}

#[test]
fn an_answer_is_taken_in_the_turn_after_the_send() {
    let mut world = World::new();
    world.poll(world.ann);
    assert_eq!(world.turn(), 1);
    assert_eq!(world.waiting(), 1, "the socket may not have taken it");
    assert_eq!(world.shard.next_deadline(world.now), Some(Duration::ZERO));
    world.turn();
    assert_eq!(world.waiting(), 0);
    assert_ne!(world.shard.next_deadline(world.now), Some(Duration::ZERO));
    assert_eq!(world.comes_again(), 0);
}

#[test]
fn an_answer_whose_send_failed_is_kept() {
    let mut world = World::new();
    world.poll(world.ann);
    world.turn();
    world.fails(world.ann);
    world.turn();
    assert_eq!(world.waiting(), 1);
    assert_eq!(world.comes_again(), 1);
}

#[test]
fn an_answer_was_taken_before_a_later_failure() {
    let mut world = World::new();
    world.poll(world.ann);
    world.turn();
    world.turn();
    world.fails(world.ann);
    world.turn();
    assert_eq!(world.comes_again(), 0);
}

#[test]
fn an_answer_was_taken_by_a_client_that_closes_normally() {
    let mut world = World::new();
    world.poll(world.ann);
    world.turn();
    world.complete(Completion::EndOfStream { connection: world.ann });
    world.turn();
    world.complete(Completion::Closed { connection: world.ann });
    assert_eq!(world.comes_again(), 0);
}

#[test]
fn a_backlogged_answer_is_taken_when_the_backlog_has_left() {
    let mut world = World::new();
    world.poll(world.ann);
    world.turn();
    world.complete(Completion::Backlogged {
        connection: world.ann,
        unsent_bytes: 10,
        shared_bytes: 0,
    });
    for _ in 0..3 {
        world.turn();
        assert_eq!(world.waiting(), 1);
    }
    assert_ne!(world.shard.next_deadline(world.now), Some(Duration::ZERO), "nothing to do");
    world.complete(Completion::Drained { connection: world.ann });
    world.turn();
    assert_eq!(world.waiting(), 0);
    assert_eq!(world.comes_again(), 0);
}

#[test]
fn a_backlogged_answer_is_kept_when_the_connection_fails() {
    let mut world = World::new();
    world.poll(world.ann);
    world.turn();
    world.complete(Completion::Backlogged {
        connection: world.ann,
        unsent_bytes: 10,
        shared_bytes: 0,
    });
    world.turn();
    world.fails(world.ann);
    world.turn();
    assert_eq!(world.comes_again(), 1);
}

/// A client may ask again before it has the answer, and does not get the same answer twice.
#[test]
fn the_next_poll_of_a_connection_continues_after_the_last_answer() {
    let mut world = World::new();
    world.poll(world.ann);
    world.poll(world.ann);
    assert_eq!(world.turn(), 1);
    world.turn();
    assert_eq!(world.comes_again(), 0);
}

#[test]
fn several_answers_are_kept_when_their_send_fails() {
    let mut world = World::new();
    world.poll(world.ann);
    world.poll(world.ann);
    world.turn();
    world.fails(world.ann);
    world.turn();
    assert_eq!(world.comes_again(), 1);
}
