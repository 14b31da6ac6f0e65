//! Clients that publish as fast as they can delay the events of others by a bounded number of turns,
//! however many they are and however long they go on.

use crate::{
    core::shard::tests::{passes::World, *},
    limits::{AHEAD_BYTES_MAX, TOPIC_PENDING_BYTES_MAX},
};

/// Bytes of data in each event of a flood.
const FLOOD_BYTES: usize = 4_000;

/// A flooder has this many commands on their way, whenever it looks.
const COMMANDS_READY: usize = 30;

/// Turns within which a good client gets its own event while some flood.
const TURNS_MAX: u64 = 8;

/// The flood: each flooder's slot, and its topic's number.
struct Flood {
    world: World,
    flooders: Vec<(u32, u32)>,
    /// The good clients' slots, and the turn in which each has published what it has not received.
    good: Vec<(u32, Option<u64>)>,
    numbers: u64,
    turn: u64,
    longest: u64,
    received: u64,
}

impl Flood {
    fn new(flooders: u32, topics: u32, subscribers: u32) -> Self {
        // History is no limit here: what is refused costs little.
        let mut world = World::new(|settings| {
            settings.history.client_share = 100;
            settings.history.topic_share = 100;
        });
        let mut slots = 0..;
        let mut next = || slots.next().expect("there are many");
        let good = (0..5).map(|_| next()).collect::<Vec<_>>();
        good.iter().for_each(|slot| world.come(*slot, &format!("&topic=good-{slot}")));
        for number in 0..subscribers {
            world.come(next(), &format!("&topic=flood-{}", number % topics));
        }
        let flooders = (0..flooders).map(|number| (next(), number % topics)).collect::<Vec<_>>();
        flooders.iter().for_each(|(slot, _)| world.come(*slot, ""));
        (0..3).for_each(|_| drop(world.turn_texts()));
        let good = good.into_iter().map(|slot| (slot, None)).collect();
        Self { world, flooders, good, numbers: 0, turn: 0, longest: 0, received: 0 }
    }

    /// Each flooder sends as much as a socket holds, unless the gateway does not read from it.
    fn flood(&mut self) {
        let Self { world, flooders, numbers, .. } = self;
        for (slot, topic) in flooders {
            let connection = ConnectionId::new(*slot, 0);
            let waiting = world.shard.deferred_bytes(connection).expect("it is open");
            if waiting > 0 {
                continue;
            }
            for _ in 0..COMMANDS_READY {
                *numbers += 1;
                let data = "x".repeat(FLOOD_BYTES);
                let text = format!(
                    r#"{{"type":"publish","id":"{numbers}","topic":"flood-{topic}","data":"{data}"}}"#
                );
                world.say(*slot, &text);
            }
        }
    }

    /// Each good client publishes once its last event has come.
    fn turn(&mut self) {
        self.flood();
        for (slot, since) in &mut self.good {
            if since.is_none() {
                let text = format!(
                    r#"{{"type":"publish","id":"{}","topic":"good-{slot}","data":1}}"#,
                    self.turn
                );
                self.world.say(*slot, &text);
                *since = Some(self.turn);
            }
        }
        let texts = self.world.turn_texts();
        self.turn += 1;
        for (slot, since) in &mut self.good {
            if texts.get(slot).is_some_and(|text| text.contains(r#""type":"event""#)) {
                let begun = since.take().expect("one event for each");
                self.longest = self.longest.max(self.turn - begun);
                self.received += 1;
            }
        }
        for (slot, since) in &self.good {
            let has_waited = since.map_or(0, |since| self.turn - since);
            let flooders = self.flooders.len();
            assert!(has_waited <= TURNS_MAX, "{slot} in turn {}, {flooders} flood", self.turn);
        }
    }
}

#[test]
fn events_of_others_come_within_a_few_turns_of_a_flood() {
    for (flooders, topics, subscribers) in [(1, 1, 10), (1, 1, 1_000), (20, 1, 50), (30, 30, 60)] {
        let mut flood = Flood::new(flooders, topics, subscribers);
        for _ in 0..150 {
            flood.turn();
            let hub = flood.world.shard.hub();
            // A few events of each, fewer the more there are; and those of the good clients.
            let unread = hub.broker.log.head() - hub.position();
            let windows = 2 * AHEAD_BYTES_MAX.div_ceil(FLOOD_BYTES);
            let most = windows + 4 * flooders as usize + 5;
            assert!(unread as usize <= most, "{unread} events of {flooders} are not read");
        }
        let each = flood.received / 5;
        assert!(
            each > 150 / TURNS_MAX,
            "{each} events in 150 turns, after {} at most",
            flood.longest
        );
        // The flood goes on: the topic is sent what it takes.
        let least = 150 / 8 * (AHEAD_BYTES_MAX / FLOOD_BYTES) as u64;
        let head = flood.world.shard.hub().broker.log.head();
        assert!(head > least, "{head} events, of {flooders} flooders to {subscribers}");
    }
}

/// Those who flood are served in turn.
#[test]
fn flooders_of_a_topic_have_equal_parts() {
    let mut flood = Flood::new(10, 1, 20);
    let mut accepted = [0_usize; 10];
    for _ in 0..100 {
        flood.flood();
        let texts = flood.world.turn_texts();
        for (place, (slot, _)) in flood.flooders.iter().enumerate() {
            accepted[place] += texts.get(slot).map_or(0, |text| text.matches("\"ack\"").count());
        }
    }
    let (least, most) = (accepted.iter().min(), accepted.iter().max());
    assert!(least.zip(most).is_some_and(|(least, most)| 2 * least > *most), "{accepted:?}");
    let all: usize = accepted.iter().sum();
    assert!(all * FLOOD_BYTES > 20 * TOPIC_PENDING_BYTES_MAX, "{accepted:?}");
}

/// The core that they are on has nothing to send, and another one is behind.
#[test]
fn a_flooder_waits_for_another_core() {
    let mut flood = Flood::new(1, 1, 0);
    let broker = Arc::clone(&flood.world.shard.hub().broker);
    broker.progress.note(1, broker.log.head());
    for _ in 0..20 {
        flood.flood();
        flood.world.turn_texts();
    }
    let head = broker.log.head() as usize;
    let windows = 2 * AHEAD_BYTES_MAX / FLOOD_BYTES;
    assert!((windows..=windows + 2).contains(&head), "{head} events of two windows");
    let shard = &flood.world.shard;
    let wait = shard.next_deadline(flood.world.now);
    assert!(wait.is_some_and(|wait| wait > Duration::ZERO), "it sleeps meanwhile: {wait:?}");
    broker.progress.note(1, broker.log.head());
    flood.world.turn_texts();
    assert!(broker.log.head() as usize > head);
}
