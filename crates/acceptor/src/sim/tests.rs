//! The simulated driver keeps the contract under any faults, from any seed.
//!
//! Nothing here waits or opens a socket.

mod connecting;

use std::{collections::HashMap, fmt::Write, time::Duration};

use super::{Client, Faults, Network, POISON, SimDriver};
use crate::{
    Completion, ConnectionId, Driver, Operation, Operations, Place, Places, SendMark, Settings,
};

const MOMENT: Duration = Duration::from_millis(1);

/// The owner of a driver: echoes, closes after the end, and keeps a trace.
#[derive(Default)]
struct Echo {
    operations: Operations,
    marks: HashMap<ConnectionId, SendMark>,
    unsent: HashMap<ConnectionId, usize>,
    ended: Vec<ConnectionId>,
    trace: String,
    refused: u32,
    /// Where the next bytes may be received.
    place: Vec<u8>,
    /// How often the driver has asked for it, and has used it.
    asked: u32,
    placed: u32,
}

impl Places for Echo {
    fn place(&mut self, connection: ConnectionId) -> Place<'_> {
        assert!(self.marks.contains_key(&connection), "a place for {connection:?}, which is gone");
        self.asked += 1;
        self.place = Vec::with_capacity(100);
        match self.asked % 4 {
            0 => Place::Later,
            _ => Place::In(&mut self.place),
        }
    }
}

impl Echo {
    fn turn(&mut self, driver: &mut SimDriver, timeout: Duration) {
        let ended = std::mem::take(&mut self.ended);
        driver.submit(&mut self.operations);
        driver.wait(Some(timeout)).unwrap();
        while let Some(completion) = driver.next_in(self) {
            write!(self.trace, "{completion:?};").unwrap();
            self.complete(completion);
        }
        // Connections that had ended before this turn close once their echo is known to be
        // complete.
        for name in ended {
            if self.unsent.contains_key(&name) {
                self.ended.push(name);
            } else if self.marks.remove(&name).is_some() {
                self.operations.push(Operation::Close(name));
            }
        }
    }

    fn complete(&mut self, completion: Completion<'_>) {
        match completion {
            Completion::Accepted { connection, .. } => {
                assert!(self.marks.insert(connection, SendMark::default()).is_none());
            }
            Completion::Received { connection, bytes } => {
                let mark = self.marks.get_mut(&connection).expect("a living connection");
                self.operations.send(connection, mark, |out| out.extend_from_slice(bytes));
            }
            Completion::EndOfStream { connection } => {
                self.operations.push(Operation::Shutdown(connection));
                self.ended.push(connection);
            }
            Completion::Failed { connection, .. } => {
                self.unsent.remove(&connection);
                if self.marks.remove(&connection).is_some() {
                    self.operations.push(Operation::Close(connection));
                }
            }
            Completion::Backlogged { connection, unsent_bytes, .. } => {
                self.unsent.insert(connection, unsent_bytes);
            }
            Completion::Drained { connection } => {
                assert!(self.unsent.remove(&connection).is_some());
            }
            Completion::Closed { connection } => {
                assert!(
                    !self.marks.contains_key(&connection) && !self.unsent.contains_key(&connection)
                );
            }
            Completion::Refused { count } => self.refused += count,
            Completion::Connected { .. } | Completion::ConnectFailed { .. } => {
                panic!("nothing here connects")
            }
            Completion::Placed { connection, length } => {
                let mark = self.marks.get_mut(&connection).expect("a living connection");
                assert!(length > 0 && self.place.len() == length);
                self.operations.send(connection, mark, |out| out.extend_from_slice(&self.place));
                self.placed += 1;
            }
            Completion::Progress { .. } | Completion::Woken => {}
        }
    }

    fn until(
        &mut self,
        network: &Network,
        driver: &mut SimDriver,
        what: &str,
        done: impl Fn() -> bool,
    ) {
        for _ in 0..100_000 {
            if done() {
                return;
            }
            self.turn(driver, MOMENT);
        }
        panic!("{what} did not happen (seed {}): {}", network.seed(), self.trace);
    }
}

fn small() -> Settings {
    Settings {
        connections_max: 64,
        receive_buffers: 8,
        receive_buffer_bytes: 512,
        ..Settings::default()
    }
}

/// A client, the bytes that it sent, and those that came back.
type Talk = (Client, Vec<u8>, Vec<u8>);

