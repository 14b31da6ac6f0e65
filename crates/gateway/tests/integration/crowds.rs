//! Many clients that connect and leave: nothing of them may remain.
//!
//! Limits on the number of clients are tested in `limits`.

use ringway_acceptor::descriptors;

use crate::support::{
    Client, Engine, Gateway, Request, eventually,
    frames::{FIN, TEXT, close, frame},
    on_each_engine,
};

on_each_engine!(a_thousand_clients_leave_nothing_behind, connections_are_not_leaked_by_refusals,);

/// One round: all are connected at the same time, send something, and leave in one of four ways.
fn come_and_go(gateway: &Gateway, count: usize) {
    let mut clients: Vec<Client> = (0..count).map(|_| Client::upgrade(gateway)).collect();
    for client in &mut clients {
        client.sends(frame(FIN | TEXT, "hello"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        match number % 4 {
            // Leaves with a Close.
            0 => {
                client.receives_text("hello");
                client.sends(close(1000, ""));
                client.receives_close(1000);
            }
            // Leaves with a FIN.
            1 => client.receives_text("hello"),
            // Leaves with a reset.
            2 => client.leaves_an_answer_unread(),
            // Leaves in the middle of a message.
            _ => client.sends(frame(TEXT, vec![b'a'; 1000])),
        }
    }
    drop(clients);
    gateway.holds(0);
}

fn a_thousand_clients_leave_nothing_behind(engine: Engine) {
    descriptors::raise_limit().unwrap();
    let gateway = Gateway::start(engine);
    // The first round makes the gateway allocate memory that it keeps for later rounds.
    come_and_go(&gateway, 1000);
    let (bytes, descriptors) = (gateway.resident_bytes(), gateway.descriptors());
    for _ in 0..4 {
        come_and_go(&gateway, 1000);
    }
    // The private API's own connections may take a moment longer.
    eventually("no descriptor is left behind", || gateway.descriptors() <= descriptors);
    let grown = gateway.resident_bytes().saturating_sub(bytes);
    // Resident memory grows by huge pages of 2 MiB.
    assert!(grown <= 4 << 20, "{grown} bytes grown by 4,000 clients that left");
}

fn connections_are_not_leaked_by_refusals(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.close_timeout=100ms"]);
    let descriptors = gateway.descriptors();
    for request in ["\x16\x03\x01", "GET / HTTP/2.0\r\n\r\n", "GET"] {
        for _ in 0..50 {
            Client::connect(&gateway).sends(request);
        }
    }
    for _ in 0..50 {
        assert_eq!(Client::connect(&gateway).requests(&Request::of("/none")).status, 404);
    }
    gateway.holds(0);
    eventually("no descriptor is left behind", || gateway.descriptors() <= descriptors + 1);
}
