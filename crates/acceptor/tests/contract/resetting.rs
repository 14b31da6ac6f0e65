//! Cases: a reset that reaches a socket together with bytes, so that one look finds both.
//!
//! A peer that has reset its connection sends nothing more. If the driver does not report the
//! failure, the connection lives until a time-out ends it.

use std::{
    io::Write,
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use ringway_acceptor::{ConnectFailure, ConnectionId, Operation, Settings};

use crate::harness::{Rig, SETTLED, Seen, Subject, loopback, pattern, reset};

/// Enough clients to expose a race with the kernel.
const CLIENTS: usize = 100;

/// Sends bytes and at once a reset: both arrive before the driver looks.
fn send_and_reset(mut client: TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    reset(client);
}

fn accepted(rig: &Rig<impl Subject>) -> Vec<ConnectionId> {
    let names = rig.seen.iter().filter_map(|seen| match seen {
        Seen::Accepted(name, _, peer) => {
            assert!(!peer.ip().is_unspecified(), "a client without an address");
            Some(*name)
        }
        _ => None,
    });
    names.collect()
}

/// All of them have failed, and leave nothing behind.
fn all_fail<D: Subject>(rig: &mut Rig<D>, names: &[ConnectionId]) {
    rig.until("every failure", |rig| names.iter().all(|name| rig.has_failed(*name)));
    for name in names {
        rig.push(Operation::Close(*name));
    }
    for name in names {
        rig.until_seen(Seen::Closed(*name));
    }
    assert!(rig.settle() <= 4);
}

pub fn clients_that_reset_before_the_accept_leave_nothing<D: Subject>() {
    let mut rig = Rig::<D>::new();
    for _ in 0..CLIENTS {
        send_and_reset(rig.connect(), b"GET /poll?client=x&wait=20 HTTP/1.1\r\n");
    }
    rig.settle();
    let names = accepted(&rig);
    all_fail(&mut rig, &names);
}

pub fn clients_that_reset_during_the_accept_leave_nothing<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let address = rig.address;
    let clients = thread::spawn(move || {
        for _ in 0..5 * CLIENTS {
            send_and_reset(TcpStream::connect(address).unwrap(), b"half a he");
        }
    });
    rig.until("the last client", |_| clients.is_finished());
    rig.settle();
    let names = accepted(&rig);
    all_fail(&mut rig, &names);
}

/// The core was busy with other clients while both arrived.
pub fn bytes_and_a_reset_of_one_turn_are_both_reported<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (clients, names): (Vec<_>, Vec<_>) = (0..CLIENTS).map(|_| rig.client()).unzip();
    for client in clients {
        send_and_reset(client, b"the last message");
    }
    all_fail(&mut rig, &names);
    for name in names {
        assert_eq!(rig.received(name), b"the last message");
    }
}

pub fn bytes_and_a_reset_during_a_pause_are_both_reported<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (clients, names): (Vec<_>, Vec<_>) = (0..CLIENTS).map(|_| rig.client()).unzip();
    for name in &names {
        rig.push(Operation::PauseReceive(*name));
    }
    rig.settle();
    for client in clients {
        send_and_reset(client, b"the last message");
    }
    assert!(rig.settle() <= 4);
    for name in &names {
        rig.push(Operation::ResumeReceive(*name));
    }
    all_fail(&mut rig, &names);
}

/// A cancel is in progress while bytes and the reset arrive.
pub fn bytes_and_a_reset_around_a_cancel_are_both_reported<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (clients, names): (Vec<_>, Vec<_>) = (0..CLIENTS).map(|_| rig.client()).unzip();
    for (client, name) in clients.into_iter().zip(&names) {
        rig.push(Operation::PauseReceive(*name));
        rig.push(Operation::ResumeReceive(*name));
        send_and_reset(client, b"the last message");
    }
    all_fail(&mut rig, &names);
}

