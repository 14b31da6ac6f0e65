//! Events that a session reads from the log when its topics begin at different positions.

mod grants;

use std::sync::Arc;

use ringway_hub::Epoch;

use super::*;
use crate::{
    broker::{Broker, Echo, Notice, Ttl, mailbox::Mailbox, source::Submitter},
    config::{Config, settings::Settings},
};

const NOW: Duration = Duration::from_millis(1);
const TOPICS_MAX: usize = 10;

fn connection() -> ConnectionId {
    ConnectionId::new(0, 0)
}

/// How long an event is kept.
#[derive(Clone, Copy)]
enum Kept {
    Long,
    Never,
}

fn hub() -> CoreHub {
    let Settings { history, history_topics, .. } = Settings::from_config(&Config::default());
    let broker = Broker::new(Epoch::new(1), &history, &history_topics);
    CoreHub::new(Arc::new(broker), Mailbox::default(), 0)
}

fn ann() -> Identity {
    Identity::new("ann", Grants::BySettings)
}

/// Appends an event to the topic and makes the core read it.
fn publish(kept: Kept, hub: &mut CoreHub) {
    let ttl = match kept {
        Kept::Long => None,
        Kept::Never => Some(Ttl::from_seconds(0)),
    };
    let notice = Notice { from: None, event: None, data: "1", ttl };
    let broker = Arc::clone(&hub.broker);
    broker.publish(&mut Submitter::default(), notice, "news", Echo::Yes, NOW).expect("memory");
    let read = hub.reader.follow(&broker.log, |_| ControlFlow::Continue(()));
    read.expect("nothing is gone");
}

/// The events that the session reads, up to `last`.
fn read_up_to(last: Sequence, session: &mut Session, hub: &CoreHub) -> Vec<Sequence> {
    let mut read = Vec::new();
    let all = session.read_on(hub, NOW, |event| {
        read.push(event.sequence());
        if event.sequence() < last { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    all.expect("nothing is gone");
    read
}

#[test]
fn a_second_subscription_does_not_bring_unkept_events_from_before_the_first() {
    let mut hub = hub();
    let start = Start::Now { last: None, sent: 0 };
    let (mut session, _) = Session::enter(ann(), &[], start, 0, NOW, &mut hub);
    publish(Kept::Long, &mut hub);
    publish(Kept::Never, &mut hub);
    session.fall_behind(0, &hub);
    let since = Some(hub.broker.cursor(0));
    session.subscribe("news", since, connection(), TOPICS_MAX, &mut hub).expect("it may");
    publish(Kept::Never, &mut hub);
    publish(Kept::Long, &mut hub);
    assert_eq!(read_up_to(3, &mut session, &hub), [1, 3], "the topic is as far as the rest");
    session.subscribe("news", since, connection(), TOPICS_MAX, &mut hub).expect("it may");
    assert_eq!(
        read_up_to(4, &mut session, &hub),
        [1, 4],
        "2 was appended before the client subscribed"
    );
}

#[test]
fn a_topic_resubscribed_during_a_resume_is_live_from_the_connect() {
    let mut hub = hub();
    publish(Kept::Long, &mut hub);
    publish(Kept::Never, &mut hub);
    let since = hub.broker.cursor(0);
    let topics = ["news".into()];
    let (mut session, _) = Session::enter(ann(), &topics, Start::At(since), 0, NOW, &mut hub);
    publish(Kept::Never, &mut hub);
    session.subscribe("news", Some(since), connection(), TOPICS_MAX, &mut hub).expect("it may");
    assert_eq!(
        read_up_to(3, &mut session, &hub),
        [1, 3],
        "2 was appended before the client connected"
    );
}
