//! Connections that a simulated driver's owner begins: the same outcomes as on real sockets.
//!
//! Nothing here waits or opens a socket.

use std::collections::BTreeMap;

use super::*;
use crate::{ConnectFailure, ConnectToken, Connector, Failure, sim::Server};

fn refused() -> ConnectFailure {
    ConnectFailure::Kernel(Failure(libc::ECONNREFUSED))
}

/// A driver and a server on a perfect network.
fn pair() -> (Network, SimDriver, Server) {
    let network = Network::new(1, Faults::none());
    let (driver, server) = (network.driver(small()), network.listen());
    (network, driver, server)
}

fn begin(to: &mut Operations, server: &Server, token: u64) {
    to.connect(Connector::new(server.address()).request(ConnectToken(token)));
}

/// The answers of one turn.
fn answers(
    driver: &mut SimDriver,
    fill: impl FnOnce(&mut Operations),
) -> Vec<(u64, Result<ConnectionId, ConnectFailure>)> {
    let mut operations = Operations::default();
    fill(&mut operations);
    driver.submit(&mut operations);
    driver.wait(Some(Duration::ZERO)).unwrap();
    let mut seen = Vec::new();
    while let Some(completion) = driver.next() {
        match completion {
            Completion::Connected { connection, token } => seen.push((token.0, Ok(connection))),
            Completion::ConnectFailed { token, failure } => seen.push((token.0, Err(failure))),
            _ => {}
        }
    }
    seen
}

#[test]
fn both_ends_of_a_connection_exchange_bytes() {
    let (network, mut driver, server) = pair();
    let seen = answers(&mut driver, |to| begin(to, &server, 7));
    let [(7, Ok(name))] = seen[..] else { panic!("{seen:?}") };
    let peer = server.accept().unwrap();
    assert!(server.accept().is_none());
    assert_eq!((peer.address(), driver.peer(name)), (server.address(), Some(server.address())));
    submit(&mut driver, |to| to.send(name, &mut SendMark::default(), |out| out.push(1)));
    assert_eq!(peer.received(), [1]);
    peer.send(b"answer");
    peer.half_close();
    assert_eq!(submit(&mut driver, |_| ()), ["Received", "EndOfStream"]);
    assert_eq!(submit(&mut driver, |to| to.push(Operation::Close(name))), ["Closed"]);
    submit(&mut driver, |_| ());
    assert!(peer.saw_fin() && network.is_quiet());
    assert_eq!((driver.connections(), driver.leases_taken()), (0, 0));
}

#[test]
fn an_attempt_without_a_listener_fails() {
    let (network, mut driver, server) = pair();
    server.refuse();
    assert_eq!(answers(&mut driver, |to| begin(to, &server, 1)), [(1, Err(refused()))]);
    let nobody = Connector::new("10.9.9.9:1".parse().unwrap()).request(ConnectToken(2));
    assert_eq!(answers(&mut driver, |to| to.connect(nobody)), [(2, Err(refused()))]);
    assert!(network.is_quiet() && server.accept().is_none());
    assert_eq!(driver.connections(), 0);
}

#[test]
fn an_attempt_without_a_slot_fails_at_once() {
    let network = Network::new(4, Faults::none());
    let mut driver = network.driver(Settings { connections_max: 1, ..small() });
    let server = network.listen();
    let seen = answers(&mut driver, |to| (1..4).for_each(|token| begin(to, &server, token)));
    let [(2, Err(two)), (3, Err(three)), (1, Ok(_))] = seen[..] else { panic!("{seen:?}") };
    assert_eq!((two, three), (ConnectFailure::NoSlot, ConnectFailure::NoSlot));
}

