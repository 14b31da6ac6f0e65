//! A core whose turns the test runs: when it may sleep, and which clients get an event that
//! takes several turns to send.
//!
//! There is no driver, so each socket takes everything that is written and nothing is ever
//! backlogged.

mod aging;
mod besides;
mod channels;
mod deadlines;
mod floods;
mod handshakes;
mod identities;
mod leaving;
mod occurrences;
mod passes;
mod polls;
mod proxies;
mod replacing;
mod slices;
mod stalls;
mod submissions;

use ringway_acceptor::{Operation, Outgoing, Piece};
use ringway_frame::{MaskKeys, Opcode, emit_frame};
use ringway_hub::Epoch;

use crate::{
    auth::SelfNamed,
    broker::{Echo, Notice, mailbox::CoreMessage, source::Submitter},
    config::Config,
    connection::log::EndReason,
    core::shard::*,
    edge::limiter::ConnectionLimits,
    limits::{TURN_EVENT_BYTES_MAX, TURN_SLICE_BYTES},
};

/// Bytes of an event that is sent only once in a turn.
const LONG: usize = TURN_EVENT_BYTES_MAX;

fn shard() -> Shard {
    // No client falls behind because an answer precedes a large event.
    shard_with(|settings| settings.clients.queue_bytes_max = 2 * LONG)
}

fn shard_with(change: impl FnOnce(&mut Settings)) -> Shard {
    let mut settings = Settings::from_config(&Config::default());
    change(&mut settings);
    let settings = Arc::new(settings);
    let broker = Broker::new(Epoch::new(1), &settings.history, &settings.history_topics);
    Shard::new(ShardParts { broker: Arc::new(broker), settings, ..parts() })
}

/// The parts of a core with the default settings.
fn parts() -> ShardParts {
    let settings = Arc::new(Settings::from_config(&Config::default()));
    ShardParts {
        limiter: Arc::new(ConnectionLimiter::new(ConnectionLimits {
            connections_max: 100,
            connections_per_address_max: 100,
            exempt: Vec::new(),
        })),
        broker: Arc::new(Broker::new(Epoch::new(1), &settings.history, &settings.history_topics)),
        settings,
        identities: Arc::new(SelfNamed),
        mailbox: Mailbox::default(),
        memory: Arc::new(MemoryBudget::new(1 << 30)),
        metrics: Arc::new(CoreMetrics::default()),
        channels: Channels::default(),
        core: 0,
    }
}

