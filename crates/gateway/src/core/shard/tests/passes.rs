//! What clients are sent while others publish: events are merged into one send for each client and
//! pass, wherever in the pass they come.

use std::collections::HashMap;

use ringway_hub::Cursor;

use crate::{config::patterns::Patterns, core::shard::tests::*, limits::TURN_SENDS_MAX};

/// A core with many clients, named `c0`, `c1` and so on by their slots.
struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
    /// How many connections each slot has had.
    used: HashMap<u32, u32>,
}

/// What a client was sent in a turn: the data of events, and where the first gap begins.
type Sent = HashMap<u32, (Vec<u64>, Option<String>)>;

impl World {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::from_config(&Config::default());
        change(&mut settings);
        let broker = Broker::new(Epoch::new(1), &settings.history, &settings.history_topics);
        let limits = ConnectionLimits {
            connections_max: 10_000,
            connections_per_address_max: 10_000,
            exempt: Vec::new(),
        };
        let shard = Shard::new(ShardParts {
            broker: Arc::new(broker),
            settings: Arc::new(settings),
            limiter: Arc::new(ConnectionLimiter::new(limits)),
            ..parts()
        });
        let now = Duration::from_millis(1);
        Self { shard, operations: Operations::default(), now, used: HashMap::new() }
    }

    /// With this many clients that are subscribed to "t".
    fn with(count: u32) -> Self {
        let mut world = Self::new(|_| {});
        (0..count).for_each(|slot| world.come(slot, "&topic=t"));
        world.turn();
        world
    }

    fn connection(&self, slot: u32) -> ConnectionId {
        ConnectionId::new(slot, self.used[&slot])
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, self.now, &mut self.operations);
    }

    fn come(&mut self, slot: u32, topics: &str) {
        self.used.entry(slot).and_modify(|used| *used += 1).or_insert(0);
        let (connection, peer) =
            (self.connection(slot), "127.0.0.1:1".parse().expect("an address"));
        self.complete(Completion::Accepted { connection, listener: 0, peer });
        let mut request = format!(
            "GET /ws?client=c{slot}{topics} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ringway.v1.json\r\n\r\n",
        )
        .into_bytes();
        self.complete(Completion::Received { connection, bytes: &mut request });
    }

    fn say(&mut self, slot: u32, text: &str) {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, Some(MaskKeys::new().draw()), Opcode::Text, text.as_bytes());
        let connection = self.connection(slot);
        self.complete(Completion::Received { connection, bytes: &mut bytes });
    }

    fn leave(&mut self, slot: u32) {
        let connection = self.connection(slot);
        self.complete(Completion::Failed { connection, failure: ringway_acceptor::Failure(104) });
        self.complete(Completion::Closed { connection });
    }

    fn publish(&self, topic: &str, data: u64) {
        let data = data.to_string();
        let notice = Notice { from: None, event: None, data: &data, ttl: None };
        let broker = &self.shard.hub().broker;
        broker.publish(&mut Submitter::default(), notice, topic, Echo::Yes, self.now).unwrap();
    }

    fn notify(&self, slots: &[u32], data: u64) {
        let (data, everybody) = (data.to_string(), Patterns::new(["*"]));
        let names: Vec<String> = slots.iter().map(|slot| format!("c{slot}")).collect();
        let notice = Notice { from: None, event: None, data: &data, ttl: None };
        let broker = &self.shard.hub().broker;
        broker.notify(&mut Submitter::default(), notice, &names, &everybody, self.now).unwrap();
    }

    /// Ends a turn; returns what each client was sent in it.
    fn turn(&mut self) -> Sent {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        let mut sent = Sent::new();
        let (operations, turn) = self.operations.drain();
        for operation in operations {
            let Operation::Send { connection, outgoing } = operation else { continue };
            let bytes = match &outgoing {
                Outgoing::Turn(range) => &turn[range.clone()],
                Outgoing::Owned { bytes, start } => &bytes[*start..],
                Outgoing::Shared(bytes) => bytes,
                Outgoing::Pieces(pieces) => panic!("nothing here is large: {pieces:?}"),
            };
            let text = String::from_utf8_lossy(bytes);
            let data = text.split("\"data\":").skip(1);
            let numbers = data.map(|rest| {
                let end = rest.find(|byte: char| !byte.is_ascii_digit()).expect("an end");
                rest[..end].parse::<u64>().expect("a number")
            });
            let from = text.split_once("\"from\":\"").filter(|_| text.contains("\"gap\""));
            let gap = from.map(|(_, rest)| rest[..Cursor::TEXT_BYTES].to_owned());
            let numbers = numbers.collect::<Vec<_>>();
            if !numbers.is_empty() || gap.is_some() {
                let twice = sent.insert(connection.slot(), (numbers, gap));
                assert_eq!(twice, None, "two sends in a turn");
            }
        }
        self.operations.clear();
        sent
    }

    /// Ends turns until there is nothing to do; returns what clients were sent.
    fn rest(&mut self) -> Sent {
        let mut all = Sent::new();
        for _ in 0..100 {
            for (slot, (events, gap)) in self.turn() {
                let (before, first) = all.entry(slot).or_default();
                before.extend(events);
                *first = first.take().or(gap);
            }
            if self.shard.next_deadline(self.now) != Some(Duration::ZERO) {
                return all;
            }
        }
        panic!("it never rests");
    }
}

