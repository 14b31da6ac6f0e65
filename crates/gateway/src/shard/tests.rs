//! When a core may sleep, turned by hand without a driver.

use ringway_frame::{MaskKeys, Opcode, emit_frame};
use ringway_hub::Epoch;

use super::*;
use crate::{census::CensusLimits, config::Config, limits::TURN_MESSAGE_BYTES_MAX};

fn shard() -> Shard {
    let settings = Arc::new(Settings::from_config(&Config::default()));
    Shard::new(ShardParts {
        census: Arc::new(Census::new(CensusLimits {
            connections_max: 10,
            connections_per_address_max: 10,
            exempt: Vec::new(),
        })),
        exchange: Arc::new(Exchange::new(Epoch::new(1), &settings.history)),
        settings,
        orders: Orders::default(),
        metrics: Arc::new(CoreMetrics::default()),
        core: 0,
    })
}

/// What is put off is served at the end of a turn, after the log was read.
#[test]
fn a_core_does_not_sleep_on_an_event_that_it_has_just_appended() {
    let (mut shard, mut operations) = (shard(), Operations::default());
    let (connection, now) = (Connection::new(0, 0), Duration::from_millis(1));
    let peer = "127.0.0.1:1".parse().expect("an address");
    shard.complete(Completion::Accepted { connection, listener: 0, peer }, now, &mut operations);
    let mut bytes = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .to_vec();
    let long = format!(r#"{{"type":"ping","long":"{}"}}"#, "x".repeat(TURN_MESSAGE_BYTES_MAX / 2));
    let publish = r#"{"type":"publish","id":"1","topic":"a","data":1}"#;
    let mut keys = MaskKeys::new();
    for text in [&*long, &*long, publish] {
        emit_frame(&mut bytes, Some(keys.draw()), Opcode::Text, text.as_bytes());
    }
    let received = Completion::Received { connection, bytes: &mut bytes };
    shard.complete(received, now, &mut operations);
    assert_eq!(shard.desk().exchange.log.head(), 0, "the last message waits");
    shard.follow_log(now, &mut operations);
    assert_eq!(shard.desk().exchange.log.head(), 1);
    assert_eq!(shard.next_deadline(now), Some(Duration::ZERO));
    shard.follow_log(now, &mut operations);
    assert_eq!(shard.desk().position(), 1);
    assert_ne!(shard.next_deadline(now), Some(Duration::ZERO));
}
