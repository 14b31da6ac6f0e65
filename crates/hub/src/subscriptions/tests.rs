//! Subscriptions against a naive twin, and their memory.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::cursor::Epoch;
use crate::retention::Retention;

fn subscriptions() -> Subscriptions {
    Subscriptions::new(&Log::new(Epoch::new(1), Retention::default()), 0)
}

#[test]
fn a_topic_without_subscribers_is_forgotten_and_its_slot_is_reused() {
    let mut subscriptions = subscriptions();
    let news = subscriptions.subscribe("news", 1);
    assert_eq!(subscriptions.subscribe("news", 2), news);
    assert_eq!(subscriptions.topic_name(news), "news");
    subscriptions.unsubscribe(news, 1);
    subscriptions.unsubscribe(news, 1);
    assert_eq!(subscriptions.find("news"), Some(news));
    subscriptions.unsubscribe(news, 2);
    assert_eq!(subscriptions.find("news"), None);
    assert_eq!(subscriptions.topic_name(news), "");
    assert_eq!(subscriptions.subscribers(news, 0).count(), 0);
    subscriptions.unsubscribe(news, 2);
    let sport = subscriptions.subscribe("sport", 2);
    assert_eq!(sport, news, "the only place");
    assert_eq!(subscriptions.find("sport"), Some(sport));
    assert_eq!(subscriptions.subscribe("news", 2), TopicId(1));
}

#[test]
fn a_fan_out_continues_where_it_stopped() {
    let mut subscriptions = subscriptions();
    let slots = [u32::MAX, 0, 7, 500];
    let topic = slots.map(|slot| subscriptions.subscribe("", slot))[0];
    let from = |slot| subscriptions.subscribers(topic, slot).collect::<Vec<_>>();
    assert_eq!(from(0), [0, 7, 500, u32::MAX]);
    assert_eq!(from(1), [7, 500, u32::MAX]);
    assert_eq!(from(500), [500, u32::MAX]);
    assert_eq!(from(u32::MAX), [u32::MAX]);
}

#[test]
fn a_client_has_the_connections_that_joined_and_did_not_leave() {
    let mut subscriptions = subscriptions();
    assert_eq!(subscriptions.connections("ann").count(), 0);
    subscriptions.leave("ann", 1);
    for slot in [9, 3, 3] {
        subscriptions.arrive("ann".into(), slot);
    }
    assert_eq!(subscriptions.connections("ann").collect::<Vec<_>>(), [3, 9]);
    subscriptions.leave("ann", 3);
    subscriptions.leave("ann", 4);
    assert_eq!(subscriptions.connections("ann").collect::<Vec<_>>(), [9]);
    subscriptions.leave("ann", 9);
    assert_eq!(subscriptions.clients.len(), 0);
}

/// The memory budget of an idle connection with a client and a topic of its own.
#[test]
fn a_connection_with_its_own_topic_uses_little_memory() {
    let bytes = |connections: u32| {
        let mut subscriptions = subscriptions();
        for slot in 0..connections {
            subscriptions.arrive(Name::from(""), slot);
            subscriptions.arrive(Name::from(slot.to_string()), slot);
            subscriptions.subscribe(&format!("topic-{slot:04}"), slot);
        }
        let clients = subscriptions.clients.allocation_size();
        let topics = subscriptions.topics.capacity() * size_of::<Topic>();
        (clients, topics + subscriptions.by_name.allocation_size() + connections as usize * 16)
    };
    // The worst and the best moment of a table that grows by doubling.
    for (connections, clients_max, topics_max) in [(58_000, 76, 64 + 32), (114_000, 40, 64)] {
        let (clients, topics) = bytes(connections);
        let each = |bytes: usize| bytes / connections as usize;
        assert!(each(clients) <= clients_max, "{}", each(clients));
        assert!(each(topics) <= topics_max, "{}", each(topics));
    }
}

#[test]
fn connections_that_left_release_their_memory() {
    let mut subscriptions = subscriptions();
    for slot in 0..100_000 {
        subscriptions.arrive(Name::from(slot.to_string()), slot);
        subscriptions.subscribe(&slot.to_string(), slot);
    }
    let (clients, topics) =
        (subscriptions.clients.allocation_size(), subscriptions.by_name.allocation_size());
    for slot in 0..100_000 {
        subscriptions.leave(&slot.to_string(), slot);
        let topic = subscriptions.find(&slot.to_string()).expect("subscribed");
        subscriptions.unsubscribe(topic, slot);
    }
    assert!(subscriptions.clients.allocation_size() * 100 < clients);
    assert!(subscriptions.by_name.allocation_size() * 100 < topics);
}

proptest! {
    #[test]
    fn subscriptions_equal_a_naive_map(
        steps in prop::collection::vec((0..4, 0..5_usize, 0..6_u32), 0..300),
    ) {
        const NAMES: [&str; 5] = ["a", "b", "news", "räume", ""];
        let mut subscriptions = subscriptions();
        let mut topics: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        let mut clients = topics.clone();
        for (step, name, slot) in steps {
            let name = NAMES[name];
            match step {
                0 => {
                    subscriptions.subscribe(name, slot);
                    topics.entry(name).or_default().insert(slot);
                }
                1 => {
                    if let Some(topic) = subscriptions.find(name) {
                        subscriptions.unsubscribe(topic, slot);
                    }
                    topics.entry(name).or_default().remove(&slot);
                }
                2 => {
                    subscriptions.arrive(name.into(), slot);
                    clients.entry(name).or_default().insert(slot);
                }
                _ => {
                    subscriptions.leave(name, slot);
                    clients.entry(name).or_default().remove(&slot);
                }
            }
            for name in NAMES {
                let naive = |map: &BTreeMap<&str, BTreeSet<u32>>| {
                    map.get(name).into_iter().flatten().copied().collect::<Vec<_>>()
                };
                let topic = subscriptions.find(name);
                prop_assert_eq!(topic.is_some(), !naive(&topics).is_empty());
                if let Some(topic) = topic {
                    prop_assert_eq!(subscriptions.topic_name(topic), name);
                    for from in 0..7 {
                        let mut slots = naive(&topics);
                        slots.retain(|slot| *slot >= from);
                        prop_assert_eq!(subscriptions.subscribers(topic, from).collect::<Vec<_>>(), slots);
                    }
                }
                prop_assert_eq!(subscriptions.connections(name).collect::<Vec<_>>(), naive(&clients));
            }
        }
    }
}
