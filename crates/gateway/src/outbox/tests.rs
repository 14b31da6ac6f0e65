//! What is counted, when input is paused, and what passes through a channel.

use std::sync::Arc;

use ringway_acceptor::Outgoing;

use super::{
    channel::{
        Channels, Opened, RecordLayer,
        xor::{BODY_BYTES_MAX, XorLayer},
    },
    *,
};

fn pauses(operations: &mut Operations) -> Vec<&'static str> {
    let (list, _) = operations.drain();
    list.map(|operation| match operation {
        Operation::PauseReceive(_) => "pause",
        Operation::ResumeReceive(_) => "resume",
        _ => "other",
    })
    .collect()
}

#[test]
fn a_reservation_beyond_the_address_space_fails() {
    let (mut sending, mut operations) = (Sending::default(), Operations::default());
    let connection = ConnectionId::new(0, 0);
    let mut channel = Channel::default();
    let mut outbox =
        Outbox::new(connection, &mut sending, &mut channel, &mut operations, Duration::ZERO);
    outbox.write(|out| out.push(1));
    assert_eq!(outbox.make_room(isize::MAX as usize - 16), Err(OutOfMemory));
    assert_eq!(outbox.make_room(1 << 10), Ok(()));
    outbox.write(|out| out.push(2));
    assert_eq!(operations.bytes(), [1, 2]);
}

#[test]
fn bytes_are_counted_per_turn() {
    let (mut sending, mut operations) = (Sending::default(), Operations::default());
    let connection = ConnectionId::new(0, 0);
    let [first, second] = [1, 2].map(Duration::from_micros);
    let mut channel = Channel::default();
    let mut outbox = Outbox::new(connection, &mut sending, &mut channel, &mut operations, first);
    outbox.write(|out| out.extend([1, 2, 3]));
    outbox.write_owned(vec![4; 10], 5).unwrap();
    assert_eq!(outbox.bytes_of_turn(), 8);
    assert!(sending.is_unsettled(first) && !sending.is_unsettled(second));
}

#[test]
fn bytes_in_the_kernel_count_while_the_socket_is_full() {
    let (mut sending, mut operations) = (Sending::default(), Operations::default());
    let connection = ConnectionId::new(0, 0);
    assert_eq!(sending.owed_bytes(1000), 0);
    sending.backlogged(connection, (10, 0), 100, &mut operations);
    assert_eq!(sending.owed_bytes(1000), 1010);
    sending.backlogged(connection, (8202, 8192), 100, &mut operations);
    assert_eq!((sending.owed_bytes(1000), sending.shared_bytes()), (1010, 8192));
    sending.drained(connection, &mut operations);
    assert_eq!((sending.owed_bytes(1000), sending.shared_bytes()), (0, 0));
}

#[test]
fn reading_pauses_one_byte_past_the_bound_and_resumes_when_all_has_left() {
    let (mut sending, mut operations) = (Sending::default(), Operations::default());
    let connection = ConnectionId::new(0, 0);
    sending.backlogged(connection, (100, 0), 100, &mut operations);
    assert!(pauses(&mut operations).is_empty());
    sending.backlogged(connection, (101, 0), 100, &mut operations);
    sending.backlogged(connection, (102, 0), 100, &mut operations);
    assert_eq!(pauses(&mut operations), ["pause"]);
    sending.drained(connection, &mut operations);
    sending.drained(connection, &mut operations);
    assert_eq!(pauses(&mut operations), ["resume"]);
}

/// The plain text that a client opens from all that a turn sends.
fn opened(client: &mut XorLayer, operations: &mut Operations) -> Vec<u8> {
    let (list, turn) = operations.drain();
    let mut sent: Vec<u8> = list
        .filter_map(|operation| match operation {
            Operation::Send { outgoing: Outgoing::Turn(range), .. } => Some(turn[range].to_vec()),
            Operation::Send { outgoing: Outgoing::Owned { bytes, start }, .. } => {
                Some(bytes[start..].to_vec())
            }
            _ => None,
        })
        .flatten()
        .collect();
    let (mut rest, mut plain) = (&mut sent[..], Vec::new());
    while !rest.is_empty() {
        match client.open(&mut rest, &mut Vec::new()).expect("records in order") {
            Opened::InPlace(bytes) => plain.extend_from_slice(bytes),
            Opened::Assembled(bytes) => plain.extend(bytes),
            Opened::Nothing => {}
            Opened::Ended => plain.extend(b"<ended>"),
        }
    }
    plain
}

