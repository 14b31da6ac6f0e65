//! What the broker appends to the log, and how much it remembers of clients.

use super::*;
use crate::config::Config;

/// The wall-clock time of an event that is appended at `now`.
fn time_ms(broker: &Broker, now: Duration) -> u64 {
    let (mut reader, mut time_ms) = (broker.log.reader(), 0);
    let notice = Notice { from: None, event: None, data: "1", ttl: None };
    broker.publish(&mut Submitter::default(), notice, "t", Echo::Yes, now).unwrap();
    let read = reader.follow(&broker.log, |event| {
        assert_eq!(event.at(), now, "retention goes by the other clock");
        time_ms = event.time_ms();
        ControlFlow::Continue(())
    });
    read.map(|()| time_ms).unwrap()
}

#[test]
fn an_event_has_the_time_of_the_wall_clock() {
    let history = History { events_max: 100, ..Config::default().history };
    let broker = Broker::new(Epoch::new(1), &history, &[]);
    let seconds = Duration::from_secs;
    broker.set_clock(SystemTime::UNIX_EPOCH + seconds(1_000), seconds(10));
    assert_eq!(time_ms(&broker, seconds(12)), 1_002_000);
    // The wall clock is set back.
    broker.set_clock(SystemTime::UNIX_EPOCH + seconds(500), seconds(20));
    assert_eq!(time_ms(&broker, seconds(21)), 501_000);
}

#[test]
fn clients_that_left_with_nothing_kept_for_them_are_bounded() {
    let history = Config::default().history;
    let (broker, mut submitter) = (Broker::new(Epoch::new(1), &history, &[]), Submitter::default());
    let notice = Notice { from: None, event: None, data: "1", ttl: None };
    let everybody = Patterns::new(["*"]);
    broker.notify(&mut submitter, notice, &["awaited"], &everybody, Duration::ZERO).unwrap();
    let visit = |name: &str| {
        broker.directory.arrive(name);
        broker.directory.leave(name, 1);
    };
    visit("awaited");
    broker.directory.arrive("here");
    (0..AWAY_MAX - 1).for_each(|number| visit(&number.to_string()));
    broker.expire(Duration::ZERO);
    assert_eq!(broker.directory.clients(), AWAY_MAX + 1, "there is room for so many");
    visit("one more");
    broker.expire(Duration::ZERO);
    assert_eq!(broker.directory.clients(), 2);
    assert_eq!(broker.directory.liveness("awaited"), Liveness::Away);
}

/// Each of a million clients connects, gets an event, publishes one, and leaves.
#[test]
fn a_million_client_ids_take_bounded_memory() {
    let history = Config::default().history;
    let broker = Broker::new(Epoch::new(1), &history, &[]);
    let mut submitter = Submitter::new(source::SubmitterId::Core(0));
    let mut most = 0;
    for number in 0..1_000_000_u32 {
        let now = Duration::from_micros(20 * u64::from(number));
        let client = format!("client-{number}");
        broker.directory.arrive(&client);
        let notice = Notice { from: Some(&client), event: None, data: "1", ttl: None };
        if number % 100 == 0 {
            broker
                .notify(&mut submitter, notice, &[&client], &Patterns::new(["*"]), now)
                .expect("memory");
        }
        let receipt = || {
            Ok::<_, OutOfMemory>(Answer::Given(Arc::new(Receipt::published(Place::At(
                broker.cursor(0),
            )))))
        };
        broker.receipts.try_once(7, &client, "1", now, receipt).expect("memory");
        assert_eq!(broker.rates.take(&client, 10, Duration::from_secs(1), now), Ok(()));
        broker.directory.leave(&client, broker.log.head());
        // The control thread does this each second.
        if number % 50_000 == 0 {
            broker.expire(now);
            let receipts = broker.receipts.bytes(|answer| answer.bytes());
            most = most.max(broker.directory.bytes() + receipts);
        }
    }
    assert!(most < 100 << 20, "{} MiB", most >> 20);
    assert!(broker.directory.clients() <= AWAY_MAX + 50_000);
}
