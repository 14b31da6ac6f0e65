//! Cases: clients that connect, too many clients, and listeners that are closed.
//!
//! `tests/descriptors` covers running out of descriptors.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use ringway_acceptor::{Listener, Operation, Settings, SocketOptions};

use crate::harness::{Rig, Seen, Subject, loopback};

pub fn a_client_is_accepted_with_its_address<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (client, name) = rig.client();
    assert_eq!(rig.seen, [Seen::Accepted(name, 0, client.local_addr().unwrap())]);
}

pub fn each_listener_has_its_index<D: Subject>() {
    let listeners: Vec<_> = (0..3)
        .map(|_| Listener::bind(loopback(), 16, &SocketOptions::default()).unwrap())
        .collect();
    let addresses: Vec<_> = listeners.iter().map(Listener::address).collect();
    let mut rig = Rig::<D>::with_listeners(Settings::default(), listeners);
    for (index, address) in (0..).zip(addresses) {
        rig.address = address;
        let (client, name) = rig.client();
        assert!(rig.seen.contains(&Seen::Accepted(name, index, client.local_addr().unwrap())));
    }
}

fn settle(rigs: &mut [Rig<impl Subject>]) {
    for rig in rigs {
        rig.settle();
    }
}

pub fn cores_take_turns_at_a_shared_socket<D: Subject>() {
    let maker = TcpListener::bind(loopback()).unwrap();
    let descriptor = maker.try_clone().unwrap().into();
    let first = Listener::inherit(descriptor, &SocketOptions::default()).unwrap();
    let second = first.sibling().unwrap();
    let mut rigs =
        [first, second].map(|one| Rig::<D>::with_listeners(Settings::default(), vec![one]));
    settle(&mut rigs);
    let mut clients = Vec::new();
    while clients.len() < 100 {
        clients.push(rigs[0].connect());
        // If the kernel does not choose, the first core to look gets the client.
        rigs.iter_mut().for_each(|rig| rig.turn(Duration::ZERO));
        rigs.reverse();
    }
    settle(&mut rigs);
    let [first, second] = rigs.each_ref().map(|rig| rig.seen.len());
    assert_eq!(first + second, clients.len());
    assert!(first.min(second) >= 25, "{first} and {second} clients");
    // The process that bound the socket still accepts after both cores have stopped.
    for rig in &mut rigs {
        rig.push(Operation::StopAccepting);
        assert!(rig.settle() <= 4);
    }
    let _waiting = TcpStream::connect(maker.local_addr().unwrap()).unwrap();
    settle(&mut rigs);
    assert_eq!(rigs.each_ref().map(|rig| rig.seen.len()), [first, second]);
    maker.accept().unwrap();
}

pub fn a_burst_of_clients_is_accepted<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let clients: Vec<_> = (0..600).map(|_| rig.connect()).collect();
    rig.until("all", |rig| rig.seen.len() == clients.len());
    let mut peers: Vec<_> = rig
        .seen
        .iter()
        .map(|seen| if let Seen::Accepted(_, _, peer) = seen { *peer } else { panic!("{seen:?}") })
        .collect();
    let mut addresses: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
    peers.sort_unstable();
    addresses.sort_unstable();
    assert_eq!(peers, addresses);
}

fn refused(rig: &Rig<impl Subject>) -> u32 {
    rig.seen.iter().map(|seen| if let Seen::Refused(count) = seen { *count } else { 0 }).sum()
}

fn is_turned_away(mut client: TcpStream) -> bool {
    matches!(client.read(&mut [0; 1]), Ok(0) | Err(_))
}

pub fn one_client_too_many_is_refused_and_the_next_is_not<D: Subject>() {
    let mut rig = Rig::<D>::with(Settings { connections_max: 2, ..Settings::default() });
    let ((mut first, one), (_second, two)) = (rig.client(), rig.client());
    let third = rig.connect();
    rig.until("a refusal", |rig| refused(rig) == 1);
    assert!(is_turned_away(third));
    first.write_all(b"still here").unwrap();
    rig.until("bytes", |rig| rig.received_len(one) == 10);
    rig.close(two);
    let (_fourth, four) = rig.client();
    assert_ne!(two, four);
    assert_eq!((rig.driver.counters().accepted, rig.driver.counters().refused), (3, 1));
}

pub fn a_full_table_never_spins<D: Subject>() {
    let mut rig = Rig::<D>::with(Settings { connections_max: 1, ..Settings::default() });
    let _held = rig.client();
    let waiting: Vec<_> = (0..200).map(|_| rig.connect()).collect();
    rig.until("refusals", |rig| refused(rig) == 200);
    assert!(rig.settle() <= 4);
    assert!(waiting.into_iter().all(is_turned_away));
}

pub fn stop_accepting_keeps_connections<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    rig.push(Operation::StopAccepting);
    rig.settle();
    assert!(TcpStream::connect(rig.address).is_err());
    client.write_all(b"hello").unwrap();
    rig.until("bytes", |rig| rig.received_len(name) == 5);
    rig.send(name, b"back");
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"back");
    rig.push(Operation::StopAccepting);
    assert!(rig.settle() <= 4);
}

pub fn events_are_counted<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    client.write_all(&[7; 100]).unwrap();
    rig.until("bytes", |rig| rig.received_len(name) == 100);
    rig.send(name, &vec![0; 64 << 20]);
    rig.until("a short send", |rig| rig.driver.counters().short_sends == 1);
    let counters = rig.driver.counters();
    assert_eq!((counters.accepted, counters.refused), (1, 0));
    assert_eq!(counters.received_bytes, 100);
    assert_eq!(counters.completions, rig.seen.len() as u64);
    assert!(counters.turns > 0);
}
