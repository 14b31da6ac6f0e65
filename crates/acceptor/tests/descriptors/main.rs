//! Descriptors: none leaks, and a core without any left neither fails nor spins.
//!
//! It is the only test in its process: it counts and limits the descriptors of the whole process.

#[path = "../contract/harness.rs"]
#[allow(dead_code, reason = "shared with the contract's cases")]
mod harness;

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use harness::{Rig, Seen, Subject, loopback, reset};
use ringway_acceptor::{
    ConnectFailure, Failure, Listener, Operation, Settings, SocketOptions, descriptors::raise_limit,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

#[test]
fn descriptors_do_not_leak_and_accepting_recovers_when_they_run_out() {
    raise_limit().unwrap();
    cases::<ringway_acceptor::epoll::EpollDriver>();
    cases::<ringway_acceptor::uring::UringDriver>();
}

fn cases<D: Subject>() {
    if D::is_offered() {
        churn_leaks_nothing::<D>();
        connecting_leaks_nothing::<D>();
        connecting_without_a_descriptor_fails_and_nothing_else::<D>();
        the_last_descriptor_is_survived::<D>();
        a_missing_reserve_is_survived::<D>();
    }
}

fn open() -> BTreeSet<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    // The directory's own descriptor is among them.
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Leaves room for exactly `free` more descriptors.
fn leave(free: usize) {
    let open = open();
    let directory =
        (0..).find(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_err());
    let unused = (0..).filter(|number| !open.contains(number) || Some(*number) == directory);
    let limit = unused.take(free + 1).last();
    set_soft_limit(limit);
}

fn leave_plenty() {
    set_soft_limit(getrlimit(Resource::Nofile).maximum);
}

fn set_soft_limit(current: Option<u64>) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

fn accepted(rig: &Rig<impl Subject>) -> usize {
    rig.count(|seen| matches!(seen, Seen::Accepted(..)))
}

fn refused(rig: &Rig<impl Subject>) -> u32 {
    rig.seen.iter().map(|seen| if let Seen::Refused(count) = seen { *count } else { 0 }).sum()
}

fn clients(rig: &Rig<impl Subject>, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| rig.connect()).collect()
}

/// Connections that end in every possible way.
fn churn_leaks_nothing<D: Subject>() {
    let before = open().len();
    let mut rig = Rig::<D>::with(Settings { connections_max: 50, ..Settings::default() });
    rig.turn(Duration::ZERO);
    let idle = open().len();
    for round in 0..40 {
        let clients: Vec<_> = (0..25).map(|_| rig.client()).collect();
        for (index, (mut client, name)) in clients.into_iter().enumerate() {
            match (round + index) % 5 {
                0 => drop(client),
                1 => reset(client),
                2 => client.write_all(b"unread").unwrap(),
                3 => rig.send(name, &vec![0; 4 << 20]),
                _ => rig.push(Operation::Shutdown(name)),
            }
            rig.push(Operation::Close(name));
        }
        rig.until("the closes", |rig| {
            rig.count(|seen| matches!(seen, Seen::Closed(_))) == (round + 1) * 25
        });
    }
    assert_eq!(open().len(), idle);
    assert_eq!(rig.driver.counters().accepted, 1_000);
    drop(rig);
    assert_eq!(open().len(), before);
}

