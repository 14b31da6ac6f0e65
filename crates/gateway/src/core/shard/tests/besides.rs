//! A client connects without a cursor on one core while it has a connection on another core, and
//! the older one breaks: events that its socket did not take are reported as a gap.

use std::collections::VecDeque;

use ringway_acceptor::{Failure, Waker};

use crate::{config::patterns::Patterns, core::shard::tests::*};

/// Two cores, and connections of one client without cursors.
struct World {
    shards: [Shard; 2],
    now: Duration,
}

/// What a turn sends.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    events: usize,
    /// Gaps, by their beginning and their end.
    gaps: VecDeque<(u64, u64)>,
}

/// A connection: the core, and the slot there.
type At = (usize, u32);

const SSE: &str = "GET /sse?client=ann HTTP/1.1\r\nHost: a\r\n\r\n";
const POLL: &str = "GET /poll?client=ann&wait=20 HTTP/1.1\r\nHost: a\r\n\r\n";
const WS: &str = "GET /ws?client=ann HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: ringway.v1.json\r\n\r\n";

const OLD: At = (0, 1);
const NEW: At = (1, 1);

impl World {
    /// With a connection that has taken one event.
    fn new() -> Self {
        let settings = Arc::new(Settings::from_config(&Config::default()));
        let broker = Broker::new(Epoch::new(1), &settings.history, &settings.history_topics);
        let (broker, mailbox) = (Arc::new(broker), Mailbox::default());
        let shards = [0, 1].map(|core| {
            mailbox.register(Waker::new().expect("an eventfd"));
            let (broker, mailbox) = (Arc::clone(&broker), mailbox.clone());
            Shard::new(ShardParts { broker, mailbox, core, ..parts() })
        });
        let mut world = Self { shards, now: Duration::from_millis(1) };
        world.comes(OLD, SSE);
        world.notify("ann");
        assert_eq!(world.turn(0).events, 1);
        world.rest();
        world
    }

    fn complete(&mut self, (core, _): At, completion: Completion<'_>, operations: &mut Operations) {
        self.shards[core].complete(completion, self.now, operations);
    }

    /// A connection comes, in a turn of its core.
    fn comes(&mut self, at: At, request: &str) -> Sent {
        let (connection, peer) =
            (ConnectionId::new(at.1, 0), "127.0.0.1:1".parse().expect("an address"));
        let mut operations = Operations::default();
        let accepted = Completion::Accepted { connection, listener: 0, peer };
        self.complete(at, accepted, &mut operations);
        let mut bytes = request.as_bytes().to_vec();
        self.complete(at, Completion::Received { connection, bytes: &mut bytes }, &mut operations);
        self.end_turn(at.0, operations)
    }

    /// An event that no core has read yet.
    fn notify(&mut self, client: &str) {
        let notice = Notice { from: None, event: None, data: "1", ttl: None };
        let (broker, everybody) = (Arc::clone(&self.shards[0].hub().broker), Patterns::new(["*"]));
        broker.notify(&mut Submitter::default(), notice, &[client], &everybody, self.now).unwrap();
    }

    /// A connection breaks, and nothing was taken that is not known to be.
    fn fails(&mut self, at: At) -> Sent {
        let connection = ConnectionId::new(at.1, 0);
        let mut operations = Operations::default();
        let failed = Completion::Failed { connection, failure: Failure(104) };
        self.complete(at, failed, &mut operations);
        let sent = self.end_turn(at.0, operations);
        self.complete(at, Completion::Closed { connection }, &mut Operations::default());
        sent
    }

    /// The client ends a connection whose socket takes everything.
    fn ends(&mut self, at: At) {
        let connection = ConnectionId::new(at.1, 0);
        let mut operations = Operations::default();
        self.complete(at, Completion::EndOfStream { connection }, &mut operations);
        self.end_turn(at.0, operations);
        self.turn(at.0);
        self.complete(at, Completion::Closed { connection }, &mut Operations::default());
    }

    /// A turn of one core.
    fn turn(&mut self, core: usize) -> Sent {
        let mut operations = Operations::default();
        self.shards[core].complete(Completion::Woken, self.now, &mut operations);
        self.end_turn(core, operations)
    }

    /// Turns of both cores in which every socket takes everything; what is sent in them.
    fn rest(&mut self) -> Sent {
        let mut all = Sent::default();
        for core in [0, 1, 0, 1, 0, 1] {
            let Sent { events, gaps } = self.turn(core);
            all.events += events;
            all.gaps.extend(gaps);
        }
        all
    }

