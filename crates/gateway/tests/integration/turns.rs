//! How much a few clients may delay the others: large compressed messages, messages that never end,
//! and commands with many recipients, while 100 good clients are connected.
//!
//! The unit tests of `shard` show exactly that a turn is bounded.

use std::{thread, time::Duration};

use ringway_frame::deflate::{Deflater, Level, MemoryLevel, WindowBits};
use serde_json::json;

use crate::support::{
    Client, Engine, Gateway, Member, Request, attack, attacker,
    frames::{BINARY, CONTINUATION, FIN, RSV1, frame, header},
    on_each_engine,
};

on_each_engine!(
    unfinished_messages_cost_only_the_bytes_that_arrived,
    bombs_delay_nobody,
    floods_of_notifies_delay_nobody,
);

const MIB: u64 = 1 << 20;

/// Generous: machines that run tests are busy, and the gateway is not optimised there.
const P99_MAX: Duration = Duration::from_millis(800);

/// `bytes` zeroes, compressed about a thousandfold.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    Deflater::new(Level::new(9).unwrap(), WindowBits::MAX, MemoryLevel::USUAL)
        .deflate(&vec![0; bytes], &mut payload);
    payload
}

fn upgrade_of(target: &str) -> Request {
    Request::upgrade_of(target).and("Sec-WebSocket-Extensions", "permessage-deflate")
}

/// RFC 6455 §10.4: 1.4 MB are sent; inflated they would be 1.3 GiB, and the declared length is 8
/// GiB.
fn unfinished_messages_cost_only_the_bytes_that_arrived(engine: Engine) {
    let gateway = Gateway::start(engine);
    let (cost, clients) = attack("messages that never end", &gateway, || {
        let large = frame(RSV1 | BINARY, bomb(16 << 20));
        let small = frame(RSV1 | BINARY, bomb(1 << 20));
        let declared = [header(FIN | BINARY, 16 << 20), vec![0]].concat();
        let mut clients = Vec::new();
        for _ in 0..54 {
            clients.push(attacker(gateway.address, &upgrade_of("/echo"), &large));
        }
        for _ in 0..250 {
            clients.push(attacker(gateway.address, &upgrade_of("/ws"), &small));
            clients.push(attacker(gateway.address, &upgrade_of("/echo"), &declared));
        }
        clients
    });
    assert!(cost.grown_bytes < 24 * MIB, "{cost:?}");
    assert!(cost.p99 < P99_MAX, "{cost:?}");
    drop(clients);
}

/// RFC 7692 §8: each is 4 KB on the wire, and 4 MiB to inflate and to compress again.
fn bombs_delay_nobody(engine: Engine) {
    const BYTES: usize = 4 << 20;
    let gateway = Gateway::start(engine);
    let (cost, ()) = attack("bombs", &gateway, || {
        let bomb = frame(FIN | RSV1 | BINARY, bomb(BYTES));
        let mut bombers: Vec<Client> = (0..10)
            .map(|_| {
                let mut client = Client::connect(&gateway);
                client.sends(upgrade_of("/echo").bytes());
                client.is_upgraded();
                client
            })
            .collect();
        for client in &mut bombers {
            client.sends(&bomb);
        }
        for client in &mut bombers {
            let mut frame = client.receives_frame();
            assert_eq!(frame.first & !FIN, RSV1 | BINARY);
            while frame.first & FIN == 0 {
                frame = client.receives_frame();
                assert_eq!(frame.first & !FIN, CONTINUATION);
            }
        }
    });
    // A core inflates one at a time.
    assert!(cost.grown_bytes < 64 * MIB, "{cost:?}");
    assert!(cost.p99 < P99_MAX, "{cost:?}");
}

/// 27 clients, each of whose commands notifies 1,000 recipients.
fn floods_of_notifies_delay_nobody(engine: Engine) {
    let gateway = Gateway::start(engine);
    let (cost, ()) = attack("storms of notifies", &gateway, || {
        thread::scope(|scope| {
            for stormer in 0..27 {
                let gateway = &gateway;
                scope.spawn(move || {
                    let mut member = Member::joins(gateway, &format!("storm-{stormer}"));
                    for round in 0..4 {
                        let to: Vec<String> =
                            (0..1000).map(|one| format!("{stormer}-{round}-{one}")).collect();
                        let id = round.to_string();
                        member.does(&json!({"type": "notify", "id": id, "to": to, "data": 1}));
                    }
                });
            }
        });
    });
    assert!(cost.p99 < P99_MAX, "{cost:?}");
}
