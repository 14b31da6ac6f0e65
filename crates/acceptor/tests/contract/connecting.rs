//! Cases: connections that this host begins.
//!
//! Their peers are sockets of the standard library, or the driver itself.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread,
    time::Duration,
};

use ringway_acceptor::{
    Connection, Connector, Failure, Listener, Operation, SendMark, Settings, SocketOptions,
    descriptors::raise_limit,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{accept, getsockname},
};

use crate::harness::{PATIENCE, Rig, Seen, Subject, loopback, pattern, reset};

fn begin<D: Subject>(rig: &mut Rig<D>, target: SocketAddr) -> Connection {
    let socket = Connector::new(target).begin(None).unwrap();
    rig.driver.connect(socket).unwrap()
}

/// A connection to a peer that is not the driver's.
fn connected<D: Subject>(rig: &mut Rig<D>) -> (TcpStream, Connection) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let name = begin(rig, listener.local_addr().unwrap());
    rig.until_seen(Seen::Connected(name));
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (peer, name)
}

/// Listens, and lets nobody in: one client that is never accepted fills its queue (listen(2)), so
/// that the kernel answers no other.
fn blackhole() -> (Listener, TcpStream) {
    let listener = Listener::bind(loopback(), 0, &SocketOptions::default()).unwrap();
    let waiting = TcpStream::connect(listener.address()).unwrap();
    let mut queued = [PollFd::new(&listener, PollFlags::IN)];
    assert_eq!(poll(&mut queued, Some(&PATIENCE.try_into().unwrap())).unwrap(), 1);
    (listener, waiting)
}

fn closed(rig: &Rig<impl Subject>, name: Connection) -> usize {
    rig.count(|seen| *seen == Seen::Closed(name))
}

pub fn a_connection_is_made_and_echoes<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut peer, name) = connected(&mut rig);
    assert_eq!(rig.seen, [Seen::Connected(name)]);
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

pub fn a_peer_that_speaks_first_is_heard_after_connected<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    let name = begin(&mut rig, listener.local_addr().unwrap());
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"hello, and goodbye").unwrap();
    drop(peer);
    rig.until_seen(Seen::EndOfStream(name));
    assert_eq!(rig.received(name), b"hello, and goodbye");
    assert_eq!(rig.seen.first(), Some(&Seen::Connected(name)));
    assert_eq!(rig.count(|seen| *seen == Seen::Connected(name)), 1);
}

pub fn a_slow_peer_of_ours_gets_every_byte<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut peer, name) = connected(&mut rig);
    let sent = pattern(24 << 20);
    rig.send(name, &sent);
    rig.until("a backlog", |rig| rig.backlogs(name).count() == 1);
    // The socket is non-blocking, as no accepted one is: the driver waits for room all the same.
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

pub fn a_refused_connection_fails_once<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let nobody = TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    let name = begin(&mut rig, nobody);
    let refused = Seen::Failed(name, Failure(rustix::io::Errno::CONNREFUSED.raw_os_error()));
    rig.until_seen(refused);
    rig.send(name, b"to nobody");
    assert!(rig.settle() <= 4, "it spins");
    assert_eq!(rig.seen, [refused]);
    rig.close(name);
    rig.settle();
    assert_eq!(rig.seen, [refused, Seen::Closed(name)]);
}

pub fn a_connection_that_is_reset_at_once_fails<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    let name = begin(&mut rig, listener.local_addr().unwrap());
    reset(listener.accept().unwrap().0);
    rig.until("a failure", |rig| rig.has_failed(name));
    let told = rig.count(|seen| matches!(seen, Seen::Failed(_, failure) if failure.is_reset()));
    assert_eq!(told, 1, "{:?}", rig.seen);
    rig.close(name);
}

pub fn a_close_while_connecting_is_told_once<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (listener, _waiting) = blackhole();
    // In the turn of its beginning, and once the driver waits for it.
    for turns in 0..3 {
        rig.seen.clear();
        let name = begin(&mut rig, listener.address());
        for _ in 0..turns {
            rig.turn(Duration::from_millis(5));
        }
        assert_eq!(rig.seen, [], "it is not established");
        rig.push(Operation::Close(name));
        rig.push(Operation::Close(name));
        rig.until_seen(Seen::Closed(name));
        rig.push(Operation::Close(name));
        assert!(rig.settle() <= 4, "it spins");
        assert_eq!(rig.seen, [Seen::Closed(name)]);
    }
}

