//! Cases: connections that this host begins.
//!
//! Their peers are sockets of the standard library, or the driver itself.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use ringway_acceptor::{
    ConnectFailure, ConnectToken, ConnectionId, Connector, Failure, Listener, Operation, SendMark,
    Settings, SocketOptions, descriptors::raise_limit,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::accept,
};

use crate::harness::{PATIENCE, Rig, Seen, Subject, loopback, pattern, reset};

fn kernel(errno: Errno) -> ConnectFailure {
    ConnectFailure::Kernel(Failure(errno.raw_os_error()))
}

/// An address without a listener.
fn nobody() -> SocketAddr {
    TcpListener::bind(loopback()).unwrap().local_addr().unwrap()
}

/// A connection to a peer outside the driver.
fn connected<D: Subject>(rig: &mut Rig<D>) -> (TcpStream, ConnectionId) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let token = rig.begin(listener.local_addr().unwrap());
    let name = rig.until_connected(token);
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (peer, name)
}

/// A listener that accepts no client: one client that is never accepted fills its queue
/// (listen(2)), so that the kernel answers no other.
fn blackhole() -> (Listener, TcpStream) {
    let listener = Listener::bind(loopback(), 0, &SocketOptions::default()).unwrap();
    let waiting = TcpStream::connect(listener.address()).unwrap();
    let mut queued = [PollFd::new(&listener, PollFlags::IN)];
    assert_eq!(poll(&mut queued, Some(&PATIENCE.try_into().unwrap())).unwrap(), 1);
    (listener, waiting)
}

fn closed(rig: &Rig<impl Subject>, name: ConnectionId) -> usize {
    rig.count(|seen| *seen == Seen::Closed(name))
}

pub fn a_connection_is_made_and_echoes<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut peer, name) = connected(&mut rig);
    assert!(matches!(rig.seen[..], [Seen::Connected(seen, _)] if seen == name));
    rig.send(name, b"ping");
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
    peer.write_all(b"pong").unwrap();
    rig.until("the echo", |rig| rig.received_len(name) == 4);
    assert_eq!(rig.received(name), b"pong");
    peer.shutdown(Shutdown::Write).unwrap();
    rig.until_seen(Seen::EndOfStream(name));
    rig.close(name);
    assert_eq!(peer.read(&mut bytes).unwrap(), 0);
    assert!(rig.settle() <= 4);
    assert_eq!(closed(&rig, name), 1);
}

pub fn a_peer_that_sends_first_is_received_after_connected<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    let token = rig.begin(listener.local_addr().unwrap());
    let greeter = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"hello, and goodbye").unwrap();
    });
    rig.turn(Duration::ZERO);
    // All bytes may be there before the driver reports the connection.
    greeter.join().unwrap();
    let name = rig.until_connected(token);
    rig.until_seen(Seen::EndOfStream(name));
    assert_eq!(rig.received(name), b"hello, and goodbye");
    assert_eq!(rig.seen.first(), Some(&Seen::Connected(name, token)));
}

pub fn a_slow_server_gets_every_byte<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut peer, name) = connected(&mut rig);
    let sent = pattern(24 << 20);
    rig.send(name, &sent);
    rig.until("a backlog", |rig| rig.backlogs(name).count() == 1);
    // The socket is non-blocking, unlike accepted ones; the driver still waits for room.
    assert!(rig.settle() <= 4, "it spins");
    rig.push(Operation::PauseReceive(name));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut bytes = vec![0; sent.len()];
            peer.read_exact(&mut bytes).unwrap();
            peer.write_all(b"thanks").unwrap();
            bytes
        });
        rig.until_seen(Seen::Drained(name));
        rig.until("the reader", |_| reader.is_finished());
        assert!(reader.join().unwrap() == sent);
    });
    rig.settle();
    assert_eq!(rig.received_len(name), 0, "receiving is paused");
    rig.push(Operation::ResumeReceive(name));
    rig.until("bytes", |rig| rig.received_len(name) == 6);
}

pub fn a_refused_attempt_fails_once<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let token = rig.begin(nobody());
    assert_eq!(rig.until_connect_failed(token), kernel(Errno::CONNREFUSED));
    rig.push(Operation::CancelConnect(token));
    assert!(rig.settle() <= 4, "it spins");
    assert_eq!(rig.seen.len(), 1);
}