    fn end_turn(&mut self, core: usize, mut operations: Operations) -> Sent {
        let shard = &mut self.shards[core];
        shard.follow_log(self.now, &mut operations);
        shard.expire(self.now, &mut operations);
        self.now += Duration::from_millis(1);
        let text = String::from_utf8_lossy(operations.bytes()).into_owned();
        let place = |text: &str, field: &str| {
            let cursor = text.split(&format!("\"{field}\":\"")).nth(1).expect("a field");
            cursor[..ringway_hub::Cursor::TEXT_BYTES].parse::<ringway_hub::Cursor>()
        };
        let place = |text: &str, field: &str| place(text, field).expect("a cursor").sequence;
        let gaps = text.split("\"type\":\"gap\"").skip(1);
        let gaps = gaps.map(|gap| (place(gap, "from"), place(gap, "to"))).collect();
        operations.clear();
        Sent { events: text.matches("\"data\"").count(), gaps }
    }
}

fn gap(from: u64, to: u64) -> Sent {
    Sent { events: 0, gaps: [(from, to)].into() }
}

fn nothing() -> Sent {
    Sent::default()
}

#[test]
fn events_sent_in_the_turn_of_a_second_connection_are_reported() {
    for transport in [SSE, WS, POLL] {
        let mut world = World::new();
        world.notify("ann");
        assert_eq!(world.turn(0).events, 1);
        world.turn(1);
        world.comes(NEW, transport);
        world.fails(OLD);
        assert_eq!(world.rest(), gap(1, 2), "{transport}");
        assert_eq!(world.rest(), nothing(), "once");
    }
}

#[test]
fn events_that_the_other_core_had_not_read_are_reported() {
    for transport in [SSE, WS, POLL] {
        let mut world = World::new();
        world.notify("ann");
        world.turn(1);
        world.comes(NEW, transport);
        world.fails(OLD);
        assert_eq!(world.rest(), gap(1, 2), "{transport}");
    }
}

#[test]
fn later_events_are_sent_before_the_gap() {
    let mut world = World::new();
    world.notify("ann");
    world.turn(1);
    world.comes(NEW, SSE);
    world.notify("ann");
    assert_eq!(world.turn(1).events, 1);
    world.fails(OLD);
    assert_eq!(world.rest(), gap(1, 3));
    world.notify("ann");
    assert_eq!(world.rest(), Sent { events: 1, ..nothing() });
}

#[test]
fn a_gap_that_a_broken_connection_did_not_take_is_sent_again() {
    // It breaks before the gap is sent, in the turn of the send, and after its socket has taken the
    // gap.
    for turns in 0..3 {
        let mut world = World::new();
        world.notify("ann");
        world.turn(1);
        world.comes(NEW, SSE);
        world.fails(OLD);
        (0..turns).for_each(|_| drop(world.turn(1)));
        world.fails(NEW);
        let sent = world.comes((1, 2), SSE);
        assert_eq!(sent.events, usize::from(turns < 2), "after {turns} turns");
        assert_eq!(world.rest(), nothing());
    }
}

#[test]
fn the_third_connection_gets_the_gap_if_the_second_breaks_too() {
    let mut world = World::new();
    world.notify("ann");
    world.turn(1);
    world.comes(NEW, SSE);
    world.comes((1, 2), SSE);
    world.fails(OLD);
    world.fails(NEW);
    assert_eq!(world.rest(), gap(1, 2));
    // The other way round: the newest connection breaks first.
    let mut world = World::new();
    world.notify("ann");
    world.turn(1);
    world.comes(NEW, SSE);
    world.fails(NEW);
    world.fails(OLD);
    assert_eq!(world.comes((1, 2), SSE).events, 1);
}

#[test]
fn a_client_that_missed_nothing_gets_no_gap() {
    // The first one has taken everything, and breaks.
    let mut world = World::new();
    world.notify("ann");
    world.turn(0);
    world.turn(0);
    world.turn(1);
    world.comes(NEW, SSE);
    world.turn(0);
    world.fails(OLD);
    assert_eq!(world.rest(), nothing());
    // It ends in the turn after a send.
    let mut world = World::new();
    world.notify("ann");
    world.turn(1);
    world.comes(NEW, SSE);
    world.turn(0);
    world.ends(OLD);
    assert_eq!(world.rest(), nothing());
    // No event was for the client.
    let mut world = World::new();
    world.notify("bob");
    world.turn(1);
    world.comes(NEW, SSE);
    world.fails(OLD);
    assert_eq!(world.rest(), nothing());
    // A third one has it.
    let mut world = World::new();
    world.comes((0, 2), SSE);
    world.notify("ann");
    world.turn(1);
    world.comes(NEW, SSE);
    assert_eq!(world.fails(OLD), Sent { events: 1, ..nothing() });
    assert_eq!(world.rest(), nothing());
}
