//! A turn costs no more than its bound, whatever clients send: large messages and costly commands
//! are served over several turns, and clients that cost little are served in between.

use std::collections::HashMap;

use ringway_frame::{
    Message, MessageReader, ReadLimits, Role,
    deflate::{Agreement, Deflater, Level, MemoryLevel, WindowBits},
    emit_compressed_frame,
};

use crate::{
    core::shard::tests::*,
    limits::{RECIPIENT_COST, TURN_SLICE_BYTES},
};

const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// The last step of the last client may exceed the bound, because a command is never split.
const OVERSHOOT: usize = 1_000 * RECIPIENT_COST + TURN_SLICE_BYTES;

const BOMB_BYTES: usize = 16 << 20;

/// A core whose clients exchange bytes with it.
struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
    /// What each slot was sent in the last turn.
    sent: HashMap<u32, Vec<u8>>,
}

impl World {
    fn new() -> Self {
        Self {
            shard: shard_with(|settings| settings.clients.recipients_max = 10_000),
            operations: Operations::default(),
            now: Duration::from_millis(1),
            sent: HashMap::new(),
        }
    }

    fn connect(&mut self, slot: u32, target: &str) {
        let connection = ConnectionId::new(slot, 0);
        let peer = "127.0.0.1:1".parse().expect("an address");
        let accepted = Completion::Accepted { connection, listener: 0, peer };
        self.shard.complete(accepted, self.now, &mut self.operations);
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        );
        self.receive(slot, &mut request.into_bytes());
    }

    fn receive(&mut self, slot: u32, bytes: &mut [u8]) {
        let received = Completion::Received { connection: ConnectionId::new(slot, 0), bytes };
        self.shard.complete(received, self.now, &mut self.operations);
    }

    fn sends(&mut self, slot: u32, opcode: Opcode, payload: &[u8]) {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, KEY, opcode, payload);
        self.receive(slot, &mut bytes);
    }

    /// Ends a turn, which must not have cost too much.
    fn turn(&mut self) {
        let input = self.shard.hub().spent.get();
        self.shard.follow_log(self.now, &mut self.operations);
        let put_off = self.shard.hub().spent.get();
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        self.sent.clear();
        let (operations, turn) = self.operations.drain();
        for operation in operations {
            if let Operation::Send { connection, outgoing } = operation {
                let bytes = match &outgoing {
                    Outgoing::Turn(range) => &turn[range.clone()],
                    Outgoing::Owned { bytes, start } => &bytes[*start..],
                    Outgoing::Shared(bytes) => bytes,
                    Outgoing::Pieces(_) => panic!("nothing here is large"),
                };
                self.sent.entry(connection.slot()).or_default().extend_from_slice(bytes);
            }
        }
        self.operations.clear();
        for cost in [input, put_off] {
            assert!(cost <= TURN_EVENT_BYTES_MAX + OVERSHOOT, "{cost} in a turn");
        }
    }

    /// A message of a client that costs little is answered in the turn in which it arrives.
    fn echoes_at_once(&mut self, slot: u32) {
        self.sends(slot, Opcode::Binary, b"quick");
        self.turn();
        let mut expected = Vec::new();
        emit_frame(&mut expected, None, Opcode::Binary, b"quick");
        assert_eq!(self.sent.get(&slot), Some(&expected));
    }

    fn is_idle(&self) -> bool {
        self.shard.next_deadline(self.now) != Some(Duration::ZERO)
    }
}

fn bomb() -> Vec<u8> {
    let level = Level::new(9).expect("a level");
    let mut payload = Vec::new();
    Deflater::new(level, WindowBits::MAX, MemoryLevel::USUAL)
        .deflate(&vec![0; BOMB_BYTES], &mut payload);
    let mut bytes = Vec::new();
    emit_compressed_frame(&mut bytes, KEY, Opcode::Binary, &payload);
    bytes
}

/// The messages that a client was sent: binary ones, and pongs.
fn messages(bytes: &mut [u8]) -> Vec<Vec<u8>> {
    let mut reader = MessageReader::with_deflate(Role::Client, &Agreement::default());
    let limits = ReadLimits { frame_bytes_max: 1 << 30, message_bytes_max: 1 << 30 };
    let (mut input, mut messages) = (bytes, Vec::new());
    while let Some(message) = reader.read(&mut input, &limits).expect("no fault") {
        messages.push(match message {
            Message::Binary(payload) => payload.to_vec(),
            Message::Pong(payload) => payload.to_vec(),
            other => panic!("{other:?}"),
        });
    }
    messages
}