#[test]
fn an_attempt_that_hangs_is_cancelled_or_goes_on() {
    let (network, mut driver, server) = pair();
    server.ignore();
    assert_eq!(answers(&mut driver, |to| begin(to, &server, 1)), []);
    assert_eq!(answers(&mut driver, |to| begin(to, &server, 2)), []);
    assert_eq!(answers(&mut driver, |_| ()), []);
    assert!(network.is_quiet(), "nothing happens by itself");
    let cancel = |to: &mut Operations| to.push(Operation::CancelConnect(ConnectToken(1)));
    assert_eq!(answers(&mut driver, cancel), [(1, Err(ConnectFailure::Cancelled))]);
    assert_eq!(answers(&mut driver, cancel), []);
    server.admit();
    assert!(!network.is_quiet());
    assert!(matches!(answers(&mut driver, |_| ())[..], [(2, Ok(_))]));
    assert_eq!(answers(&mut driver, cancel), []);
}

#[test]
#[should_panic(expected = "two attempts to connect have ConnectToken(5)")]
fn two_attempts_with_one_token_are_a_fault() {
    let (_network, mut driver, server) = pair();
    answers(&mut driver, |to| (0..2).for_each(|_| begin(to, &server, 5)));
}

/// Random attempts on a network with all faults: each is answered once, before any other
/// completion of its connection, and nothing remains of it.
#[test]
fn under_any_faults_each_attempt_has_one_outcome() {
    let mut outcomes = BTreeMap::new();
    for seed in 0..200 {
        for (_, outcome) in attempts(seed) {
            let kind = outcome.map_or_else(|failure| format!("{failure:?}"), |_| "made".into());
            *outcomes.entry(kind).or_insert(0) += 1;
        }
    }
    for kind in ["made", "Cancelled", "NoSlot"] {
        assert!(outcomes[kind] > 50, "{outcomes:?}");
    }
    let errno = |errno: i32| outcomes[&format!("Kernel(Failure({errno}))")];
    assert!(errno(libc::ECONNREFUSED) > 50 && errno(libc::ECONNRESET) > 5, "{outcomes:?}");
}

fn attempts(seed: u64) -> BTreeMap<u64, Result<ConnectionId, ConnectFailure>> {
    const ATTEMPTS: u64 = 40;
    let network = Network::new(seed, Faults::harsh());
    let mut driver = network.driver(Settings { connections_max: 8, ..small() });
    let (server, mut rng) = (network.listen(), fastrand::Rng::with_seed(seed));
    let (mut operations, mut answered) = (Operations::default(), BTreeMap::new());
    let (mut begun, mut open, mut closed) = (0, 0, 0);
    for turn in 0.. {
        assert!(turn < 20_000, "seed {seed}: {answered:?}");
        if begun < ATTEMPTS && rng.bool() {
            begin(&mut operations, &server, begun);
            begun += 1;
        }
        if begun > 0 && rng.u8(..4) == 0 {
            let token = ConnectToken(rng.u64(..begun));
            operations.push(Operation::CancelConnect(token));
        }
        match rng.u8(..8) {
            0 if begun < ATTEMPTS => server.ignore(),
            1 if begun < ATTEMPTS => server.refuse(),
            _ => server.admit(),
        }
        if let Some(peer) = server.accept() {
            peer.send(b"at once");
            match rng.u8(..3) {
                0 => peer.reset(),
                1 => peer.half_close(),
                _ => peer.close(),
            }
        }
        driver.submit(&mut operations);
        driver.wait(Some(MOMENT)).unwrap();
        while let Some(completion) = driver.next() {
            match completion {
                Completion::Connected { connection, token } => {
                    assert!(answered.insert(token.0, Ok(connection)).is_none(), "seed {seed}");
                    open += 1;
                }
                Completion::ConnectFailed { token, failure } => {
                    assert!(answered.insert(token.0, Err(failure)).is_none(), "seed {seed}");
                }
                Completion::Received { connection, .. } => {
                    assert!(answered.values().any(|answer| *answer == Ok(connection)));
                }
                Completion::EndOfStream { connection } | Completion::Failed { connection, .. } => {
                    assert!(answered.values().any(|answer| *answer == Ok(connection)));
                    operations.push(Operation::Close(connection));
                }
                Completion::Closed { .. } => closed += 1,
                _ => {}
            }
        }
        if answered.len() as u64 == ATTEMPTS && open == closed && operations.is_empty() {
            break;
        }
    }
    assert_eq!((driver.connections(), driver.leases_taken()), (0, 0), "seed {seed}");
    answered
}
