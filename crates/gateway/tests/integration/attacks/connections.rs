//! Floods of connections: opened and closed, reset, or kept while there is no room for more.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::good::{GOOD_CLIENTS, attacked};
use crate::support::{Client, Engine, Gateway, eventually, on_each_engine};

on_each_engine!(
    floods_of_connections_harm_nobody,
    floods_of_resets_harm_nobody,
    connections_over_the_limit_harm_nobody,
);

const TIME: Duration = Duration::from_secs(3);

/// Each is opened and closed at once. Bounded in number, as closed ones keep their ports for a minute.
fn floods_of_connections_harm_nobody(engine: Engine) {
    let gateway = Gateway::start(engine);
    let opened = attacked("a flood of connections", &gateway, || {
        let start = Instant::now();
        let mut opened = 0_u64;
        while start.elapsed() < TIME && opened < 4_000 {
            drop(TcpStream::connect(gateway.address).unwrap());
            opened += 1;
        }
        opened
    });
    eventually("all are closed", || gateway.metric("ringway_connections") <= GOOD_CLIENTS as u64);
    assert_eq!(gateway.metric("ringway_accepted_total"), GOOD_CLIENTS as u64 + opened);
}

/// Each is reset in the middle of a request.
fn floods_of_resets_harm_nobody(engine: Engine) {
    let gateway = Gateway::start(engine);
    let opened: u64 = attacked("a flood of resets", &gateway, || {
        thread::scope(|scope| {
            let threads = [(); 2].map(|()| {
                scope.spawn(|| {
                    let start = Instant::now();
                    let mut opened = 0;
                    while start.elapsed() < TIME {
                        let mut client = Client::connect(&gateway);
                        client.sends("GET / HT");
                        client.resets();
                        opened += 1;
                    }
                    opened
                })
            });
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    });
    assert!(opened > 500, "{opened}");
    eventually("all are gone", || gateway.metric("ringway_connections") <= GOOD_CLIENTS as u64);
}

/// The clients over the limit come again and again.
fn connections_over_the_limit_harm_nobody(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["limits.connections_max=1200"]);
    let kept: Vec<TcpStream> = attacked("connections over the limit", &gateway, || {
        let kept: Vec<TcpStream> =
            (0..200).map(|_| TcpStream::connect(gateway.address).unwrap()).collect();
        let start = Instant::now();
        let mut refused = 0;
        while start.elapsed() < TIME && refused < 3_000 {
            drop(TcpStream::connect(gateway.address).unwrap());
            refused += 1;
        }
        kept
    });
    assert!(gateway.metric("ringway_refused_total{reason=\"full\"}") > 100);
    drop(kept);
}