/// The reset may come with the connect, so that the attempt fails, or right after it.
pub fn an_attempt_that_is_reset_at_once_fails<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    for round in 0..50 {
        let token = rig.begin(listener.local_addr().unwrap());
        if round % 2 == 0 {
            rig.turn(Duration::ZERO);
            reset(listener.accept().unwrap().0);
        } else {
            thread::scope(|scope| {
                scope.spawn(|| reset(listener.accept().unwrap().0));
                rig.turn(Duration::ZERO);
            });
        }
        rig.until("an answer", |rig| {
            rig.name(token).is_some() || rig.connect_failure(token).is_some()
        });
        match (rig.name(token), rig.connect_failure(token)) {
            (Some(name), None) => {
                rig.until("a failure", |rig| rig.has_failed(name));
                rig.close(name);
            }
            (None, Some(ConnectFailure::Kernel(failure))) => assert!(failure.is_reset()),
            other => panic!("{other:?}"),
        }
        rig.seen.clear();
    }
}

pub fn a_cancelled_attempt_is_answered_once<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (listener, _waiting) = blackhole();
    // Cancelled in the turn that begins it, and while the driver waits for it.
    for turns in 0..3 {
        rig.seen.clear();
        let token = rig.begin(listener.address());
        for _ in 0..turns {
            rig.turn(Duration::from_millis(5));
        }
        assert_eq!(rig.seen, [], "the attempt is not answered");
        rig.push(Operation::CancelConnect(token));
        rig.push(Operation::CancelConnect(token));
        assert_eq!(rig.until_connect_failed(token), ConnectFailure::Cancelled);
        rig.push(Operation::CancelConnect(token));
        assert!(rig.settle() <= 4, "it spins");
        assert_eq!(rig.seen, [Seen::ConnectFailed(token, ConnectFailure::Cancelled)]);
    }
}

pub fn a_cancel_races_with_the_outcome<D: Subject>() {
    let mut rig = Rig::<D>::with(Settings { connections_max: 8, ..Settings::default() });
    let listener = TcpListener::bind(loopback()).unwrap();
    for (index, target) in [listener.local_addr().unwrap(), nobody()].repeat(50).iter().enumerate()
    {
        let token = rig.begin(*target);
        if index % 4 < 2 {
            rig.turn(Duration::ZERO);
        }
        rig.push(Operation::CancelConnect(token));
        rig.until("an answer", |rig| {
            rig.name(token).is_some() || rig.connect_failure(token).is_some()
        });
        if let Some(name) = rig.name(token) {
            assert!(index % 4 < 2, "a cancelled attempt succeeds");
            rig.close(name);
        }
    }
    rig.settle();
    let answers = rig.count(|seen| matches!(seen, Seen::Connected(..) | Seen::ConnectFailed(..)));
    assert_eq!(answers, 100);
}

/// A token of an answered attempt, or of no attempt.
pub fn a_stale_token_is_ignored<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    let token = rig.begin(listener.local_addr().unwrap());
    let name = rig.until_connected(token);
    let (mut peer, _) = listener.accept().unwrap();
    rig.push(Operation::CancelConnect(token));
    rig.push(Operation::CancelConnect(ConnectToken(u64::MAX)));
    assert!(rig.settle() <= 4);
    assert_eq!(rig.seen, [Seen::Connected(name, token)]);
    rig.send(name, b"x");
    peer.read_exact(&mut [0; 1]).unwrap();
    // It is free for another attempt.
    let other = rig.begin(nobody());
    rig.until_connect_failed(other);
    rig.push(Operation::CancelConnect(other));
    rig.settle();
    assert_eq!(closed(&rig, name), 0);
}

pub fn a_close_right_after_connected_is_reported_once<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    for _ in 0..20 {
        let token = rig.begin(listener.local_addr().unwrap());
        let name = rig.until_connected(token);
        rig.push(Operation::CancelConnect(token));
        rig.push(Operation::Close(name));
        rig.push(Operation::Close(name));
        rig.until_seen(Seen::Closed(name));
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    }
    rig.settle();
    assert_eq!(rig.seen.len(), 40);
}

pub fn an_attempt_waits_until_it_is_answered<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (listener, waiting) = blackhole();
    let token = rig.begin(listener.address());
    assert!(rig.settle() <= 4, "it spins");
    assert_eq!(rig.seen, []);
    // With room in the queue, the kernel's next attempt (after one second) gets through.
    let admitted = accept(&listener).unwrap();
    drop((admitted, waiting));
    let name = rig.until_connected(token);
    let mut peer = TcpStream::from(accept(&listener).unwrap());
    rig.push(Operation::PauseReceive(name));
    rig.settle();
    peer.write_all(b"later").unwrap();
    rig.settle();
    assert_eq!(rig.received_len(name), 0, "the pause holds");
    rig.push(Operation::ResumeReceive(name));
    rig.until("bytes", |rig| rig.received_len(name) == 5);
    rig.send(name, b"in time");
    rig.close(name);
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"in time");
}

