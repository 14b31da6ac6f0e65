//! A publisher that has more than its share of the window displaces its own events and not those of
//! others, and is refused where it would.

mod vocabulary;

use std::time::Duration;

use proptest::prelude::*;
use ringway_hub::{Appender, Crowded, Draft, Epoch, Log, Publisher, Retention, Share, ShareLimits};
use vocabulary::*;

const SECOND: Duration = Duration::from_secs(1);

const LIMITS: ShareLimits = ShareLimits { client: 12, application: 100, topic: 40, recipient: 30 };

const WINDOW: Retention =
    Retention { events_max: 1_000, bytes_max: 1 << 20, age_max: Duration::from_secs(100) };

/// A log with its clock.
struct World {
    log: Log,
    appender: Appender,
    now: Duration,
}

impl World {
    fn new(limits: ShareLimits) -> Self {
        let log = Log::new(Epoch::new(1), WINDOW).sharing(limits);
        Self { log, appender: Appender::default(), now: Duration::ZERO }
    }

    fn publisher(&self, name: &str) -> Publisher {
        self.log.publisher(name)
    }

    fn publish(&mut self, publisher: Publisher, topic: &str, bytes: usize) -> Result<u64, Crowded> {
        self.log.admit(publisher, Some(topic), [], self.now)?;
        let draft = Draft { publisher, ..draft(topic, &"x".repeat(bytes)) };
        Ok(self.log.append(&mut self.appender, draft, self.now))
    }

    fn notify(&mut self, publisher: Publisher, to: &[&str]) -> Result<u64, Crowded> {
        self.log.admit(publisher, None, to.iter().copied(), self.now)?;
        let draft = Draft { publisher, ..to_recipients(to) };
        Ok(self.log.append(&mut self.appender, draft, self.now))
    }

    /// Publishes until refused, at most `most` times; how often it was accepted.
    fn flood(&mut self, publisher: Publisher, topic: &str, bytes: usize, most: usize) -> usize {
        (0..most).find(|_| self.publish(publisher, topic, bytes).is_err()).unwrap_or(most)
    }
}

#[test]
fn a_flood_displaces_no_event_of_others() {
    for bytes in [10, 4_000] {
        let mut world = World::new(LIMITS);
        let (ann, flooder) = (world.publisher("ann"), world.publisher("flooder"));
        let first = world.publish(ann, "news", 10).unwrap();
        let accepted = world.flood(flooder, "noise", bytes, 10_000);
        assert!((100..1_000).contains(&accepted), "{accepted} of {bytes} bytes");
        assert_eq!(world.log.first(), first);
        let crowded = world.publish(flooder, "noise", bytes).unwrap_err();
        assert_eq!(crowded, Crowded { share: Share::Client, retry_after: 100 * SECOND });
        // Others still have room, and nobody has to wait for more than the age of the window.
        for _ in 0..20 {
            world.publish(ann, "news", 10).unwrap();
        }
        assert_eq!(world.log.first(), first);
        world.now = 101 * SECOND;
        world.log.expire(world.now);
        assert!(world.publish(flooder, "noise", bytes).is_ok());
    }
}

#[test]
fn alone_it_may_use_the_whole_window() {
    let mut world = World::new(LIMITS);
    let flooder = world.publisher("flooder");
    assert_eq!(world.flood(flooder, "noise", 10, 10_000), 10_000);
    // One event of somebody else is enough, once it is about to leave.
    let ann = world.publisher("ann");
    let kept = world.publish(ann, "news", 10).unwrap();
    let accepted = world.flood(flooder, "noise", 10, 10_000);
    assert!((400..1_000).contains(&accepted), "{accepted}");
    assert!(world.log.first() <= kept);
}

#[test]
fn two_that_have_too_much_displace_each_other() {
    let mut world = World::new(LIMITS);
    let [one, other] = ["one", "other"].map(|name| world.publisher(name));
    for _ in 0..5_000 {
        world.publish(one, "a", 10).unwrap();
        world.publish(other, "a", 10).unwrap();
    }
}

#[test]
fn many_publishers_of_one_topic_leave_room_for_others() {
    let mut world = World::new(LIMITS);
    let ann = world.publisher("ann");
    let first = world.publish(ann, "news", 10).unwrap();
    let crowd: Vec<Publisher> = (0..100).map(|one| world.publisher(&format!("{one}"))).collect();
    let refused = (0..2_000).find_map(|turn| {
        world.publish(crowd[turn % 100], "hot", 10).err().map(|crowded| crowded.share)
    });
    assert_eq!(refused, Some(Share::Topic));
    assert_eq!(world.log.first(), first);
    assert!(world.publish(crowd[0], "cold", 10).is_ok());
}

