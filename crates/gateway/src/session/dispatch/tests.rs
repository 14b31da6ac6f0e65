//! Which events a client is sent when it is visited, and what the core keeps of them.

use std::time::Duration;

use ringway_hub::{Appender, Draft, Epoch, Retention, ToSender};

use super::*;
use crate::encoding::native::{EventParts, event};

const SLOTS: u32 = 3;

/// A log that keeps few events, and a core with three clients, each named by its slot and subscribed
/// to the topic "t".
struct Core {
    log: Log,
    reader: Reader,
    subscriptions: Subscriptions,
    dispatch: Dispatch,
    scratch: Scratch,
    /// What each client was sent.
    cursors: Vec<Sequence>,
}

impl Core {
    fn new() -> Self {
        let log = Log::new(Epoch::new(1), Retention { events_max: 16, ..Retention::default() });
        let mut core = Self {
            reader: log.reader(),
            subscriptions: Subscriptions::new(&log, 0),
            log,
            dispatch: Dispatch::default(),
            scratch: Scratch::default(),
            cursors: Vec::new(),
        };
        (0..SLOTS).for_each(|slot| core.arrive(slot, "t"));
        core
    }

    fn arrive(&mut self, slot: u32, topic: &str) {
        self.subscriptions.arrive(slot.to_string().as_str().into(), slot);
        self.subscriptions.subscribe(topic, slot);
        self.dispatch.join(slot);
        self.cursors.resize(self.cursors.len().max(slot as usize + 1), 0);
        self.cursors[slot as usize] = self.reader.position();
    }

    fn append(&self, draft: Draft) {
        self.log.append(&mut Appender::default(), draft, Duration::ZERO);
    }

    fn draft(topic: Option<&str>) -> Draft {
        event(EventParts { from: None, topic, name: None, data: "[1]" }, 0).expect("memory")
    }

    fn publish(&self, topic: &str) {
        self.append(Self::draft(Some(topic)));
    }

    fn publish_from(&self, slot: u32) {
        let mut draft = Self::draft(Some("t"));
        draft.fields.from = Some(draft.push(&slot.to_string()));
        draft.to_sender = ToSender::LeftOut;
        self.append(draft);
    }

    fn notify(&self, slots: &[u32]) {
        let names: Vec<String> = slots.iter().map(ToString::to_string).collect();
        self.append(Self::draft(None).to_recipients(names.iter().map(|name| &**name)));
    }

    fn read(&mut self) -> Room {
        let Self { log, reader, subscriptions, dispatch, scratch, .. } = self;
        let mut encoder =
            Encoder { deflate: None, queue_bytes_max: 1 << 20, slots: SLOTS, scratch };
        dispatch.read(log, reader, subscriptions, &mut encoder).expect("nothing is gone")
    }

    /// Visits the next client, which is subscribed to `topics`; returns it and what it is sent.
    fn visit(&mut self, topics: &[&str]) -> Option<(u32, Vec<Sequence>)> {
        let slot = self.dispatch.advance()?;
        let topics: Vec<TopicId> =
            topics.iter().filter_map(|topic| self.subscriptions.find(topic)).collect();
        let cursor = &mut self.cursors[slot as usize];
        let after = self.dispatch.settled(self.reader.position()).max(*cursor);
        *cursor = self.reader.position();
        let due = self.dispatch.find(&topics, after);
        let found: Vec<&Event> = self.dispatch.found().collect();
        if let Due::Events { count, bytes, before } = due {
            assert_eq!((count, before), (found.len(), found[0].sequence() - 1));
            assert_eq!(bytes, found.iter().map(|event| frame_bytes(event)).sum::<usize>());
            assert_eq!(bytes, self.dispatch.found_bytes());
        }
        Some((slot, found.iter().map(|event| event.sequence()).collect()))
    }

    /// Visits all clients that are still to be visited.
    fn finish(&mut self, topics: &[&str]) -> Vec<(u32, Vec<Sequence>)> {
        let visits = std::iter::from_fn(|| self.visit(topics)).collect();
        assert!(self.dispatch.is_empty() && self.dispatch.bytes() == 0);
        visits
    }
}

#[test]
fn events_are_sent_from_the_log_and_copied_only_for_a_later_turn() {
    let mut core = Core::new();
    (0..2).for_each(|_| core.publish("t"));
    core.read();
    let bytes = core.dispatch.bytes();
    assert_eq!(core.visit(&["t"]), Some((0, vec![1, 2])));
    assert!(!core.dispatch.window.pins.is_empty());
    core.dispatch.end_turn();
    assert!(core.dispatch.window.pins.is_empty(), "nothing of the log is kept alive");
    (0..100).for_each(|_| core.publish("nobody's"));
    assert!(core.log.first() > 2, "the events have left the log");
    assert_eq!(core.visit(&["t"]), Some((1, vec![1, 2])));
    core.dispatch.end_turn();
    assert_eq!(core.dispatch.bytes(), bytes);
    assert_eq!(core.finish(&["t"]), [(2, vec![1, 2])]);
}

