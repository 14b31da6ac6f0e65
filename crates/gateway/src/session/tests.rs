//! What a session reads from the log when its topics begin at different places.

use std::sync::Arc;

use ringway_hub::{Epoch, Tail};

use super::*;
use crate::{
    broker::{Echo, Exchange, Notice, Ttl, mailbox::Orders},
    config::{Config, settings::Settings},
};

const NOW: Duration = Duration::from_millis(1);
const TOPICS_MAX: usize = 10;

/// How long an event is kept.
#[derive(Clone, Copy)]
enum Kept {
    Long,
    Never,
}

fn desk() -> Desk {
    let Settings { history, history_topics, .. } = Settings::from_config(&Config::default());
    let exchange = Exchange::new(Epoch::new(1), &history, &history_topics);
    Desk::new(Arc::new(exchange), Orders::default(), 0)
}

/// Appends an event to the topic, and has the core read it.
fn publish(kept: Kept, desk: &mut Desk) {
    let ttl = match kept {
        Kept::Long => None,
        Kept::Never => Some(Ttl::from_seconds(0)),
    };
    let notice = Notice { from: None, event: None, data: "1", ttl };
    let exchange = Arc::clone(&desk.exchange);
    exchange.publish(&mut Tail::default(), notice, "news", Echo::Yes, NOW).expect("memory");
    let read = desk.reader.follow(&exchange.log, |_| ControlFlow::Continue(()));
    read.expect("nothing is gone");
}

/// What the session reads, up to `last` at most.
fn read_up_to(last: Sequence, session: &mut Session, desk: &Desk) -> Vec<Sequence> {
    let mut read = Vec::new();
    let all = session.read_on(desk, NOW, |event| {
        read.push(event.sequence());
        if event.sequence() < last { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    all.expect("nothing is gone");
    read
}

#[test]
fn an_event_from_before_a_subscription_that_is_not_kept_does_not_come_by_a_second_one() {
    let mut desk = desk();
    let start = Start::Now { last: None, sent: 0 };
    let (mut session, _) = Session::enter("ann", &[], start, 0, NOW, &mut desk);
    publish(Kept::Long, &mut desk);
    publish(Kept::Never, &mut desk);
    session.fall_behind(0, &desk);
    let since = Some(desk.exchange.cursor(0));
    session.subscribe("news", since, 0, TOPICS_MAX, &mut desk).expect("it may");
    publish(Kept::Never, &mut desk);
    publish(Kept::Long, &mut desk);
    assert_eq!(read_up_to(3, &mut session, &desk), [1, 3], "the topic is as far as the rest");
    session.subscribe("news", since, 0, TOPICS_MAX, &mut desk).expect("it may");
    assert_eq!(read_up_to(4, &mut session, &desk), [1, 4], "2 came before the client listened");
}

#[test]
fn a_topic_begun_again_while_a_client_resumes_begins_live_where_the_client_came() {
    let mut desk = desk();
    publish(Kept::Long, &mut desk);
    publish(Kept::Never, &mut desk);
    let since = desk.exchange.cursor(0);
    let topics = ["news".into()];
    let (mut session, _) = Session::enter("ann", &topics, Start::At(since), 0, NOW, &mut desk);
    publish(Kept::Never, &mut desk);
    session.subscribe("news", Some(since), 0, TOPICS_MAX, &mut desk).expect("it may");
    assert_eq!(read_up_to(3, &mut session, &desk), [1, 3], "2 came before the client did");
}