/// Connections that are established, refused, and never answered; half of them are closed, the rest
/// is dropped with the driver.
fn connecting_leaks_nothing<D: Subject>() {
    let before = open().len();
    let mut rig = Rig::<D>::new();
    let nobody = Listener::bind(loopback(), 1, &SocketOptions::default()).unwrap().address();
    let full = Listener::bind(loopback(), 0, &SocketOptions::default()).unwrap();
    let targets = [rig.address, nobody, full.address()].repeat(20);
    for (index, target) in targets.into_iter().enumerate() {
        let token = rig.begin(target);
        match index % 4 {
            0 => {
                rig.turn(Duration::ZERO);
                rig.push(Operation::CancelConnect(token));
                rig.until("an answer", |rig| {
                    rig.name(token).is_some() || rig.connect_failure(token).is_some()
                });
            }
            1 => rig.push(Operation::CancelConnect(token)),
            _ => rig.turn(Duration::ZERO),
        }
    }
    rig.settle();
    let failed = |rig: &Rig<D>, wanted: fn(&ConnectFailure) -> bool| {
        rig.count(|seen| matches!(seen, Seen::ConnectFailed(_, failure) if wanted(failure)))
    };
    let cancelled = failed(&rig, |failure| *failure == ConnectFailure::Cancelled);
    let refused = failed(&rig, |failure| matches!(failure, ConnectFailure::Kernel(_)));
    let connected = rig.count(|seen| matches!(seen, Seen::Connected(..)));
    assert!(connected > 0 && refused > 0 && cancelled >= 15, "{:?}", rig.seen);
    drop(rig);
    drop(full);
    assert_eq!(open().len(), before);
}

/// The attempt is answered in its turn; clients and other connections are not affected.
fn connecting_without_a_descriptor_fails_and_nothing_else<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    leave(0);
    let token = rig.begin(rig.address);
    rig.turn(Duration::ZERO);
    let none_left = ConnectFailure::Kernel(Failure(rustix::io::Errno::MFILE.raw_os_error()));
    assert_eq!(rig.connect_failure(token), Some(none_left));
    leave_plenty();
    client.write_all(b"served").unwrap();
    rig.until("bytes", |rig| rig.received_len(name) == 6);
    let token = rig.begin(rig.address);
    rig.until_connected(token);
}

fn the_last_descriptor_is_survived<D: Subject>() {
    // No turn before the limit is lowered: an accept that io_uring has armed keeps the old limit.
    let mut rig = Rig::<D>::new();
    let mut first = clients(&rig, 20);
    leave(5);
    rig.until("all clients", |rig| accepted(rig) + refused(rig) as usize == 20);
    assert_eq!(accepted(&rig), 5);
    for client in &mut first[5..] {
        assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)), "turned away at once");
    }
    for _ in 0..3 {
        leave_plenty();
        first.extend(clients(&rig, 5));
        leave(0);
        assert!(rig.turns_during(Duration::from_millis(300)) <= 20, "it spins");
    }
    assert_eq!((accepted(&rig), refused(&rig)), (5, 30));
    // Existing connections are served meanwhile.
    let Seen::Accepted(name, ..) = rig.seen[0] else { panic!("{:?}", rig.seen) };
    first[0].write_all(b"served").unwrap();
    rig.until("bytes", |rig| rig.received_len(name) == 6);

    // A close frees a descriptor for the next client, whose own socket is made before.
    leave_plenty();
    let late = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    leave(0);
    rig.close(name);
    late.connect(&rig.address.into()).unwrap();
    rig.until("the late client", |rig| accepted(rig) == 6);
    drop(late);
    leave_plenty();
}

/// Without a reserve descriptor no client can be refused: clients wait, the driver sleeps.
/// (A driver that opens its reserve before its last other descriptor has one anyway.)
fn a_missing_reserve_is_survived<D: Subject>() {
    let mut rig = (0..)
        .find_map(|free| {
            let listener = Listener::bind(loopback(), 64, &SocketOptions::default()).unwrap();
            let address = listener.address();
            leave(free);
            let driver = D::build(Settings::default(), vec![listener]);
            leave_plenty();
            Some(Rig::around(driver.ok()?, address))
        })
        .unwrap();
    let _waiting = clients(&rig, 3);
    leave(0);
    assert!(rig.turns_during(Duration::from_millis(300)) <= 12, "it spins");
    assert_eq!(accepted(&rig), 0);
    leave_plenty();
    rig.until("the clients", |rig| accepted(rig) + refused(rig) as usize == 3);
    let (mut late, name) = rig.client();
    late.write_all(b"patience").unwrap();
    rig.until("bytes", |rig| rig.received_len(name) == 8);
}
