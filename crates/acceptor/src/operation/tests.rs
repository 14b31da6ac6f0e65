//! The operations of a turn: one send for each connection, in order, and shared bytes stay shared.

use super::*;

fn sends(operations: &mut Operations) -> Vec<(u32, Vec<u8>)> {
    let (list, turn) = operations.drain();
    list.filter_map(|operation| match operation {
        Operation::Send { connection, outgoing } => {
            let bytes = match outgoing {
                Outgoing::Turn(range) => turn[range].to_vec(),
                Outgoing::Owned { bytes, start } => bytes[start..].to_vec(),
                Outgoing::Shared(bytes) => bytes.to_vec(),
                Outgoing::Pieces(pieces) => {
                    pieces.iter().flat_map(|piece| piece.bytes(turn).to_vec()).collect()
                }
            };
            Some((connection.slot(), bytes))
        }
        _ => None,
    })
    .collect()
}

#[test]
fn interleaved_sends_are_merged_per_connection_in_order() {
    let mut operations = Operations::default();
    let names = [ConnectionId::new(0, 0), ConnectionId::new(1, 0)];
    let mut marks = [SendMark::default(); 2];
    for round in 0..4u8 {
        for (name, mark) in names.iter().zip(&mut marks) {
            operations.send(*name, mark, |out| out.push(round));
        }
    }
    assert_eq!(sends(&mut operations), [(0, vec![0, 1, 2, 3]), (1, vec![0, 1, 2, 3])]);
}

#[test]
fn every_kind_of_send_can_be_continued() {
    let mut operations = Operations::default();
    for first in 0..3 {
        let (name, mut mark) = (ConnectionId::new(first, 0), SendMark::default());
        match first {
            0 => operations.send(name, &mut mark, |out| out.extend_from_slice(b"ab")),
            1 => operations.send_owned(name, &mut mark, b"_ab".to_vec(), 1),
            _ => operations.send_shared(name, &mut mark, &Bytes::from_static(b"ab")),
        }
        operations.send(name, &mut mark, |out| out.push(b'c'));
        operations.send_owned(name, &mut mark, b"_d".to_vec(), 1);
        operations.send_shared(name, &mut mark, &Bytes::from_static(b"e"));
    }
    assert_eq!(operations.bytes_to_send(), 3 * 5);
    let expected = |slot| (slot, b"abcde".to_vec());
    assert_eq!(sends(&mut operations), [expected(0), expected(1), expected(2)]);
}

#[test]
fn shared_bytes_are_never_copied() {
    let mut operations = Operations::default();
    let (name, mut mark) = (ConnectionId::new(7, 0), SendMark::default());
    let shared = Bytes::from_static(b"<shared>");
    let staged = operations.stage(|out| out.extend_from_slice(b"(staged)"));
    operations.send(name, &mut mark, |out| out.extend_from_slice(b"he"));
    operations.send(ConnectionId::new(8, 0), &mut SendMark::default(), |out| out.push(b'_'));
    operations.send(name, &mut mark, |out| out.extend_from_slice(b"ad"));
    operations.send_shared(name, &mut mark, &shared);
    operations.send(name, &mut mark, |_| ());
    operations.send(name, &mut mark, |out| out.extend_from_slice(b"ta"));
    operations.send(name, &mut mark, |out| out.extend_from_slice(b"il"));
    operations.send_shared(name, &mut mark, &shared);
    operations.send_staged(name, &mut mark, staged);
    assert_eq!(operations.bytes(), b"(staged)he_headtail", "the head moves, nothing else");
    assert_eq!(operations.bytes_to_send(), 1 + 4 + 8 + 4 + 8 + 8);
    let Operation::Send { outgoing: Outgoing::Pieces(pieces), .. } = &operations.list()[0] else {
        panic!("{:?}", operations.list()[0]);
    };
    assert_eq!(pieces.len(), 5);
    let expected = [(7, b"head<shared>tail<shared>(staged)".to_vec()), (8, b"_".to_vec())];
    assert_eq!(sends(&mut operations), expected);
}

#[test]
fn staged_bytes_are_shared_until_connections_differ() {
    let mut operations = Operations::default();
    let names = [0, 1, 2].map(|slot| ConnectionId::new(slot, 0));
    let mut marks = [SendMark::default(); 3];
    operations.send_owned(names[2], &mut marks[2], b"_o".to_vec(), 1);
    for text in [b"ab", b"cd"] {
        let staged = operations.stage(|out| out.extend_from_slice(text));
        for (name, mark) in names.iter().zip(&mut marks) {
            operations.send_staged(*name, mark, staged);
        }
    }
    assert_eq!(operations.bytes(), b"abcd", "both share the bytes after their own");
    operations.send(names[0], &mut marks[0], |out| out.push(b'!'));
    let staged = operations.stage(|out| out.push(b'e'));
    for (name, mark) in names.iter().zip(&mut marks) {
        operations.send_staged(*name, mark, staged);
    }
    let expected = [(2, b"oabcde".to_vec()), (0, b"abcd!e".to_vec()), (1, b"abcde".to_vec())];
    assert_eq!(sends(&mut operations), expected);
}

/// A copy may grow; its source does not change, and the copy follows the earlier bytes of the send.
#[test]
fn a_copy_of_staged_bytes_is_rewritten_after_every_kind_of_send() {
    let mut operations = Operations::default();
    let names = [0, 1, 2, 3, 4].map(|slot| ConnectionId::new(slot, 0));
    let mut marks = [SendMark::default(); 5];
    operations.send(names[1], &mut marks[1], |out| out.push(b'a'));
    operations.send_owned(names[2], &mut marks[2], b"_a".to_vec(), 1);
    operations.send_shared(names[3], &mut marks[3], &Bytes::from_static(b"a"));
    let staged = operations.stage(|out| out.extend_from_slice(b"xyz"));
    operations.send_staged(names[4], &mut marks[4], staged);
    for _ in 0..2 {
        for (name, mark) in names.iter().zip(&mut marks) {
            operations.send_copy(*name, mark, staged, |out| {
                let start = out.len() - staged.len();
                out[start..].reverse();
                out.insert(start, b'<');
            });
        }
    }
    let rewritten = |slot, before: &str| (slot, format!("{before}<zyx<zyx").into_bytes());
    let expected =
        [(1, "a"), (2, "a"), (3, "a"), (4, "xyz"), (0, "")].map(|(slot, own)| rewritten(slot, own));
    assert_eq!(sends(&mut operations), expected);
}

#[test]
fn a_stale_mark_starts_a_new_send() {
    let mut operations = Operations::default();
    let (one, two) = (ConnectionId::new(1, 0), ConnectionId::new(2, 0));
    let (mut mark_one, mut mark_two) = (SendMark::default(), SendMark::default());
    operations.send(one, &mut mark_one, |out| out.push(1));
    operations.clear();
    operations.send(two, &mut mark_two, |out| out.push(2));
    operations.send(one, &mut mark_one, |out| out.push(3));
    assert_eq!(sends(&mut operations), [(2, vec![2]), (1, vec![3])]);
}

#[test]
fn a_burst_does_not_stay_resident() {
    let mut operations = Operations::default();
    let mut mark = SendMark::default();
    operations.send(ConnectionId::new(0, 0), &mut mark, |out| out.resize(TURN_BYTES_KEPT + 1, 0));
    operations.clear();
    assert_eq!(operations.bytes.capacity(), 0);
}