/// A pass takes four turns, and each of ten publishers comes in a turn of its own.
#[test]
fn staggered_publishers_cost_a_subscriber_one_send_in_a_pass() {
    const TURNS: u64 = 4;
    let count = TURN_SENDS_MAX as u32 * TURNS as u32;
    let mut world = World::with(count);
    world.come(count, "");
    world.turn();
    let (mut events, mut sends, mut last) = (HashMap::<u32, Vec<u64>>::new(), 0, HashMap::new());
    let begun = world.shard.hub().dispatch.place().pass;
    let (mut turn, mut passes) = (0, 0);
    while turn < 10 || !world.shard.hub().dispatch.is_empty() {
        if turn < 10 {
            world.publish("t", turn);
        }
        world.say(count, r#"{"type":"ping","id":"x"}"#);
        passes = passes.max(world.shard.hub().dispatch.place().pass - begun);
        let sent = world.turn();
        assert!(sent.len() <= TURN_SENDS_MAX, "{} sends in a turn", sent.len());
        sends += sent.len();
        for (slot, (numbers, _)) in sent {
            for number in &numbers {
                assert!(turn - number <= TURNS, "{number} comes to {slot} in turn {turn}");
            }
            let pass = last.insert(slot, turn);
            assert!(pass.is_none_or(|last| turn - last >= TURNS), "twice in a pass: {slot}");
            events.entry(slot).or_default().extend(numbers);
        }
        turn += 1;
    }
    let all: Vec<u64> = (0..10).collect();
    assert_eq!(events.len(), count as usize);
    assert!(events.values().all(|events| *events == all), "in order, and once");
    // Ten publishes take two passes and a half, and the last one a whole pass.
    assert!(sends <= 4 * count as usize, "{sends} sends to {count} clients");
}

#[test]
fn what_comes_by_name_joins_what_comes_by_topic() {
    let count = 2 * TURN_SENDS_MAX as u32;
    let mut world = World::with(count);
    let late = count - 1;
    world.publish("t", 1);
    world.notify(&[0, late], 2);
    let sent = world.turn();
    assert_eq!((&sent[&0].0, &sent[&1].0), (&vec![1, 2], &vec![1]));
    world.publish("t", 3);
    world.notify(&[0, late], 4);
    world.publish("t", 5);
    let sent = world.rest();
    assert_eq!((&sent[&0].0, &sent[&1].0), (&vec![3, 4, 5], &vec![3, 5]));
    assert_eq!(sent[&late].0, [1, 2, 3, 4, 5]);
}

#[test]
fn a_publisher_gets_all_but_its_own() {
    let mut world = World::with(3);
    for (slot, data) in [(0, 10), (1, 20), (1, 21), (2, 30)] {
        let text =
            format!(r#"{{"type":"publish","id":"{data}","topic":"t","data":{data},"echo":false}}"#);
        world.say(slot, &text);
    }
    let sent = world.rest();
    let events = [0, 1, 2].map(|slot| sent[&slot].0.clone());
    assert_eq!(events, [vec![20, 21, 30], vec![10, 30], vec![10, 20, 21]]);
}

/// In the middle of a pass, each of these clients has been visited or has not.
#[test]
fn clients_come_and_go_in_the_middle_of_a_pass() {
    let count = 2 * TURN_SENDS_MAX as u32;
    let (early, late) = (3, count - 3);
    let mut world = World::with(count);
    world.come(count + 1, "");
    world.turn();
    world.publish("t", 1);
    let sent = world.turn();
    assert!(sent.contains_key(&early) && !sent.contains_key(&late));
    // Others have their slots, and one of them their topic.
    for slot in [early, late] {
        world.leave(slot);
        world.come(slot, "&topic=t");
        world.say(slot + 1, r#"{"type":"unsubscribe","id":"1","topic":"t"}"#);
    }
    world.say(count + 1, r#"{"type":"subscribe","id":"1","topic":"t"}"#);
    world.publish("t", 2);
    let sent = world.rest();
    let events = |slot: u32| sent.get(&slot).map(|(events, _)| &**events).unwrap_or_default();
    assert_eq!((events(early), events(late), events(count + 1)), (&[2][..], &[2][..], &[2][..]));
    assert_eq!((events(early + 1), events(late + 1)), (&[][..], &[][..]));
    assert_eq!((events(0), events(count - 1)), (&[2][..], &[1, 2][..]));
    world.publish("t", 3);
    let sent = world.rest();
    assert_eq!(sent.len(), count as usize - 1, "all subscribers are still visited");
}

/// Its socket is full for the second event; the third comes after that.
#[test]
fn a_slow_client_reads_from_the_log_what_it_missed() {
    let mut world = World::with(2);
    world.publish("t", 1);
    assert_eq!(world.turn().len(), 2);
    let connection = world.connection(0);
    world.complete(Completion::Backlogged { connection, unsent_bytes: 10, shared_bytes: 0 });
    world.publish("t", 2);
    world.notify(&[0], 3);
    assert_eq!(world.turn().into_iter().collect::<Vec<_>>(), [(1, (vec![2], None))]);
    world.complete(Completion::Drained { connection });
    world.publish("t", 4);
    let sent = world.rest();
    assert_eq!((&sent[&0].0, &sent[&1].0), (&vec![2, 3, 4], &vec![4]));
}

#[test]
fn more_than_a_queue_takes_is_read_from_the_log() {
    let mut world = World::new(|settings| settings.clients.queue_bytes_max = 1_000);
    world.come(0, "&topic=t");
    world.turn();
    for data in 0..50 {
        world.publish(if data % 2 == 0 { "t" } else { "nobody's" }, data);
        world.notify(&[0], 100 + data);
    }
    let mut events: Vec<u64> = Vec::new();
    let mut turns = 0;
    while events.len() < 75 {
        let sent = world.turn();
        let (numbers, _) = sent.get(&0).expect("it is sent something in each turn");
        assert!(numbers.len() < 20, "{} events at once", numbers.len());
        events.extend(numbers);
        turns += 1;
    }
    let all = (0..50).flat_map(|data| [data, 100 + data]);
    let all: Vec<u64> = all.filter(|data| *data >= 100 || data % 2 == 0).collect();
    assert_eq!(events, all);
    assert!(turns > 5, "{turns} turns");
}

/// A part of the clients has the first event; then the core sleeps until it has left the log.
#[test]
fn a_core_that_loses_its_place_in_a_pass_tells_those_who_were_not_visited() {
    let mut world = World::new(|settings| settings.history.events_max = 16);
    let count = 2 * TURN_SENDS_MAX as u32;
    (0..count).for_each(|slot| world.come(slot, "&topic=t"));
    for _ in 0..3 {
        world.turn();
    }
    world.publish("t", 1);
    assert_eq!(world.turn().len(), TURN_SENDS_MAX);
    (2..100).for_each(|data| world.publish("t", data));
    assert!(world.shard.hub().broker.log.first() > 2, "the first event is gone");
    let (sent, broker) = (world.rest(), Arc::clone(&world.shard.hub().broker));
    for (slot, before) in [(0, 1), (count - 1, 0)] {
        let (events, gap) = &sent[&slot];
        assert_eq!(gap.as_deref(), Some(&*broker.cursor(before).to_string()), "{slot}");
        assert_eq!(events[..], (broker.log.first()..100).collect::<Vec<_>>()[..]);
    }
}
