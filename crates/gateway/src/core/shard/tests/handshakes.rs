//! Many handshakes at once: what they cost a turn, how many begin in a second, and which one ends
//! when there are too many.

use ringway_acceptor::Outgoing;

use crate::{
    core::shard::tests::*,
    limits::HANDSHAKE_FLIGHT_COST,
    outbox::channel::{Channels, xor::XorLayer},
};

/// The listener whose connections begin with a handshake.
const LAYERED: u16 = 1;

/// Handshakes that fit in a turn in which nothing else is done.
const PER_TURN_MAX: usize = TURN_EVENT_BYTES_MAX / HANDSHAKE_FLIGHT_COST + 1;

struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
    /// The slots to which bytes were sent in the last turn, and those that were closed.
    answered: Vec<u32>,
    closed: Vec<u32>,
}

impl World {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::from_config(&Config::default());
        change(&mut settings);
        let settings = Arc::new(settings);
        let broker = Broker::new(Epoch::new(1), &settings.history, &settings.history_topics);
        let mut channels = Channels::default();
        channels.set(LAYERED, Arc::new(|| Box::new(XorLayer::server(5))));
        let limits = ConnectionLimits {
            connections_max: 10_000,
            connections_per_address_max: 10_000,
            exempt: Vec::new(),
        };
        let limiter = Arc::new(ConnectionLimiter::new(limits));
        let broker = Arc::new(broker);
        let parts = ShardParts { broker, settings, limiter, channels, ..parts() };
        let (operations, now) = (Operations::default(), Duration::from_millis(1));
        let (answered, closed) = (Vec::new(), Vec::new());
        Self { shard: Shard::new(parts), operations, now, answered, closed }
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, self.now, &mut self.operations);
    }

    fn accept(&mut self, slot: u32, listener: u16) {
        let (connection, peer) =
            (ConnectionId::new(slot, 0), "127.0.0.1:1".parse().expect("an address"));
        self.complete(Completion::Accepted { connection, listener, peer });
    }

    fn receive(&mut self, slot: u32, bytes: &[u8]) {
        let connection = ConnectionId::new(slot, 0);
        self.complete(Completion::Received { connection, bytes: &mut bytes.to_vec() });
    }

    fn greet(&mut self, slot: u32) {
        let mut hello = Vec::new();
        XorLayer::client(11, &mut hello);
        self.receive(slot, &hello);
    }

    fn turn(&mut self) {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        (self.answered, self.closed) = (Vec::new(), Vec::new());
        for operation in self.operations.drain().0 {
            match operation {
                Operation::Send {
                    connection,
                    outgoing: Outgoing::Turn(_) | Outgoing::Owned { .. },
                } => {
                    self.answered.push(connection.slot());
                }
                Operation::Close(connection) => self.closed.push(connection.slot()),
                _ => {}
            }
        }
        self.operations.clear();
    }

    fn metrics(&self) -> &CoreMetrics {
        &self.shard.core.metrics
    }
}

const UPGRADE: &[u8] = b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

#[test]
fn a_burst_of_handshakes_does_not_delay_clients_that_are_connected() {
    const BURST: u32 = 1_000;
    let mut world = World::new(|_| {});
    world.accept(BURST, 0);
    world.receive(BURST, UPGRADE);
    world.turn();
    for slot in 0..BURST {
        world.accept(slot, LAYERED);
        world.greet(slot);
    }
    let (mut established, mut turns) = (0, 0);
    while established < BURST as usize {
        let mut frame = Vec::new();
        emit_frame(&mut frame, Some([1, 2, 3, 4]), Opcode::Text, b"well");
        world.receive(BURST, &frame);
        world.turn();
        assert!(world.answered.contains(&BURST), "turn {turns}: the echo waits for handshakes");
        let handshakes = world.answered.len() - 1;
        assert!(handshakes > 0 && handshakes <= PER_TURN_MAX, "turn {turns}: {handshakes}");
        established += handshakes;
        turns += 1;
        let is_done = established == BURST as usize;
        let is_ready = world.shard.next_deadline(world.now) == Some(Duration::ZERO);
        assert!(is_done || is_ready, "turn {turns}: the core sleeps on handshakes");
    }
    assert!(turns >= BURST as usize / PER_TURN_MAX, "{turns} turns");
    assert_eq!(world.metrics().handshakes.value(), u64::from(BURST));
}

#[test]
fn no_more_handshakes_begin_in_a_second_than_are_allowed() {
    let mut world = World::new(|settings| settings.tls.handshakes_per_second_max = 10);
    let over_rate = |world: &World| world.metrics().handshakes_over_rate.value();
    let come = |world: &mut World, slots: std::ops::Range<u32>| {
        slots.for_each(|slot| {
            world.accept(slot, LAYERED);
            world.greet(slot);
        });
        world.turn();
    };
    come(&mut world, 0..15);
    assert_eq!(
        (&*world.answered, &*world.closed),
        (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[10, 11, 12, 13, 14][..])
    );
    assert_eq!(over_rate(&world), 5);
    // Those that say nothing use up nothing.
    world.now = Duration::from_secs(1);
    (15..40).for_each(|slot| world.accept(slot, LAYERED));
    come(&mut world, 40..50);
    assert_eq!((world.answered.len(), &*world.closed), (10, &[][..]));
    assert_eq!(over_rate(&world), 5);
    assert_eq!(world.metrics().handshakes_given_up.value(), 0);
}

#[test]
fn a_handshake_that_waits_for_its_client_makes_room_for_another() {
    let bounded = || World::new(|settings| settings.tls.handshakes_max = 40);
    // Nobody says anything: the first ends.
    let mut world = bounded();
    (0..41).for_each(|slot| world.accept(slot, LAYERED));
    world.turn();
    assert_eq!(world.closed, [0]);
    // The first three wait for the core.
    let mut world = bounded();
    (0..40).for_each(|slot| world.accept(slot, LAYERED));
    (0..3).for_each(|slot| world.greet(slot));
    world.accept(40, LAYERED);
    world.turn();
    assert_eq!((&*world.closed, &*world.answered), (&[3][..], &[0, 1, 2][..]));
    // All wait for the core: the last one to come ends.
    let mut world = bounded();
    (0..40).for_each(|slot| {
        world.accept(slot, LAYERED);
        world.greet(slot);
    });
    world.accept(40, LAYERED);
    world.turn();
    assert_eq!(world.closed, [40]);
    assert_eq!(world.metrics().handshakes_given_up.value(), 1);
    assert_eq!(world.shard.core.handshakes.in_progress(), 40 - world.answered.len());
}
