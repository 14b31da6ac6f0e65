//! Cases: closing, and names that outlive their connection.
//!
//! Operations on a void name are ignored.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use ringway_acceptor::{ConnectionId, Operation, SendMark, Settings};

use crate::harness::{Rig, Seen, Subject, reset};

fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset also ends the stream; only a time-out would not.
    if let Err(error) = client.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    bytes
}

pub fn a_closed_peer_notices_at_once<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    rig.close(name);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "FIN and not RST");
    rig.settle();
    assert_eq!(rig.seen.last(), Some(&Seen::Closed(name)));
}

pub fn the_last_send_arrives_before_the_close<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    rig.operations.send(name, &mut SendMark::default(), |out| out.extend_from_slice(b"goodbye"));
    rig.close(name);
    assert_eq!(read_to_end(&mut client), b"goodbye");
}

pub fn a_close_drops_the_backlog<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let bytes = 24 << 20;
    rig.send(name, &vec![1; bytes]);
    rig.until("a backlog", |rig| rig.count(|seen| matches!(seen, Seen::Backlogged(..))) == 1);
    rig.close(name);
    assert!(read_to_end(&mut client).len() < bytes);
    rig.settle();
    assert_eq!(rig.seen.last(), Some(&Seen::Closed(name)));
}

/// Bytes in the kernel's send queue never arrive.
pub fn a_reset_drops_what_the_kernel_has<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let bytes = 24 << 20;
    rig.send(name, &vec![1; bytes]);
    rig.until("a backlog", |rig| rig.count(|seen| matches!(seen, Seen::Backlogged(..))) == 1);
    // Bytes that have reached the client's side stay readable there.
    let arrived = rustix::io::ioctl_fionread(&client).unwrap();
    rig.push(Operation::Reset(name));
    rig.until_seen(Seen::Closed(name));
    rig.push(Operation::Reset(name));
    rig.push(Operation::Close(name));
    rig.settle();
    assert_eq!(rig.count(|seen| *seen == Seen::Closed(name)), 1);
    let mut received = Vec::new();
    let error = client.read_to_end(&mut received).expect_err("RST and not FIN");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    // A segment may have been in flight.
    let more = received.len() as u64 - arrived;
    assert!(more < 256 << 10, "{more} bytes came after the reset");
}

pub fn a_reset_of_a_quiet_connection_sends_rst<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    rig.push(Operation::Reset(name));
    rig.until_seen(Seen::Closed(name));
    let error = client.read(&mut [0; 1]).expect_err("RST and not FIN");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

pub fn a_close_with_bytes_unread_is_noticed<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    rig.push(Operation::PauseReceive(name));
    rig.settle();
    client.write_all(b"unread").unwrap();
    rig.settle();
    rig.close(name);
    assert!(read_to_end(&mut client).is_empty());
}

pub fn closing_twice_is_reported_once<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    client.write_all(b"in flight").unwrap();
    rig.push(Operation::Close(name));
    rig.push(Operation::Close(name));
    rig.operations.send(name, &mut SendMark::default(), |out| out.push(b'x'));
    rig.push(Operation::ResumeReceive(name));
    rig.push(Operation::Shutdown(name));
    rig.turn(Duration::ZERO);
    rig.push(Operation::Close(name));
    rig.until_seen(Seen::Closed(name));
    rig.push(Operation::Close(name));
    rig.settle();
    assert_eq!(rig.count(|seen| *seen == Seen::Closed(name)), 1);
    assert!(read_to_end(&mut client).is_empty());
}

pub fn an_ended_or_broken_connection_closes<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (client, ended) = rig.client();
    client.shutdown(Shutdown::Both).unwrap();
    rig.until_seen(Seen::EndOfStream(ended));
    rig.close(ended);
    let (client, broken) = rig.client();
    reset(client);
    rig.until("a failure", |rig| rig.has_failed(broken));
    rig.close(broken);
}

pub fn a_stale_id_is_ignored<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (_client, old) = rig.client();
    rig.close(old);
    let (mut client, new) = rig.client();
    assert_eq!(new.slot(), old.slot(), "the slot is used again");
    for stale in
        [old, ConnectionId::new(old.slot(), old.generation() + 99), ConnectionId::new(999, 0)]
    {
        rig.operations.send(stale, &mut SendMark::default(), |out| out.push(b'x'));
        rig.push(Operation::PauseReceive(stale));
        rig.push(Operation::Shutdown(stale));
        rig.push(Operation::Close(stale));
    }
    rig.settle();
    rig.push(Operation::ResumeReceive(old));
    client.write_all(b"untouched").unwrap();
    rig.until("bytes", |rig| rig.received_len(new) == 9);
    rig.send(new, b"y");
    let mut answer = [0; 1];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"y");
    assert_eq!(rig.count(|seen| matches!(seen, Seen::Closed(_))), 1);
}

pub fn slots_are_reused<D: Subject>() {
    let mut rig = Rig::<D>::with(Settings { connections_max: 4, ..Settings::default() });
    for round in 0..300u32 {
        let (mut client, name) = rig.client();
        assert!(name.slot() < 4);
        client.write_all(b"x").unwrap();
        match round % 3 {
            0 => rig.close(name),
            1 => {
                drop(client);
                rig.until_seen(Seen::EndOfStream(name));
                rig.close(name);
            }
            _ => {
                rig.until("bytes", |rig| rig.received_len(name) == 1);
                rig.close(name);
                assert!(read_to_end(&mut client).is_empty());
            }
        }
    }
    assert_eq!(rig.driver.counters().accepted, 300);
    assert_eq!(rig.driver.counters().refused, 0);
}