/// RFC 7692 §8: 16 KB on the wire are 16 MiB to inflate and to compress.
#[test]
fn bombs_are_inflated_over_many_turns_with_other_clients_served_in_between() {
    let mut world = World::new();
    let bombers = 1..11;
    (0..11).for_each(|slot| world.connect(slot, "/echo"));
    world.turn();
    let bomb = bomb();
    for slot in bombers.clone() {
        world.receive(slot, &mut bomb.clone());
        world.sends(slot, Opcode::Ping, b"behind it");
    }
    let (mut turns, mut back) = (0, HashMap::<u32, Vec<u8>>::new());
    while !world.is_idle() {
        world.echoes_at_once(0);
        for (slot, bytes) in world.sent.drain() {
            back.entry(slot).or_default().extend(bytes);
        }
        turns += 1;
        let Shard { peers, core, .. } = &mut world.shard;
        let held = peers.iter_mut().map(|peer| peer.held_bytes(&core.settings)).sum::<usize>();
        assert!(held < 3 * BOMB_BYTES, "{held} bytes are held for ten messages");
    }
    let least = 10 * BOMB_BYTES / (TURN_EVENT_BYTES_MAX + OVERSHOOT);
    assert!(turns > least, "{turns} turns");
    for slot in bombers {
        let messages = messages(back.get_mut(&slot).expect("it comes back"));
        assert!(messages[0].len() == BOMB_BYTES && messages[0].iter().all(|byte| *byte == 0));
        assert_eq!(messages[1..], [b"behind it".to_vec()]);
    }
}

/// Waiting clients keep what they sent; when one is gone the next is served.
#[test]
fn a_client_that_leaves_in_a_large_message_delays_nobody() {
    let mut world = World::new();
    (0..3).for_each(|slot| world.connect(slot, "/echo"));
    world.turn();
    let bomb = bomb();
    (0..3).for_each(|slot| world.receive(slot, &mut bomb.clone()));
    world.turn();
    let connection = ConnectionId::new(0, 0);
    for completion in [
        Completion::Failed { connection, failure: ringway_acceptor::Failure(104) },
        Completion::Closed { connection },
    ] {
        world.shard.complete(completion, world.now, &mut world.operations);
    }
    let mut back = [0; 3];
    while !world.is_idle() {
        world.turn();
        for (slot, bytes) in &world.sent {
            back[*slot as usize] += bytes.len();
        }
    }
    assert!(back[1] > 10_000 && back[1] == back[2], "{back:?}");
}

/// A large uncompressed message is compressed for the echo, part by part.
#[test]
fn a_large_message_is_compressed_part_by_part() {
    let mut world = World::new();
    world.connect(0, "/echo");
    world.turn();
    let mut random = fastrand::Rng::with_seed(3);
    let message: Vec<u8> = (0..2 << 20).map(|_| random.u8(..16)).collect();
    world.sends(0, Opcode::Binary, &message);
    world.sends(0, Opcode::Ping, b"behind it");
    let (mut turns, mut back) = (0, Vec::new());
    while !world.is_idle() {
        world.turn();
        back.extend(world.sent.remove(&0).unwrap_or_default());
        turns += 1;
    }
    assert!(turns > 2, "{turns} turns");
    assert!(back.len() < message.len(), "{} bytes", back.len());
    assert!(messages(&mut back) == [message, b"behind it".to_vec()]);
}

#[test]
fn floods_of_recipients_take_many_turns_with_other_clients_served_in_between() {
    let mut world = World::new();
    let stormers = 1..28;
    world.connect(0, "/echo");
    for slot in stormers.clone() {
        world.connect(slot, &format!("/ws?client=storm-{slot}"));
    }
    world.turn();
    let command = |slot: u32, id: usize| {
        let to: Vec<String> = (0..1000).map(|one| format!("\"{slot}-{id}-{one}\"")).collect();
        format!(r#"{{"type":"notify","id":"{id}","to":[{}],"data":1}}"#, to.join(","))
    };
    // Their cost is known after the first one.
    stormers.clone().for_each(|slot| world.sends(slot, Opcode::Text, command(slot, 0).as_bytes()));
    while !world.is_idle() {
        world.turn();
    }
    let mut done = world.shard.hub().broker.log.head();
    assert_eq!(done, 27);
    stormers.clone().for_each(|slot| world.sends(slot, Opcode::Text, command(slot, 1).as_bytes()));
    while !world.is_idle() {
        world.echoes_at_once(0);
        let head = world.shard.hub().broker.log.head();
        assert!(head - done <= 2, "{} commands in a turn", head - done);
        done = head;
    }
    assert_eq!(done, 54, "all were performed");
}

/// Reading the log in a turn is bounded by the number of recipients, too.
#[test]
fn recipients_are_looked_up_over_several_turns() {
    let mut world = World::new();
    world.connect(0, "/echo");
    // Without it the core would pass the events without a look at their recipients.
    world.connect(1, "/ws?client=n0");
    world.turn();
    let to: Vec<String> = (0..10_000).map(|one| format!("n{one}")).collect();
    let notice = Notice { from: None, event: None, data: "1", ttl: None };
    let everybody = crate::config::patterns::Patterns::new(["*"]);
    for _ in 0..10 {
        let broker = &world.shard.hub().broker;
        broker.notify(&mut Submitter::default(), notice, &to, &everybody, world.now).unwrap();
    }
    let mut turns = 0;
    while world.shard.hub().position() < 10 {
        let before = world.shard.hub().position();
        world.echoes_at_once(0);
        assert!(world.shard.hub().position() - before <= 2, "20,000 look-ups are a turn's");
        turns += 1;
    }
    assert!((5..=10).contains(&turns), "{turns} turns");
}