#[test]
fn what_was_sent_to_everybody_is_not_copied() {
    let mut core = Core::new();
    (0..2).for_each(|_| core.publish("t"));
    core.read();
    (0..SLOTS).for_each(|_| assert!(core.visit(&["t"]).is_some()));
    core.dispatch.end_turn();
    assert!(core.dispatch.is_empty() && core.dispatch.window.pins.is_empty());
    assert_eq!(core.dispatch.bytes(), 0);
}

/// Three publishers, each in a turn of its own: nobody is visited for each of them.
#[test]
fn an_event_joins_the_pass_that_it_meets() {
    let mut core = Core::new();
    let mut visits = Vec::new();
    for turn in 0..3 {
        core.publish("t");
        core.read();
        visits.extend(core.visit(&["t"]));
        assert_eq!(core.dispatch.settled(core.reader.position()), 0, "turn {turn}");
        core.dispatch.end_turn();
    }
    assert_eq!(visits, [(0, vec![1]), (1, vec![1, 2]), (2, vec![1, 2, 3])]);
    assert_eq!(core.dispatch.place(), Place { pass: 0, slot: 3 });
    assert_eq!(core.visit(&["t"]), Some((0, vec![2, 3])));
    assert_eq!(core.dispatch.settled(core.reader.position()), 1, "everybody has the first");
    assert_eq!(core.finish(&["t"]), [(1, vec![3])]);
}

#[test]
fn events_by_topic_and_by_recipient_come_in_the_order_of_the_log() {
    let mut core = Core::new();
    core.arrive(1, "u");
    for _ in 0..2 {
        core.publish("t");
        core.notify(&[1, 2]);
        core.publish("u");
        core.notify(&[0]);
    }
    core.read();
    assert_eq!(core.visit(&["t"]), Some((0, vec![1, 4, 5, 8])));
    core.publish("t");
    core.notify(&[0]);
    core.read();
    assert_eq!(core.visit(&["t", "u"]), Some((1, vec![1, 2, 3, 5, 6, 7, 9])));
    assert_eq!(core.finish(&["t"]), [(2, vec![1, 2, 5, 6, 9]), (0, vec![9, 10])]);
}

#[test]
fn the_sender_gets_what_lies_around_its_own_events() {
    let mut core = Core::new();
    core.publish("t");
    (0..2).for_each(|_| core.publish_from(1));
    core.publish("t");
    core.publish_from(0);
    core.notify(&[1]);
    core.read();
    assert_eq!(core.visit(&["t"]), Some((0, vec![1, 2, 3, 4])));
    assert_eq!(core.visit(&["t"]), Some((1, vec![1, 4, 5, 6])));
    assert_eq!(core.dispatch.parts().iter().map(|part| part.count).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(core.finish(&["t"]), [(2, vec![1, 2, 3, 4, 5])]);
    // Alone, its own event is nothing.
    core.publish_from(2);
    core.read();
    assert_eq!(core.finish(&["t"]), [(0, vec![7]), (1, vec![7]), (2, vec![])]);
}

/// The others are marked for the topic already, and are not marked again for its next event.
#[test]
fn who_subscribes_in_the_middle_of_a_pass_gets_the_next_event() {
    let mut core = Core::new();
    core.publish("t");
    core.read();
    assert_eq!(core.visit(&["t"]), Some((0, vec![1])));
    core.dispatch.end_turn();
    core.arrive(5, "t");
    core.publish("t");
    core.read();
    let rest = [(1, vec![1, 2]), (2, vec![1, 2]), (5, vec![2]), (0, vec![2])];
    assert_eq!(core.finish(&["t"]), rest);
}

/// The numbers of topics and slots are used again.
#[test]
fn a_topic_and_a_slot_get_nothing_of_those_that_had_their_numbers() {
    let mut core = Core::new();
    core.publish("t");
    core.notify(&[2]);
    core.read();
    assert_eq!(core.visit(&["t"]), Some((0, vec![1])));
    let topic = core.subscriptions.find("t").expect("it has subscribers");
    for slot in 0..SLOTS {
        core.subscriptions.unsubscribe(topic, slot);
    }
    core.subscriptions.leave("2", 2);
    core.arrive(2, "u");
    assert_eq!(core.subscriptions.find("u"), Some(topic));
    core.publish("u");
    core.read();
    assert_eq!(core.finish(&["u"]), [(1, vec![1, 3]), (2, vec![3])]);
}

#[test]
fn a_core_reads_no_further_than_it_may_keep() {
    let mut core = Core::new();
    let long = "x".repeat(TOPIC_PENDING_BYTES_MAX / 2);
    for _ in 0..3 {
        let data = format!("\"{long}\"");
        let parts = EventParts { from: None, topic: Some("t"), name: None, data: &data };
        core.append(event(parts, 0).expect("memory"));
    }
    for read in 1..=2 {
        assert_eq!((core.read(), core.reader.position()), (Room::Full, 1), "read {read}");
    }
    assert_eq!(core.visit(&["t"]), Some((0, vec![1])));
    assert_eq!((core.read(), core.reader.position()), (Room::Full, 1));
    assert_eq!(core.finish(&["t"]), [(1, vec![1]), (2, vec![1])]);
    assert_eq!((core.read(), core.reader.position()), (Room::Full, 2));
}