#[test]
fn many_publishers_to_one_recipient_leave_room_for_others() {
    let mut world = World::new(LIMITS);
    let ann = world.publisher("ann");
    let first = world.publish(ann, "news", 10).unwrap();
    let crowd: Vec<Publisher> = (0..100).map(|one| world.publisher(&format!("{one}"))).collect();
    let refused = (0..2_000)
        .find_map(|turn| world.notify(crowd[turn % 100], &["x", "victim"]).err())
        .map(|crowded| crowded.share);
    assert_eq!(refused, Some(Share::Recipient));
    assert_eq!(world.log.first(), first);
    assert!(world.notify(crowd[0], &["bob"]).is_ok());
}

#[test]
fn the_application_has_a_share_of_its_own() {
    let limits = ShareLimits { application: 50, ..LIMITS };
    for (limits, expected) in [(LIMITS, None), (limits, Some(Share::Application))] {
        let mut world = World::new(limits);
        let ann = world.publisher("ann");
        world.publish(ann, "news", 10).unwrap();
        let refused =
            (0..3_000).find_map(|_| world.publish(Publisher::APPLICATION, "hot", 10).err());
        assert_eq!(refused.map(|crowded| crowded.share), expected);
    }
}

#[test]
fn a_part_of_the_application_takes_nothing_from_another() {
    let mut world = World::new(ShareLimits { application: 50, ..LIMITS });
    let [shop, metrics, mail] = [1, 2, 255].map(Publisher::of_application);
    let ann = world.publisher("ann");
    let first = world.publish(ann, "news", 10).unwrap();
    // One part may use the whole share.
    let flooded = world.flood(metrics, "hot", 10, 10_000);
    assert!((490..=510).contains(&flooded), "{flooded}");
    // Another one has its equal part nevertheless, and then no more.
    let accepted = world.flood(shop, "orders", 10, 10_000);
    assert!((240..=260).contains(&accepted), "{accepted}");
    let refused = world.publish(shop, "orders", 10).unwrap_err();
    assert_eq!(refused.share, Share::Application);
    assert_eq!(world.publish(metrics, "hot", 10).unwrap_err().share, Share::Application);
    assert!(world.publish(mail, "mail", 10).is_ok());
    assert_eq!(world.log.first(), first, "and no client loses anything");
    // With the age of its events, a part has its share again.
    world.now = 101 * SECOND;
    world.log.expire(world.now);
    assert!(world.publish(metrics, "hot", 10).is_ok());
}

/// Names without number: each is counted, and all of them are given back.
#[test]
fn nothing_stays_counted() {
    let mut world = World::new(LIMITS);
    for number in 0..20_000 {
        let (publisher, name) = (world.publisher(&format!("p{number}")), format!("t{number}"));
        match number % 2 {
            0 => drop(world.publish(publisher, &name, number % 300)),
            _ => drop(world.notify(publisher, &[&name, "b"])),
        }
    }
    for _ in 0..2 {
        world.now += 200 * SECOND;
        world.log.expire(world.now);
    }
    assert_eq!(world.log.size().events, 0);
    let ann = world.publisher("ann");
    let flooder = world.publisher("p0");
    world.publish(ann, "news", 10).unwrap();
    let accepted = world.flood(flooder, "t0", 10, 10_000);
    assert!((450..550).contains(&accepted), "as in an empty log: {accepted}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// As long as good publishers need less than a quarter of the window, each of their events stays
    /// for its time (to within an eighth), and none of them is refused, whatever others do.
    #[test]
    fn events_of_good_publishers_stay_for_their_time(
        head_start in 0..3_000_usize,
        steps in prop::collection::vec((0..6_usize, 0..40_usize, 0..3_000_usize, 0..3_u64), 200..500),
    ) {
        let mut world = World::new(LIMITS);
        let flooders = [0, 1].map(|one| world.publisher(&format!("flooder {one}")));
        let good = [0, 1, 2, 3].map(|one| world.publisher(&format!("good {one}")));
        world.flood(flooders[0], "noise", 40, head_start);
        let mut kept: Vec<(u64, Duration)> = Vec::new();
        for (who, count, bytes, seconds) in steps {
            world.now += Duration::from_millis(500 * seconds);
            match flooders.get(who) {
                Some(flooder) => {
                    world.flood(*flooder, &format!("noise {who}"), bytes, count);
                }
                // 250 in 100 seconds.
                None if kept.iter().filter(|one| one.1 + 100 * SECOND > world.now).count() < 240 => {
                    let sequence = world.publish(good[who - 2], &format!("good {who}"), 10);
                    prop_assert!(sequence.is_ok(), "{:?}", sequence);
                    kept.push((sequence.unwrap_or_default(), world.now));
                }
                None => {}
            }
            kept.retain(|(_, at)| *at + 85 * SECOND > world.now);
            let first = world.log.first();
            prop_assert!(kept.iter().all(|(sequence, _)| *sequence >= first), "{first}: {kept:?}");
        }
    }
}