/// Twenty clients that send and read by chance; returns the trace of the driver and their talks.
fn crowd(seed: u64, faults: Faults) -> (String, Vec<Talk>) {
    let network = Network::new(seed, faults);
    let mut driver = network.driver(small());
    let (mut echo, mut rng) = (Echo::default(), fastrand::Rng::with_seed(seed));
    let mut clients: Vec<Talk> =
        (0..20).map(|_| (network.connect(), Vec::new(), Vec::new())).collect();
    for _ in 0..200 {
        let (client, sent, got) = &mut clients[rng.usize(..20)];
        match rng.u8(..6) {
            0 => client.pause_reading(),
            1 => client.resume_reading(),
            2 => client.reads_at_most(100),
            _ => {
                let bytes: Vec<u8> = (0..rng.usize(..3_000)).map(|_| rng.u8(..)).collect();
                client.send(&bytes);
                sent.extend(bytes);
            }
        }
        got.extend(client.received());
        echo.turn(&mut driver, MOMENT);
    }
    for (client, ..) in &clients {
        client.resume_reading();
        client.half_close();
    }
    echo.until(&network, &mut driver, "all ends", || {
        clients.iter().all(|(client, ..)| client.is_closed())
    });
    for (client, _, got) in &mut clients {
        got.extend(client.received());
    }
    while driver.connections() > 0 || !network.is_quiet() {
        echo.turn(&mut driver, MOMENT);
    }
    assert_eq!((driver.leases_taken(), driver.connections()), (0, 0), "seed {seed}");
    assert!(echo.placed > 0, "seed {seed}: no bytes were received in a place");
    (echo.trace, clients)
}

#[test]
fn without_losses_every_byte_comes_back_in_order() {
    for seed in 0..60 {
        let lossless = Faults { reset: 0.0, refusal: 0.0, ..Faults::harsh() };
        for (client, sent, got) in crowd(seed, lossless).1 {
            assert!(client.saw_fin() && !client.saw_reset(), "seed {seed}");
            assert!(sent == got, "seed {seed}");
        }
    }
}