pub fn a_close_races_with_the_outcome<D: Subject>() {
    let mut rig = Rig::<D>::with(Settings { connections_max: 8, ..Settings::default() });
    let listener = TcpListener::bind(loopback()).unwrap();
    let nobody = TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    for target in [listener.local_addr().unwrap(), nobody].repeat(50) {
        let name = begin(&mut rig, target);
        rig.push(Operation::Close(name));
        rig.until_seen(Seen::Closed(name));
    }
    rig.settle();
    assert_eq!(rig.count(|seen| matches!(seen, Seen::Closed(_))), 100);
}

pub fn what_is_asked_before_connected_harms_nothing<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (listener, waiting) = blackhole();
    let name = begin(&mut rig, listener.address());
    rig.operations.send(name, &mut SendMark::default(), |out| out.extend_from_slice(b"too early"));
    rig.push(Operation::Shutdown(name));
    rig.push(Operation::PauseReceive(name));
    assert!(rig.settle() <= 4, "it spins");
    assert_eq!(rig.seen, []);
    // With room in the queue, the kernel's next attempt (after one second) gets through.
    let admitted = accept(&listener).unwrap();
    drop((admitted, waiting));
    rig.until_seen(Seen::Connected(name));
    let mut peer = TcpStream::from(accept(&listener).unwrap());
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

pub fn a_full_table_gives_the_descriptor_back<D: Subject>() {
    let mut rig = Rig::<D>::with(Settings { connections_max: 1, ..Settings::default() });
    let (_peer, name) = connected(&mut rig);
    let listener = TcpListener::bind(loopback()).unwrap();
    let connector = Connector::new(listener.local_addr().unwrap());
    let socket = connector.begin(None).unwrap();
    let number = socket.as_raw_fd();
    let socket = rig.driver.connect(socket).unwrap_err();
    assert_eq!(socket.as_raw_fd(), number);
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(accepted.peer_addr().unwrap(), TcpStream::from(socket).local_addr().unwrap());
    rig.close(name);
    let next = rig.driver.connect(connector.begin(None).unwrap()).unwrap();
    rig.until_seen(Seen::Connected(next));
}

pub fn connections_come_from_the_source_given<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let connector = Connector::new(rig.address);
    let sources = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    for source in sources {
        rig.driver.connect(connector.begin(Some(source)).unwrap()).unwrap();
    }
    rig.until("both ends of both", |rig| rig.seen.len() == 4);
    let seen: BTreeSet<_> = peers(&rig).iter().map(SocketAddr::ip).collect();
    assert_eq!(seen, BTreeSet::from(sources));
}

/// The addresses of those that the driver let in.
fn peers(rig: &Rig<impl Subject>) -> BTreeSet<SocketAddr> {
    let address = |seen: &Seen| match seen {
        Seen::Accepted(_, _, peer) => Some(*peer),
        _ => None,
    };
    rig.seen.iter().filter_map(address).collect()
}

pub fn a_thousand_connections_of_one_turn_arrive<D: Subject>() {
    const COUNT: usize = 1_000;
    raise_limit().unwrap();
    // Fewer entries than connections: the ring is flushed in between.
    let mut rig = Rig::<D>::with(Settings { submission_entries: 256, ..Settings::default() });
    let connector = Connector::new(rig.address);
    let (names, addresses): (Vec<_>, BTreeSet<_>) = (0..COUNT)
        .map(|_| {
            let socket = connector.begin(None).unwrap();
            let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
            (rig.driver.connect(socket).unwrap(), address)
        })
        .unzip();
    rig.until("both ends of all", |rig| rig.seen.len() == 2 * COUNT);
    assert_eq!(peers(&rig), addresses);
    let connected: BTreeSet<_> = rig.seen.iter().filter_map(slot_connected).collect();
    assert_eq!(connected, names.iter().map(|name| name.slot()).collect());
    for name in &names {
        rig.operations.send(*name, &mut SendMark::default(), |out| out.push(b'x'));
    }
    rig.until("a byte of each", |rig| rig.driver.counters().received_bytes == COUNT as u64);
}

fn slot_connected(seen: &Seen) -> Option<u32> {
    if let Seen::Connected(name) = seen { Some(name.slot()) } else { None }
}
