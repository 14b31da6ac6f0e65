//! Each core visits every event that concerns it, whatever other cores do meanwhile; and few others.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::address::Address;
use crate::reader::Reader;
use crate::subscriptions::Subscriptions;

const NAMES: [&str; 6] = ["a", "b", "news", "räume", "sport", "z"];

/// The first and the last share a bit.
const CORES: [usize; 3] = [0, 1, 63];

/// With few buckets, names and cores share bits.
fn log_of_buckets(buckets: usize) -> Log {
    Log { interest: Arc::new(InterestTable::new(buckets)), ..log(1 << 20) }
}

fn empty() -> Draft {
    Draft::new("0".repeat(Cursor::TEXT_BYTES), 0)
}

/// One step of a core.
#[derive(Debug, Clone)]
enum Step {
    Subscribe(usize, u32),
    Unsubscribe(usize, u32),
    Arrive(usize, u32),
    Leave(usize, u32),
    Publish(usize),
    Notify(BTreeSet<usize>),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (name, slot) = (|| 0..NAMES.len(), || 0..3_u32);
    prop_oneof![
        (name(), slot()).prop_map(|(name, slot)| Step::Subscribe(name, slot)),
        (name(), slot()).prop_map(|(name, slot)| Step::Unsubscribe(name, slot)),
        (name(), slot()).prop_map(|(name, slot)| Step::Arrive(name, slot)),
        (name(), slot()).prop_map(|(name, slot)| Step::Leave(name, slot)),
        name().prop_map(Step::Publish),
        name().prop_map(Step::Publish),
        prop::collection::btree_set(name(), 0..4).prop_map(Step::Notify),
        (1..20_usize).prop_map(Step::Read),
    ]
}

/// A core, and its twin, which reads every event and looks up each name.
struct Core {
    subscriptions: Subscriptions,
    reader: Reader,
    twin: Reader,
    topics: BTreeMap<&'static str, BTreeSet<u32>>,
    clients: BTreeMap<&'static str, BTreeSet<u32>>,
}

impl Core {
    fn new(log: &Log, number: usize) -> Self {
        let subscriptions = Subscriptions::new(log, number);
        let (reader, twin) = (log.reader(), log.reader());
        Self { subscriptions, reader, twin, topics: BTreeMap::new(), clients: BTreeMap::new() }
    }

