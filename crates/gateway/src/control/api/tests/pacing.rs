//! A body of many events goes on as the cores send what it has brought.

use std::{sync::Arc, time::Duration};

use axum::http::Method;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    control::api::{
        routes::router,
        tests::{api, ask},
    },
    limits::TOPIC_PENDING_BYTES_MAX,
};

const LINES: u64 = 300;

const FIELDS: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

/// Lines of 1 KiB.
fn lines() -> String {
    let empty = json!({"topic": "news", "data": ""}).to_string().len();
    let line = json!({"topic": "news", "data": "x".repeat(1_024 - empty)}).to_string();
    (0..LINES).map(|_| line.clone() + "\n").collect()
}

#[tokio::test]
async fn it_is_never_more_than_two_windows_ahead_of_a_core() {
    let api = api();
    let (broker, router) = (Arc::clone(&api.broker), router(Arc::clone(&api)));
    broker.progress.note(0, 0);
    let follow = async {
        let (mut sent, mut farthest) = (0, 0);
        while sent < LINES {
            sleep(Duration::from_millis(5)).await;
            farthest = farthest.max(broker.log.head() - sent);
            sent = broker.log.head();
            broker.progress.note(0, sent);
        }
        farthest
    };
    let post = ask(&router, &Method::POST, "/v1/publish", &FIELDS, lines());
    let (answer, farthest) = tokio::join!(post, follow);
    assert_eq!(answer.body.lines().count() as u64, LINES);
    assert!(!answer.body.contains("error"), "{}", answer.body);
    let window = (TOPIC_PENDING_BYTES_MAX / 1_024) as u64;
    assert!((window..=2 * window + 1).contains(&farthest), "{farthest} lines");
}

#[tokio::test]
async fn a_core_that_has_stopped_does_not_stop_it() {
    let api = api();
    let router = router(Arc::clone(&api));
    api.broker.progress.note(0, 0);
    let answer = ask(&router, &Method::POST, "/v1/publish", &FIELDS, lines()).await;
    assert_eq!(answer.body.lines().count() as u64, LINES);
    assert_eq!(api.broker.log.head(), LINES);
}