/// io_uring finds no buffer for most of them (ENOBUFS), and receives again later.
pub fn bytes_and_a_reset_without_buffers_are_both_reported<D: Subject>() {
    let settings =
        Settings { receive_buffers: 2, receive_buffer_bytes: 256, ..Settings::default() };
    let mut rig = Rig::<D>::with(settings);
    let (clients, names): (Vec<_>, Vec<_>) = (0..CLIENTS).map(|_| rig.client()).unzip();
    for client in clients {
        send_and_reset(client, &pattern(700));
    }
    all_fail(&mut rig, &names);
    for name in names {
        assert_eq!(rig.received(name), pattern(700));
    }
}

/// The receive ends by its own bound (on io_uring after 128 KiB) exactly where the reset is.
pub fn bytes_and_a_reset_at_a_bound_are_both_reported<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let sizes = [32 << 10, 64 << 10, 128 << 10, (128 << 10) + 1];
    for size in sizes {
        let (client, name) = rig.client();
        // The reset discards bytes that the driver's socket does not take at once.
        client.set_nonblocking(true).unwrap();
        let _ = (&client).write(&pattern(size));
        reset(client);
        all_fail(&mut rig, &[name]);
    }
}

/// The peer of a connection that this host begins sends bytes and resets it.
pub fn a_peer_that_sends_and_resets_at_once_fails<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let listener = TcpListener::bind(loopback()).unwrap();
    let target = listener.local_addr().unwrap();
    let mut tokens = Vec::new();
    for round in 0..CLIENTS {
        let token = rig.begin(target);
        tokens.push(token);
        rig.turn(Duration::ZERO);
        let (peer, _) = listener.accept().unwrap();
        if round % 2 == 0 {
            rig.until_connected(token);
        }
        send_and_reset(peer, b"greeting");
    }
    // Attempts whose reset came first were never connected.
    rig.until("every answer", |rig| {
        tokens.iter().all(|token| {
            rig.name(*token)
                .or_else(|| {
                    let ConnectFailure::Kernel(failure) = rig.connect_failure(*token)? else {
                        panic!()
                    };
                    assert!(failure.is_reset(), "{failure}");
                    Some(ConnectionId::new(0, 0))
                })
                .is_some()
        })
    });
    let names: Vec<_> = tokens.iter().filter_map(|token| rig.name(*token)).collect();
    assert!(names.len() >= CLIENTS / 2);
    all_fail(&mut rig, &names);
}

/// A backlog is still queued when the bytes and the reset arrive.
pub fn bytes_and_a_reset_with_a_backlog_are_reported<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let mut names = Vec::new();
    for _ in 0..10 {
        let (client, name) = rig.client();
        rig.send(name, &vec![1; 8 << 20]);
        rig.until("a backlog", |rig| rig.backlogs(name).count() > 0);
        send_and_reset(client, b"enough");
        names.push(name);
    }
    all_fail(&mut rig, &names);
}

/// After our FIN a peer may still send, and then reset.
pub fn bytes_and_a_reset_after_our_fin_are_both_reported<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (clients, names): (Vec<_>, Vec<_>) = (0..CLIENTS).map(|_| rig.client()).unzip();
    for name in &names {
        rig.push(Operation::Shutdown(*name));
    }
    rig.settle();
    for mut client in clients.iter() {
        client.write_all(b"still talking").unwrap();
    }
    rig.settle();
    assert_eq!(rig.count(|seen| matches!(seen, Seen::Failed(..))), 0, "our FIN is no failure");
    for client in clients {
        send_and_reset(client, b"the last message");
    }
    all_fail(&mut rig, &names);
}

/// A live connection is not mistaken for a broken one, whatever it sends.
pub fn bytes_without_a_reset_are_no_failure<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (clients, names): (Vec<_>, Vec<_>) = (0..CLIENTS).map(|_| rig.client()).unzip();
    for mut client in clients.iter() {
        client.write_all(b"hello").unwrap();
    }
    rig.until("the bytes", |rig| names.iter().all(|name| rig.received_len(*name) == 5));
    assert!(rig.turns_during(SETTLED) <= 4, "asking after a connection spins");
    for client in &clients {
        client.shutdown(Shutdown::Write).unwrap();
    }
    for name in &names {
        rig.until_seen(Seen::EndOfStream(*name));
    }
    assert_eq!(rig.count(|seen| matches!(seen, Seen::Failed(..))), 0);
}