    fn perform(&mut self, step: &Step, log: &Log) {
        match *step {
            Step::Subscribe(name, slot) => {
                self.subscriptions.subscribe(NAMES[name], slot);
                self.topics.entry(NAMES[name]).or_default().insert(slot);
            }
            Step::Unsubscribe(name, slot) => {
                if let Some(topic) = self.subscriptions.find(NAMES[name]) {
                    self.subscriptions.unsubscribe(topic, slot);
                }
                self.topics.entry(NAMES[name]).or_default().remove(&slot);
            }
            Step::Arrive(name, slot) => {
                self.subscriptions.arrive(NAMES[name].into(), slot);
                self.clients.entry(NAMES[name]).or_default().insert(slot);
            }
            Step::Leave(name, slot) => {
                self.subscriptions.leave(NAMES[name], slot);
                self.clients.entry(NAMES[name]).or_default().remove(&slot);
            }
            Step::Publish(name) => {
                let draft = empty().to_topic(NAMES[name]);
                log.append(&mut Appender::default(), draft, Duration::ZERO);
            }
            Step::Notify(ref names) => {
                let draft = empty().to_recipients(names.iter().map(|name| NAMES[*name]));
                log.append(&mut Appender::default(), draft, Duration::ZERO);
            }
            Step::Read(count_max) => self.read(log, count_max),
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        let has = |map: &BTreeMap<&str, BTreeSet<u32>>, name| {
            map.get(name).is_some_and(|slots| !slots.is_empty())
        };
        match event.address() {
            Address::Topic(topic) => has(&self.topics, topic),
            Address::Recipients(names) => names.iter().any(|name| has(&self.clients, name)),
        }
    }

    /// Visits at most `count_max` events.
    fn read(&mut self, log: &Log, count_max: usize) {
        let (mut visited, mut pins) = (BTreeSet::new(), Pins::default());
        let filter = self.subscriptions.filter();
        let visit = |event: &Event, _| {
            visited.insert(event.sequence());
            if visited.len() < count_max {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        self.reader.follow_pinning(log, filter, &mut pins, visit).expect("nothing has left");
        let through = self.reader.position();
        assert!(through == log.head() || visited.len() == count_max);
        let mut twin = std::mem::replace(&mut self.twin, log.reader());
        while twin.position() < through {
            let visit = |event: &Event| {
                let is_visited = visited.contains(&event.sequence());
                assert!(is_visited || !self.concerns(event), "{event:?} was passed");
                ControlFlow::Break(())
            };
            twin.follow(log, visit).expect("nothing has left");
        }
        self.twin = twin;
    }
}

proptest! {
    #[test]
    fn a_core_visits_each_event_that_concerns_it(
        buckets in prop_oneof![Just(1), Just(4), Just(BUCKETS)],
        steps in prop::collection::vec((0..CORES.len(), step()), 0..400),
    ) {
        let log = log_of_buckets(buckets);
        let mut cores = CORES.map(|number| Core::new(&log, number));
        for (core, step) in &steps {
            cores[*core].perform(step, &log);
        }
        for core in &mut cores {
            core.read(&log, usize::MAX);
        }
    }
}

/// A core as a thread: every name that it had, with the positions at which it got and lost it, and
/// the events that it visited.
struct Story {
    intervals: Vec<(&'static str, Sequence, Sequence)>,
    visited: BTreeSet<Sequence>,
}

fn live(log: &Log, number: usize, steps: usize) -> Story {
    let (mut subscriptions, mut reader) = (Subscriptions::new(log, number), log.reader());
    let (mut appender, mut pins) = (Appender::default(), Pins::default());
    let mut story = Story { intervals: Vec::new(), visited: BTreeSet::new() };
    let mut since: [Option<Sequence>; NAMES.len()] = [None; NAMES.len()];
    let mut random = number as u64 + 1;
    for _ in 0..steps {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (action, name) = ((random >> 40) % 8, (random >> 50) as usize % NAMES.len());
        match (action, since[name]) {
            (0, None) => {
                subscriptions.subscribe(NAMES[name], 0);
                since[name] = Some(reader.position());
            }
            (0, Some(from)) => {
                let topic = subscriptions.find(NAMES[name]).expect("it is subscribed to");
                subscriptions.unsubscribe(topic, 0);
                story.intervals.push((NAMES[name], from, reader.position()));
                since[name] = None;
            }
            (1..4, _) => {
                let draft = empty().to_topic(NAMES[name]);
                log.append(&mut appender, draft, Duration::ZERO);
            }
            _ => {
                let visit = |event: &Event, _| {
                    story.visited.insert(event.sequence());
                    if action == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                let filter = subscriptions.filter();
                reader.follow_pinning(log, filter, &mut pins, visit).expect("nothing has left");
                pins.clear();
            }
        }
    }
    story
}

#[test]
fn cores_that_come_and_go_at_once_lose_nothing() {
    for buckets in [1, 2, BUCKETS] {
        let log = log_of_buckets(buckets);
        let mut all = log.reader();
        let stories: Vec<Story> = thread::scope(|scope| {
            let cores = CORES.map(|number| {
                let log = &log;
                scope.spawn(move || live(log, number, 20_000))
            });
            cores.map(|core| core.join().expect("a core")).into()
        });
        let mut topics = BTreeMap::from(NAMES.map(|name| (name, Vec::new())));
        all.follow(&log, |event| {
            let Address::Topic(topic) = event.address() else { unreachable!("only topics") };
            topics.get_mut(topic).expect("a topic").push(event.sequence());
            ControlFlow::Continue(())
        })
        .expect("nothing has left");
        for Story { intervals, visited } in &stories {
            assert!(intervals.len() > 500);
            for &(name, from, through) in intervals {
                let events =
                    topics[name].iter().filter(|event| (from + 1..=through).contains(event));
                for event in events {
                    assert!(visited.contains(event), "{event} of {name} in {from}..{through}");
                }
            }
        }
    }
}

#[test]
fn a_core_visits_few_events_that_do_not_concern_it() {
    let log = log_of_buckets(BUCKETS);
    let (mut reader, mut subscriptions) = (log.reader(), Subscriptions::new(&log, 0));
    let mut pins = Pins::default();
    let mut appender = Appender::default();
    let mut round = |subscriptions: &Subscriptions| {
        for number in 0..1_000 {
            let draft = match number % 2 {
                0 => empty().to_topic(&number.to_string()),
                _ => empty().to_recipients([number.to_string().as_str(), "nobody"]),
            };
            log.append(&mut appender, draft, Duration::ZERO);
        }
        let mut visited = Vec::new();
        let visit = |event: &Event, _| {
            visited.push((event.sequence() - 1) % 1_000);
            ControlFlow::Continue(())
        };
        reader.follow_pinning(&log, subscriptions.filter(), &mut pins, visit).expect("no gap");
        pins.clear();
        assert_eq!(reader.position(), log.head(), "it does not wait for what it passes");
        visited
    };
    assert_eq!(round(&subscriptions), []);
    subscriptions.subscribe("500", 0);
    subscriptions.arrive("501".into(), 0);
    let visited = round(&subscriptions);
    // Two of 65,536 buckets: even one more event is a rare coincidence.
    assert!(visited.contains(&500) && visited.contains(&501) && visited.len() < 6, "{visited:?}");
    subscriptions.leave("501", 0);
    let topic = subscriptions.find("500").expect("subscribed");
    subscriptions.unsubscribe(topic, 0);
    assert_eq!(round(&subscriptions), []);
}
