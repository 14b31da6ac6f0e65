//! A flood of client ids: the memory for all of them together is bounded.
//!
//! `broker` has a test with a million of them; here they come over connections.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::good::attacked;
use crate::support::{Engine, Gateway, Request, eventually, on_each_engine};

on_each_engine!(floods_of_client_ids_cost_bounded_memory);

/// Each request is a client of its own, which connects, is answered and leaves.
fn floods_of_client_ids_cost_bounded_memory(engine: Engine) {
    const BATCH: usize = 100;
    let settings = [
        "limits.requests_per_connection_max=1000000000",
        "limits.messages_per_second_max=1000000",
        "limits.burst_time=10s",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let before = gateway.resident_bytes();
    let ids = attacked("a flood of client ids", &gateway, || {
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        let (start, mut ids) = (Instant::now(), 0);
        let mut buffer = vec![0; 256 << 10];
        while start.elapsed() < Duration::from_secs(5) {
            let requests: Vec<u8> = (ids..ids + BATCH)
                .flat_map(|id| Request::of(&format!("/poll?client=id-{id}&wait=0")).bytes())
                .collect();
            stream.write_all(&requests).unwrap();
            let mut answers = 0;
            while answers < BATCH {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "closed after {ids} ids");
                // A status line may be cut, so the ends of the bodies are counted.
                answers += buffer[..count].iter().filter(|byte| **byte == b'}').count();
            }
            ids += BATCH;
        }
        ids
    });
    // 200 bytes with a long name, and the good clients.
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(ids > 5_000, "{ids} ids");
    // Those beyond the bound are forgotten every two seconds.
    let known = || gateway.metric("ringway_known_clients");
    eventually("few clients are remembered", || known() <= 262_144 + 2_000);
    let most = 200 * ids as u64 + (24 << 20);
    assert!(grown < most, "{grown} bytes for {ids} ids");
}