/// Deferred input is served at the end of a turn, after the log was read.
#[test]
fn a_core_does_not_sleep_on_an_event_that_it_has_just_appended() {
    let (mut shard, mut operations) = (shard(), Operations::default());
    let (connection, now) = (ConnectionId::new(0, 0), Duration::from_millis(1));
    let peer = "127.0.0.1:1".parse().expect("an address");
    shard.complete(Completion::Accepted { connection, listener: 0, peer }, now, &mut operations);
    let mut bytes = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .to_vec();
    let long = format!(r#"{{"type":"ping","long":"{}"}}"#, "x".repeat(TURN_SLICE_BYTES / 2));
    let publish = r#"{"type":"publish","id":"1","topic":"a","data":1}"#;
    let mut keys = MaskKeys::new();
    for text in [&*long, &*long, publish] {
        emit_frame(&mut bytes, Some(keys.draw()), Opcode::Text, text.as_bytes());
    }
    let received = Completion::Received { connection, bytes: &mut bytes };
    shard.complete(received, now, &mut operations);
    assert_eq!(shard.hub().broker.log.head(), 0, "the last message waits");
    shard.follow_log(now, &mut operations);
    assert_eq!(shard.hub().broker.log.head(), 1);
    assert_eq!(shard.next_deadline(now), Some(Duration::ZERO));
    shard.follow_log(now, &mut operations);
    assert_eq!(shard.hub().position(), 1);
    assert_ne!(shard.next_deadline(now), Some(Duration::ZERO));
}

/// A core with an event that it has sent to the first of its subscribers.
struct HalfSent {
    shard: Shard,
    operations: Operations,
    now: Duration,
}

impl HalfSent {
    /// `listeners` subscribe to its topic, "a"; `others` have no topic.
    fn new(others: &[u32], listeners: &[u32]) -> Self {
        let mut world = Self {
            shard: shard(),
            operations: Operations::default(),
            now: Duration::from_millis(1),
        };
        others.iter().for_each(|slot| world.connect(*slot, ""));
        listeners.iter().for_each(|slot| world.connect(*slot, "&topic=a"));
        world.turn();
        let data = format!("\"{}\"", "x".repeat(LONG));
        let notice = Notice { from: None, event: None, data: &data, ttl: None };
        let hub = world.shard.hub();
        hub.broker.publish(&mut Submitter::default(), notice, "a", Echo::Yes, world.now).unwrap();
        assert_eq!(world.turn(), listeners[..1], "a turn sends it once");
        let hub = world.shard.hub();
        let settled = if listeners.len() == 1 { 1 } else { 0 };
        assert_eq!((hub.position(), hub.settled()), (1, settled), "the others have not got it");
        world
    }

    fn connect(&mut self, slot: u32, topics: &str) {
        let connection = ConnectionId::new(slot, 0);
        let peer = "127.0.0.1:1".parse().expect("an address");
        let Self { shard, operations, now } = self;
        shard.complete(Completion::Accepted { connection, listener: 0, peer }, *now, operations);
        let request = format!(
            "GET /ws?client=c{slot}{topics} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ringway.v1.json\r\n\r\n",
        );
        self.receive(slot, request.into_bytes());
    }

    fn say(&mut self, slot: u32, text: &str) {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, Some(MaskKeys::new().draw()), Opcode::Text, text.as_bytes());
        self.receive(slot, bytes);
    }

    fn subscribe_since_the_beginning(&mut self, slot: u32, topic: &str) {
        let since = self.shard.hub().broker.cursor(0);
        let text =
            format!(r#"{{"type":"subscribe","id":"1","topic":"{topic}","since":"{since}"}}"#);
        self.say(slot, &text);
    }

    fn receive(&mut self, slot: u32, mut bytes: Vec<u8>) {
        let received =
            Completion::Received { connection: ConnectionId::new(slot, 0), bytes: &mut bytes };
        self.shard.complete(received, self.now, &mut self.operations);
    }

    /// Ends a turn; returns the slots that were sent the event in it.
    fn turn(&mut self) -> Vec<u32> {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        let (operations, _) = self.operations.drain();
        let sends = operations.filter_map(|operation| match operation {
            Operation::Send { connection, outgoing: Outgoing::Shared(bytes) } => {
                (bytes.len() > LONG).then_some(connection.slot())
            }
            // After an answer of the same turn.
            Operation::Send { connection, outgoing: Outgoing::Pieces(pieces) } => {
                let is_event =
                    |piece: &Piece| matches!(piece, Piece::Shared(bytes) if bytes.len() > LONG);
                pieces.iter().any(is_event).then_some(connection.slot())
            }
            _ => None,
        });
        let slots = sends.collect();
        self.operations.clear();
        slots
    }

    /// Tells the core to drain, within the usual time.
    fn drain(&mut self) {
        let drain_time = self.shard.core.settings.server.drain_time;
        self.shard.hub().mailbox.drain(drain_time);
        self.shard.complete(Completion::Woken, self.now, &mut self.operations);
    }

    /// Whether it drains, and no client has been told to leave.
    fn is_gathering(&self) -> bool {
        self.shard.is_gathering()
    }

    /// Ends turns until there is nothing to do; returns the slots that were sent the event.
    fn go_on(mut self) -> Vec<u32> {
        let slots = (0..10).flat_map(|_| self.turn()).collect();
        assert!(self.shard.hub().dispatch.is_empty(), "there is more to send");
        slots
    }
}

#[test]
fn a_client_that_joins_a_half_sent_topic_reads_it_from_the_log() {
    let mut world = HalfSent::new(&[0], &[1, 2]);
    // The core is already past its slot.
    world.subscribe_since_the_beginning(0, "a");
    let mut slots = world.go_on();
    slots.sort_unstable();
    assert_eq!(slots, [0, 2]);
}

#[test]
fn events_of_a_half_sent_topic_do_not_go_to_the_topic_that_reuses_its_number() {
    let mut world = HalfSent::new(&[3], &[1, 2]);
    for slot in [1, 2] {
        world.say(slot, r#"{"type":"unsubscribe","id":"1","topic":"a"}"#);
    }
    world.subscribe_since_the_beginning(3, "b");
    assert_eq!(world.go_on(), [0_u32; 0]);
}

/// Its first subscriber has the event; the others must get it before they are told to leave.
#[test]
fn half_sent_events_are_sent_before_clients_leave() {
    let mut world = HalfSent::new(&[], &[1, 2, 3]);
    world.drain();
    assert_eq!(world.turn(), [2]);
    assert!(world.is_gathering());
    assert_eq!(world.turn(), [3]);
    world.turn();
    assert!(!world.is_gathering());
}

#[test]
fn clients_stay_until_no_core_accepts_events() {
    let mut world = HalfSent::new(&[], &[1]);
    let mailbox = world.shard.hub().mailbox.clone();
    for _ in 0..2 {
        mailbox.register(ringway_acceptor::Waker::new().expect("an eventfd"));
    }
    world.drain();
    for _ in 0..3 {
        world.turn();
        assert!(world.is_gathering());
    }
    // The other core had taken one more event before it closed.
    let notice = Notice { from: None, event: None, data: "1", ttl: None };
    let broker = Arc::clone(&world.shard.hub().broker);
    broker.publish(&mut Submitter::default(), notice, "a", Echo::Yes, world.now).unwrap();
    mailbox.close_intake();
    assert!(world.is_gathering());
    world.turn();
    assert_eq!(world.shard.hub().position(), 2);
    assert!(!world.is_gathering());
}

#[test]
fn a_dead_core_does_not_delay_the_drain_for_long() {
    let mut world = HalfSent::new(&[], &[1]);
    for _ in 0..2 {
        let waker = ringway_acceptor::Waker::new().expect("an eventfd");
        world.shard.hub().mailbox.register(waker);
    }
    world.drain();
    world.turn();
    assert!(world.is_gathering());
    world.now += world.shard.next_deadline(world.now).expect("it looks again");
    world.turn();
    assert!(!world.is_gathering());
}