/// A channel whose handshake is complete, and the client's side of it.
fn layered(operations: &mut Operations) -> (Sending, Channel, XorLayer) {
    let mut channels = Channels::default();
    channels.set(0, Arc::new(|| Box::new(XorLayer::server(5))));
    let (mut channel, mut hello) = (channels.accept(0), Vec::new());
    let client = XorLayer::client(11, &mut hello);
    let Passage::Records(layer) = channel.inward() else { panic!("it has a layer") };
    let mut out = Vec::new();
    layer.open(&mut &mut hello[..], &mut out).expect("a hello");
    let (mut sending, connection) = (Sending::default(), ConnectionId::new(0, 0));
    Outbox::new(connection, &mut sending, &mut channel, operations, Duration::ZERO)
        .write_past(&out);
    (sending, channel, client)
}

#[test]
fn every_kind_of_write_is_sealed_in_order_and_counted_as_it_is_sent() {
    let mut operations = Operations::default();
    let (mut sending, mut channel, mut client) = layered(&mut operations);
    assert_eq!(opened(&mut client, &mut operations), b"");
    let (connection, now) = (ConnectionId::new(0, 0), Duration::from_micros(1));
    let long = vec![b'l'; 3 * BODY_BYTES_MAX];
    for first in 0..4 {
        operations.clear();
        let others = operations.stage(|out| out.extend_from_slice(b"for all"));
        let mut outbox = Outbox::new(connection, &mut sending, &mut channel, &mut operations, now);
        let before = outbox.bytes_of_turn();
        for kind in 0..4 {
            match (first + kind) % 4 {
                0 => outbox.write(|out| out.extend_from_slice(b"write")),
                1 => outbox.write_owned(b"_owned".to_vec(), 1).unwrap(),
                2 => outbox.write_staged(|_| Ok(others)).unwrap(),
                _ => outbox.write_shared(&Bytes::from(long.clone())).unwrap(),
            }
        }
        let plain = ["write".len(), "owned".len(), "for all".len(), long.len()];
        let sealed: usize = plain.iter().map(|bytes| client.sealed_bytes_max(*bytes)).sum();
        assert_eq!(outbox.bytes_of_turn() - before, sealed);
        assert_eq!(operations.bytes_to_send(), sealed as u64, "the kind {first} first");
        assert_eq!(&operations.bytes()[..7], b"for all", "others share it as it was");
        let long = str::from_utf8(&long).expect("ASCII");
        let mut texts = ["write", "owned", "for all", long];
        texts.rotate_left(first);
        assert_eq!(opened(&mut client, &mut operations), texts.concat().as_bytes());
    }
}

#[test]
fn room_is_reserved_for_the_sealed_bytes() {
    let mut operations = Operations::default();
    let (mut sending, mut channel, mut client) = layered(&mut operations);
    let connection = ConnectionId::new(0, 0);
    let mut outbox =
        Outbox::new(connection, &mut sending, &mut channel, &mut operations, Duration::ZERO);
    assert_eq!(outbox.make_room(isize::MAX as usize - 16), Err(OutOfMemory));
    assert_eq!(outbox.make_room_beside(1, usize::MAX), Err(OutOfMemory), "shared bytes are copied");
    assert_eq!(outbox.make_room(10 * BODY_BYTES_MAX), Ok(()));
    assert_eq!(outbox.sealed_bytes_max(1000), client.sealed_bytes_max(1000));
    outbox.write(|out| out.extend_from_slice(b"all"));
    assert_eq!(opened(&mut client, &mut operations), b"all");
}

#[test]
fn the_last_record_is_written_before_fin_and_nothing_after_it() {
    let mut operations = Operations::default();
    let (mut sending, mut channel, mut client) = layered(&mut operations);
    let connection = ConnectionId::new(0, 0);
    let mut outbox =
        Outbox::new(connection, &mut sending, &mut channel, &mut operations, Duration::ZERO);
    outbox.write(|out| out.extend_from_slice(b"all"));
    outbox.finish();
    outbox.write(|out| out.extend_from_slice(b"more"));
    assert_eq!(outbox.write_shared(&Bytes::from_static(b"more")), Ok(()));
    outbox.end_channel();
    assert!(matches!(operations.len(), 2), "one send, then FIN");
    assert_eq!(opened(&mut client, &mut operations), b"all<ended>");
}
