//! What the identity of a client costs an idle connection: its grants, its metadata, and its end.
//!
//! It is a binary of its own, because it counts all allocations of the process.

#![forbid(unsafe_code)]

use std::{sync::Arc, time::Duration};

use allocation_counter::measure;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use ringway::{
    auth::{
        IdentitySource, SelfNamed,
        token::{Tokens, keys::KeySet},
    },
    broker::{Broker, mailbox::Mailbox},
    config::{AuthKey, Config, TokenAlgorithm, settings::Settings},
    core::shard::{Shard, ShardParts},
    edge::limiter::{ConnectionLimiter, ConnectionLimits},
    memory::MemoryBudget,
    metrics::CoreMetrics,
    outbox::channel::Channels,
};
use ringway_acceptor::{Completion, ConnectionId, Operations};
use ringway_hub::Epoch;
use serde_json::{Value, json};

const SECRET: &str = "a secret of more than thirty-two bytes";

/// Enough connections that the growth of tables does not matter.
const CONNECTIONS: u32 = 1_000;

/// The bound for the identity of a client that may use a few names.
const IDENTITY_BYTES_MAX: i64 = 256;

fn tokens() -> Tokens {
    let key = AuthKey {
        secret_env: Some("SECRET".to_owned()),
        ..AuthKey::without_source(&[TokenAlgorithm::Hs256])
    };
    let keys = KeySet::load(&[key], |_| Some(SECRET.into())).unwrap();
    Tokens::new(keys, Config::default().auth)
}

fn token(client: &str, ringway: &Value) -> String {
    let header = json!({"alg": "HS256"});
    let claims = json!({"sub": client, "exp": 4_000_000_000_u64, "ringway": ringway});
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

fn shard(identities: Arc<dyn IdentitySource>) -> Shard {
    let settings = Arc::new(Settings::from_config(&Config::default()));
    Shard::new(ShardParts {
        limiter: Arc::new(ConnectionLimiter::new(ConnectionLimits {
            connections_max: 2 * CONNECTIONS,
            connections_per_address_max: 2 * CONNECTIONS,
            exempt: Vec::new(),
        })),
        broker: Arc::new(Broker::new(Epoch::new(1), &settings.history, &settings.history_topics)),
        settings,
        identities,
        mailbox: Mailbox::default(),
        memory: Arc::new(MemoryBudget::new(1 << 30)),
        metrics: Arc::new(CoreMetrics::default()),
        channels: Channels::default(),
        core: 0,
    })
}

/// The bytes that an idle WebSocket keeps, if its query is the one that `query` makes.
fn idle_bytes(identities: Arc<dyn IdentitySource>, query: impl Fn(u32) -> String) -> i64 {
    let (mut shard, mut operations) = (shard(identities), Operations::default());
    let peer = "127.0.0.1:1".parse().unwrap();
    let mut requests: Vec<Vec<u8>> = (0..CONNECTIONS)
        .map(|slot| {
            format!(
                "GET /ws?{} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                query(slot)
            )
            .into_bytes()
        })
        .collect();
    let info = measure(|| {
        for (slot, bytes) in (0..).zip(&mut requests) {
            let (connection, now) = (ConnectionId::new(slot, 0), Duration::from_millis(1));
            let accepted = Completion::Accepted { connection, listener: 0, peer };
            shard.complete(accepted, now, &mut operations);
            shard.complete(Completion::Received { connection, bytes }, now, &mut operations);
            shard.follow_log(now, &mut operations);
            operations.clear();
        }
    });
    assert_eq!(shard.hub().broker.directory.connections(&format!("client-{:04}", 7)), 1);
    info.bytes_current / i64::from(CONNECTIONS)
}

#[test]
fn an_identity_takes_little_of_an_idle_connection() {
    let named = |slot| format!("client=client-{slot:04}");
    let without = idle_bytes(Arc::new(SelfNamed), named);
    for (what, ringway) in [
        ("no grants", json!({})),
        ("a name each", json!({"subscribe": ["news"], "publish": ["chat.*"]})),
    ] {
        let shown = |slot| format!("token={}", token(&format!("client-{slot:04}"), &ringway));
        let identity = idle_bytes(Arc::new(tokens()), shown) - without;
        assert!(
            (1..=IDENTITY_BYTES_MAX).contains(&identity),
            "an identity with {what} takes {identity} bytes of an idle connection"
        );
    }
}
