//! A log that answers later: a request is answered when its event has its place, once for each
//! idempotency key, even if an earlier request is gone.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::Method};
use ringway_hub::{Appender, Draft};
use tokio::{task::yield_now, time::sleep};

use crate::{
    broker::source::{LogSource, Token, Unavailable, held::Held},
    control::api::{
        Api,
        routes::router,
        tests::{Answer, api_with, ask},
    },
};

/// An API whose log answers when the test says so.
struct World {
    source: Arc<Held>,
    api: Arc<Api>,
    router: Router,
}

const NOTIFY: &str = r#"{"to":["ann","bob"],"data":1}"#;
const PLACED: &str =
    r#"{"cursor":"0193c5f2a1b4-0000000000000001","outcome":{"ann":"delivered","bob":"queued"}}"#;

impl World {
    fn new() -> Self {
        let source = Arc::<Held>::default();
        let of_broker = Arc::clone(&source) as Arc<dyn LogSource>;
        let api = api_with(|broker| broker.with_source(of_broker));
        api.follow_outcomes();
        let router = router(Arc::clone(&api));
        Self { source, api, router }
    }

    /// Waits for the next submission.
    async fn submission(&self) -> (Token, Draft) {
        loop {
            if let Some(submission) = self.source.0.lock().unwrap().pop() {
                return submission;
            }
            yield_now().await;
        }
    }

    async fn place(&self) {
        let (token, draft) = self.submission().await;
        let sequence = self.api.broker.log.append(&mut Appender::default(), draft, self.api.now());
        self.api.mailbox.complete(token, Ok(sequence));
    }

    async fn refuse(&self) {
        let (token, _) = self.submission().await;
        self.api.mailbox.complete(token, Err(Unavailable));
    }

    async fn notify(&self) -> Answer {
        let fields = [("content-type", "application/json"), ("idempotency-key", "k")];
        ask(&self.router, &Method::POST, "/v1/notify", &fields, NOTIFY).await
    }

    #[track_caller]
    fn is_clear(&self) {
        assert!(self.source.0.lock().unwrap().is_empty(), "nothing else was submitted");
        assert_eq!(self.api.broker.pending(), 0);
    }
}

fn is_replayed(answer: &Answer) -> bool {
    answer.fields.contains_key("idempotency-replayed")
}

#[tokio::test]
async fn a_request_is_answered_once_when_its_event_has_a_cursor() {
    let world = World::new();
    let again = async {
        yield_now().await;
        world.notify().await
    };
    let placing = async {
        sleep(Duration::from_millis(20)).await;
        world.place().await;
    };
    let (first, second, ()) = tokio::join!(world.notify(), again, placing);
    for answer in [&first, &second, &world.notify().await] {
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, PLACED));
    }
    assert!(!is_replayed(&first) && is_replayed(&second));
    assert_eq!(world.api.appended.value(), 1);
    world.is_clear();
}

#[tokio::test]
async fn the_answer_to_an_aborted_request_is_remembered() {
    let world = World::new();
    let router = world.router.clone();
    let fields = [("content-type", "application/json"), ("idempotency-key", "k")];
    let dropped =
        tokio::spawn(
            async move { ask(&router, &Method::POST, "/v1/notify", &fields, NOTIFY).await },
        );
    let (token, draft) = world.submission().await;
    dropped.abort();
    assert!(dropped.await.is_err_and(|error| error.is_cancelled()));
    world.source.0.lock().unwrap().push((token, draft));
    world.place().await;
    let answer = world.notify().await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, PLACED));
    assert!(is_replayed(&answer));
    world.is_clear();
}

#[tokio::test]
async fn a_refused_event_may_be_sent_again_with_its_key() {
    let world = World::new();
    let (refused, ()) = tokio::join!(world.notify(), world.refuse());
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("/problems/unavailable"), "{}", refused.body);
    assert_eq!(refused.fields["retry-after"], "1");
    let (answer, ()) = tokio::join!(world.notify(), world.place());
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, PLACED));
    assert!(!is_replayed(&answer));
    world.is_clear();
}

#[tokio::test]
async fn each_line_is_answered_with_its_own_cursor() {
    let world = World::new();
    let lines = r#"{"topic":"a","data":1}
{"topic":"a","data":2}
{"topic":"a","data":3}"#;
    let fields = [("content-type", "application/x-ndjson")];
    let asking = ask(&world.router, &Method::POST, "/v1/publish", &fields, lines);
    let placing = async {
        world.place().await;
        world.refuse().await;
        world.place().await;
    };
    let (answer, ()) = tokio::join!(asking, placing);
    let answers: Vec<&str> = answer.body.lines().collect();
    assert_eq!(answers.len(), 3, "{}", answer.body);
    assert_eq!(answers[0], r#"{"cursor":"0193c5f2a1b4-0000000000000001"}"#);
    assert!(answers[1].contains("/problems/unavailable"), "{}", answers[1]);
    assert_eq!(answers[2], r#"{"cursor":"0193c5f2a1b4-0000000000000002"}"#);
    world.is_clear();
}

#[tokio::test]
async fn a_drain_refuses_a_pending_request() {
    let world = World::new();
    let draining = async {
        let submission = world.submission().await;
        world.api.mailbox.drain(Duration::from_secs(10));
        submission
    };
    let (answer, (token, _)) = tokio::join!(world.notify(), draining);
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("/problems/going-away"), "{}", answer.body);
    world.api.mailbox.complete(token, Err(Unavailable));
    yield_now().await;
    world.is_clear();
}