#[test]
fn under_any_faults_a_prefix_comes_back() {
    for seed in 0..60 {
        for (client, sent, got) in crowd(seed, Faults::harsh()).1 {
            assert!(sent.starts_with(&got), "seed {seed}");
            assert!(client.saw_reset() || sent == got, "seed {seed}");
        }
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    assert!(crowd(7, Faults::default()).0 == crowd(7, Faults::default()).0);
    assert!(crowd(7, Faults::default()).0 != crowd(8, Faults::default()).0);
}

/// A connection on a perfect network.
fn calm() -> (Network, SimDriver, Client, ConnectionId) {
    let network = Network::new(1, Faults::none());
    let mut driver = network.driver(small());
    let client = network.connect();
    driver.wait(None).unwrap();
    let Some(Completion::Accepted { connection, peer, .. }) = driver.next() else { panic!() };
    assert_eq!(peer, client.address());
    assert!(driver.next().is_none());
    (network, driver, client, connection)
}

fn submit(driver: &mut SimDriver, fill: impl FnOnce(&mut Operations)) -> Vec<String> {
    let mut operations = Operations::default();
    fill(&mut operations);
    driver.submit(&mut operations);
    driver.wait(Some(Duration::ZERO)).unwrap();
    let mut seen = Vec::new();
    while let Some(completion) = driver.next() {
        seen.push(format!("{completion:?}").split(' ').next().unwrap().to_owned());
    }
    seen
}

#[test]
fn virtual_time_jumps_when_nothing_can_run() {
    let (network, mut driver, client, _) = calm();
    driver.wait(Some(Duration::from_secs(3_600))).unwrap();
    assert!(driver.next().is_none());
    assert!(network.now() >= Duration::from_secs(3_600));
    client.send(b"x");
    let before = network.now();
    driver.wait(Some(Duration::from_secs(3_600))).unwrap();
    assert!(driver.next().is_some() && driver.next().is_none());
    assert!(network.now() - before < Duration::from_secs(1), "bytes end a wait");
}

#[test]
fn several_drivers_share_one_clock() {
    let network = Network::new(3, Faults::none());
    let (mut one, mut two) = (network.driver(small()), network.driver(small()));
    one.wait(Some(Duration::from_secs(60))).unwrap();
    assert!(network.now() < Duration::from_secs(1), "the other one is awake");
    two.wait(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(network.now().as_secs(), 1, "the earlier deadline");
    one.waker().wake();
    two.wait(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(network.now().as_secs(), 1, "the other one has been woken");
    one.wait(Some(Duration::from_secs(60))).unwrap();
    assert!(matches!(one.next(), Some(Completion::Woken)));
    assert!(one.next().is_none());
}

#[test]
fn returned_buffers_are_poisoned_and_short_ones_counted() {
    let (_network, mut driver, client, _) = calm();
    client.send(&[1; 10_000]);
    let mut received = 0;
    for _ in 0..20 {
        driver.wait(Some(MOMENT)).unwrap();
        while let Some(completion) = driver.next() {
            let Completion::Received { bytes, .. } = completion else { panic!() };
            assert!(!bytes.contains(&POISON));
            received += bytes.len();
        }
    }
    assert_eq!((received, driver.leases_taken()), (10_000, 0));
    assert_eq!(driver.counters().received_bytes, 10_000);
}

#[test]
fn too_few_buffers_only_delay() {
    let network = Network::new(5, Faults::none());
    let mut driver = network.driver(Settings { receive_buffers: 1, ..small() });
    let clients: Vec<_> = (0..4).map(|_| network.connect()).collect();
    clients.iter().for_each(|client| client.send(b"abc"));
    let mut received = 0;
    for _ in 0..10 {
        driver.wait(Some(MOMENT)).unwrap();
        while let Some(completion) = driver.next() {
            received += usize::from(matches!(completion, Completion::Received { .. }));
        }
    }
    assert_eq!(received, 4);
    assert!(driver.counters().buffer_shortages >= 3);
}

#[test]
fn a_reader_that_stops_fills_the_backlog_and_drains_it() {
    let (network, mut driver, client, name) = calm();
    client.pause_reading();
    let mark = SendMark::default;
    let seen = submit(&mut driver, |to| to.send_owned(name, &mut mark(), vec![7; 100_000], 0));
    assert_eq!(seen, ["Backlogged"]);
    assert_eq!(network.backlog_bytes_peak(), 100_000 - Faults::none().send_buffer_bytes);
    assert!(network.is_quiet());
    assert_eq!(submit(&mut driver, |to| to.push(Operation::Shutdown(name))), [""; 0]);
    assert!(!client.saw_fin());
    client.resume_reading();
    assert_eq!(submit(&mut driver, |_| ()), ["Drained"]);
    assert_eq!(submit(&mut driver, |_| ()), [""; 0]);
    assert_eq!(client.received(), [7; 100_000]);
    assert!(client.saw_fin());
}

#[test]
fn a_reset_is_reported_once_and_sends_no_fin() {
    let (network, mut driver, client, name) = calm();
    assert_eq!(submit(&mut driver, |to| to.push(Operation::Reset(name))), ["Closed"]);
    assert!(client.saw_reset() && !client.saw_fin());
    assert_eq!(submit(&mut driver, |to| to.push(Operation::Reset(name))), [""; 0]);
    assert!(network.is_quiet());
}

#[test]
fn a_close_is_reported_once() {
    let (network, mut driver, client, name) = calm();
    client.send(b"too late");
    assert_eq!(submit(&mut driver, |to| to.push(Operation::Close(name))), ["Closed"]);
    assert!(client.saw_reset(), "bytes were left unread");
    assert_eq!(submit(&mut driver, |to| to.push(Operation::Close(name))), [""; 0]);
    assert!(network.is_quiet());
    // The stale name does not touch the slot's next occupant.
    let other = network.connect();
    assert_eq!(submit(&mut driver, |to| to.push(Operation::Shutdown(name))), ["Accepted"]);
    assert!(!other.is_closed());
}

#[test]
fn a_pause_holds_bytes_back() {
    let (_network, mut driver, client, name) = calm();
    assert_eq!(submit(&mut driver, |to| to.push(Operation::PauseReceive(name))), [""; 0]);
    client.send(b"later");
    client.half_close();
    assert_eq!(submit(&mut driver, |_| ()), [""; 0]);
    let seen = submit(&mut driver, |to| to.push(Operation::ResumeReceive(name)));
    assert_eq!(seen, ["Received", "EndOfStream"]);
}

#[test]
fn a_send_to_a_client_that_is_gone_fails() {
    let (_network, mut driver, client, name) = calm();
    client.close();
    assert_eq!(submit(&mut driver, |_| ()), ["EndOfStream"]);
    let send = |to: &mut Operations| to.send(name, &mut SendMark::default(), |out| out.push(1));
    let mut seen = submit(&mut driver, send);
    for _ in 0..200 {
        seen.extend(submit(&mut driver, |_| ()));
    }
    assert_eq!(seen, ["Failed"]);
    assert_eq!(submit(&mut driver, send), [""; 0]);
}

#[test]
fn a_connection_without_a_listener_is_refused() {
    let (network, mut driver, client, _) = calm();
    submit(&mut driver, |to| to.push(Operation::StopAccepting));
    assert!(network.connect().saw_reset());
    assert!(!client.is_closed());
}

#[test]
fn a_full_table_refuses_connections() {
    let network = Network::new(9, Faults::none());
    let mut driver = network.driver(Settings { connections_max: 1, ..small() });
    let clients = [network.connect(), network.connect()];
    assert_eq!(submit(&mut driver, |_| ()), ["Refused", "Accepted"]);
    assert!(!clients[0].is_closed() && clients[1].saw_reset());
}

#[test]
#[should_panic(expected = "two sends for #0.0 in one turn (simulation seed 1)")]
fn two_sends_in_a_turn_are_a_fault() {
    let (_network, mut driver, _client, name) = calm();
    submit(&mut driver, |to| {
        to.send(name, &mut SendMark::default(), |out| out.push(1));
        to.send(name, &mut SendMark::default(), |out| out.push(2));
    });
}

#[test]
#[should_panic(expected = "#5.0 was never given out")]
fn an_unknown_connection_id_is_a_fault() {
    let (_network, mut driver, _client, _) = calm();
    submit(&mut driver, |to| to.push(Operation::Close(ConnectionId::new(5, 0))));
}

#[test]
#[should_panic(expected = "the turn was not read to its end")]
fn completions_that_are_never_taken_are_a_fault() {
    let (_network, mut driver, client, _) = calm();
    client.send(b"x");
    driver.wait(None).unwrap();
    driver.wait(None).unwrap();
}
