//! Events that a core still has to send when its turn ends.

use std::time::Duration;

use ringway_hub::{Appender, Draft, Epoch, Retention};

use super::*;
use crate::encoding::native::{EventParts, event};

const SLOTS: u32 = 3;

/// A log that keeps few events, and a core with three subscribers.
struct Core {
    log: Log,
    reader: Reader,
    subscriptions: Subscriptions,
    dispatch: Dispatch,
    scratch: Scratch,
}

impl Core {
    fn new() -> Self {
        let log = Log::new(Epoch::new(1), Retention { events_max: 16, ..Retention::default() });
        let mut subscriptions = Subscriptions::new(&log, 0);
        (0..SLOTS).for_each(|slot| {
            subscriptions.subscribe("t", slot);
        });
        let (reader, dispatch, scratch) = (log.reader(), Dispatch::default(), Scratch::default());
        Self { log, reader, subscriptions, dispatch, scratch }
    }

    fn publish(&self, count: usize) {
        let parts = EventParts { from: None, topic: Some("t"), name: None, data: "[1]" };
        for _ in 0..count {
            let draft: Draft = event(parts, 0).expect("memory");
            self.log.append(&mut Appender::default(), draft, Duration::ZERO);
        }
    }

    fn read(&mut self) {
        let Self { log, reader, subscriptions, dispatch, scratch } = self;
        let mut encoder =
            Encoder { deflate: None, queue_bytes_max: 1 << 20, slots: SLOTS, scratch };
        dispatch.read(log, reader, subscriptions, &mut encoder).expect("nothing is gone");
    }

    /// Serves one client; returns what it is sent.
    fn serve_one(&mut self) -> Vec<String> {
        let mut batch = self.dispatch.take_front().expect("a batch");
        batch.next(&self.subscriptions, 1, &mut Vec::new());
        let events = batch.events(self.dispatch.pins());
        let texts = events.map(|event| event.text().to_owned()).collect();
        self.dispatch.put_front(batch);
        texts
    }
}

#[test]
fn events_are_sent_from_the_log_and_copied_only_for_a_later_turn() {
    let mut core = Core::new();
    core.publish(2);
    core.read();
    let (bytes, first) = (core.dispatch.bytes(), core.serve_one());
    assert_eq!(first.len(), 2);
    assert!(!core.dispatch.pins().is_empty());
    core.dispatch.end_turn();
    assert!(core.dispatch.pins().is_empty(), "nothing of the log is kept alive");
    core.publish(100);
    assert!(core.log.first() > 2, "the events have left the log");
    assert_eq!(core.serve_one(), first);
    core.dispatch.end_turn();
    assert_eq!((core.serve_one(), core.dispatch.bytes()), (first, bytes));
}

#[test]
fn what_was_sent_to_everybody_is_not_copied() {
    let mut core = Core::new();
    core.publish(2);
    core.read();
    drop(core.dispatch.take_front());
    core.dispatch.end_turn();
    assert!(core.dispatch.is_empty() && core.dispatch.pins().is_empty());
    assert_eq!(core.dispatch.bytes(), 0);
}