pub fn an_attempt_without_a_slot_fails_at_once<D: Subject>() {
    let mut rig = Rig::<D>::with(Settings { connections_max: 1, ..Settings::default() });
    let (_peer, name) = connected(&mut rig);
    let listener = TcpListener::bind(loopback()).unwrap();
    let token = rig.begin(listener.local_addr().unwrap());
    rig.turn(Duration::ZERO);
    assert_eq!(rig.connect_failure(token), Some(ConnectFailure::NoSlot));
    rig.close(name);
    let next = rig.begin(listener.local_addr().unwrap());
    rig.until_connected(next);
}

pub fn a_failed_attempt_frees_its_slot<D: Subject>() {
    let mut rig = Rig::<D>::with(Settings { connections_max: 1, ..Settings::default() });
    let (full, _waiting) = blackhole();
    for _ in 0..5 {
        let refused = rig.begin(nobody());
        rig.until_connect_failed(refused);
        let hanging = rig.begin(full.address());
        rig.turn(Duration::ZERO);
        let crowded = rig.begin(full.address());
        assert_eq!(rig.until_connect_failed(crowded), ConnectFailure::NoSlot);
        rig.push(Operation::CancelConnect(hanging));
        assert_eq!(rig.until_connect_failed(hanging), ConnectFailure::Cancelled);
    }
    // An accepted client also takes the slot.
    rig.client();
}

pub fn an_attempt_from_a_foreign_source_fails_at_once<D: Subject>() {
    let mut rig = Rig::<D>::new();
    // RFC 5737 §3: no host has an address in TEST-NET-1.
    let foreign = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let token = rig.begin_with(Connector::new(rig.address), foreign);
    rig.turn(Duration::ZERO);
    assert_eq!(rig.connect_failure(token), Some(kernel(Errno::ADDRNOTAVAIL)));
}

pub fn connections_come_from_the_source_given<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let connector = Connector::new(rig.address);
    let sources = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    for source in sources {
        rig.begin_with(connector, Some(source));
    }
    rig.until("both ends of both", |rig| rig.seen.len() == 4);
    let accepted = rig.seen.iter().filter_map(|seen| match seen {
        Seen::Accepted(_, _, peer) => Some(peer.ip()),
        _ => None,
    });
    assert_eq!(accepted.collect::<BTreeSet<_>>(), BTreeSet::from(sources));
}

pub fn a_thousand_attempts_of_one_turn_succeed<D: Subject>() {
    const COUNT: usize = 1_000;
    raise_limit().unwrap();
    // Fewer entries than attempts: the ring is flushed in between.
    let mut rig = Rig::<D>::with(Settings { submission_entries: 256, ..Settings::default() });
    let tokens: Vec<_> = (0..COUNT).map(|_| rig.begin(rig.address)).collect();
    rig.until("both ends of all", |rig| rig.seen.len() == 2 * COUNT);
    let names: Vec<_> = tokens.iter().map(|token| rig.name(*token).unwrap()).collect();
    assert_eq!(names.iter().map(|name| name.slot()).collect::<BTreeSet<_>>().len(), COUNT);
    for name in &names {
        rig.operations.send(*name, &mut SendMark::default(), |out| out.push(b'x'));
    }
    rig.until("a byte of each", |rig| rig.driver.counters().received_bytes == COUNT as u64);
}

/// Attempts that hang occupy slots, but no more than exist.
pub fn attempts_without_an_answer_are_bounded<D: Subject>() {
    const COUNT: usize = 3_000;
    const MAX: usize = 500;
    raise_limit().unwrap();
    let settings = Settings { connections_max: MAX as u32, ..Settings::default() };
    let mut rig = Rig::<D>::with(settings);
    let (full, _waiting) = blackhole();
    let tokens: Vec<_> = (0..COUNT).map(|_| rig.begin(full.address())).collect();
    rig.turn(Duration::ZERO);
    rig.turn(Duration::ZERO);
    let crowded = |seen: &Seen| matches!(seen, Seen::ConnectFailed(_, ConnectFailure::NoSlot));
    assert_eq!((rig.count(crowded), rig.seen.len()), (COUNT - MAX, COUNT - MAX));
    for token in tokens {
        rig.push(Operation::CancelConnect(token));
    }
    rig.until("every answer", |rig| rig.seen.len() == COUNT);
    assert!(rig.settle() <= 4, "it spins");
    rig.client();
}
