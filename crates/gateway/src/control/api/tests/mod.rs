//! The router of the binary on a gateway without cores: nothing is delivered, and no connection is
//! closed. The cores' part is tested with the binary.

mod access;
mod awaited;
mod description;
mod exposed;
mod pacing;
mod schema;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use ringway_hub::Epoch;
use tower::ServiceExt;

use crate::{
    auth::ApiKeys,
    broker::{Broker, mailbox::Mailbox},
    config::{self, ApiScope, Config, patterns::Patterns, settings::Settings},
    control::api::{Api, idempotency::IdempotencyStore},
    memory::MemoryBudget,
    metrics::CoreMetrics,
};

/// The API of a gateway that knows the client `ann`.
fn api() -> Arc<Api> {
    api_with(|broker| broker)
}

/// As [`api`], with a key for each scope: the scope's name, eight times.
fn api_with_keys() -> Arc<Api> {
    let scopes = [ApiScope::Publish, ApiScope::Read, ApiScope::Admin];
    let tables = scopes.map(|scope| config::ApiKey {
        name: scope.as_str().to_owned(),
        scopes: vec![scope],
        secret_file: None,
        secret_env: Some(scope.as_str().to_owned()),
    });
    let keys = ApiKeys::load(&tables, |name| Some(key_of(name).into())).unwrap();
    api_of(|broker| broker, keys)
}

fn key_of(scope: &str) -> String {
    scope.repeat(8)
}

/// As [`api`], with a changed broker.
fn api_with(change: impl FnOnce(Broker) -> Broker) -> Arc<Api> {
    api_of(change, ApiKeys::load(&[], |_| None).unwrap())
}

fn api_of(change: impl FnOnce(Broker) -> Broker, keys: ApiKeys) -> Arc<Api> {
    let settings = Arc::new(Settings::from_config(&Config::default()));
    let epoch = Epoch::new(0x0193_c5f2_a1b4);
    let broker = Broker::new(epoch, &settings.history, &settings.history_topics);
    let broker = Arc::new(change(broker));
    broker.directory.arrive("ann");
    Arc::new(Api {
        broker,
        mailbox: Mailbox::default(),
        settings,
        metrics: [(); 2].map(|()| Arc::new(CoreMetrics::default())).into(),
        memory: Arc::new(MemoryBudget::new(1 << 30)),
        tls: None,
        keys: Arc::new(keys),
        tokens: None,
        told: Vec::new(),
        engine: "epoll".to_owned(),
        listener: "http://127.0.0.1:8081".to_owned(),
        start: Instant::now(),
        everyone: Patterns::new(["*"]),
        submissions: Default::default(),
        ledger: IdempotencyStore::default(),
        appended: Default::default(),
    })
}

struct Answer {
    status: StatusCode,
    fields: HeaderMap,
    body: String,
}

impl Answer {
    /// The media type without its parameters.
    fn media(&self) -> &str {
        let value = self.fields.get("content-type").map_or("", |value| value.to_str().unwrap());
        value.split(';').next().unwrap()
    }
}

async fn ask(
    router: &Router,
    method: &Method,
    target: &str,
    fields: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).unwrap();
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap();
    let body = String::from_utf8(body.into()).unwrap();
    Answer { status: head.status, fields: head.headers, body }
}
