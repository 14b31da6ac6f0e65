//! Cases: outgoing bytes, to readers that are fast, slow or gone.
//!
//! Silence about a send means that the kernel has all of it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use bytes::Bytes;
use ringway_acceptor::{ConnectionId, Operation, SendMark};

use crate::harness::{Rig, Seen, Subject, pattern, reset};

/// More than the socket buffers of both ends hold.
const MORE_THAN_FITS: usize = 24 << 20;

fn backlogged(rig: &Rig<impl Subject>, connection: ConnectionId) -> Option<usize> {
    rig.backlogs(connection).last()
}

/// The client reads `length` bytes while the driver runs.
fn read_exact(rig: &mut Rig<impl Subject>, client: &mut TcpStream, length: usize) -> Vec<u8> {
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut bytes = vec![0; length];
            client.read_exact(&mut bytes).unwrap();
            bytes
        });
        rig.until("the client's reading", |_| reader.is_finished());
        reader.join().unwrap()
    })
}

pub fn every_kind_of_send_arrives<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let mark = SendMark::default;
    rig.operations.send(name, &mut mark(), |out| out.extend_from_slice(b"turn "));
    rig.turn(Duration::ZERO);
    rig.operations.send_owned(name, &mut mark(), b"__owned ".to_vec(), 2);
    rig.turn(Duration::ZERO);
    rig.operations.send_shared(name, &mut mark(), &Bytes::from_static(b"shared"));
    rig.turn(Duration::ZERO);
    rig.operations.send(name, &mut mark(), |_| ());
    rig.turn(Duration::ZERO);
    assert_eq!(read_exact(&mut rig, &mut client, 17), b"turn owned shared");
    assert_eq!(rig.seen.len(), 1, "a complete send is not reported");
}

pub fn a_slow_reader_gets_every_byte_in_order<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(MORE_THAN_FITS);
    rig.operations.send_owned(name, &mut SendMark::default(), sent.clone(), 0);
    rig.until("a backlog", |rig| backlogged(rig, name).is_some());
    let unsent = backlogged(&rig, name).unwrap();
    assert!(unsent < sent.len(), "bytes that fit are sent at once");
    assert!(rig.settle() <= 8, "an unread backlog spins");
    assert!(read_exact(&mut rig, &mut client, sent.len()) == sent);
    rig.until_seen(Seen::Drained(name));
    let told: Vec<_> = rig.backlogs(name).collect();
    assert!(
        told.is_sorted_by(|before, after| before > after),
        "the unsent bytes decrease: {told:?}"
    );
    assert!(told.len() > 1, "progress is told");
    assert!(rig.settle() <= 4, "a drained connection spins");
}

pub fn shared_pieces_are_kept_once_and_arrive_in_order<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let shared = Bytes::from(pattern(MORE_THAN_FITS));
    let mut clients: Vec<_> = (0..2).map(|_| rig.client()).collect();
    for (_, name) in &clients {
        let mark = &mut SendMark::default();
        rig.operations.send(*name, mark, |out| out.extend_from_slice(b"head"));
        rig.operations.send_shared(*name, mark, &shared);
        rig.operations.send(*name, mark, |out| out.extend_from_slice(b"tail"));
        rig.operations.push(Operation::Shutdown(*name));
    }
    rig.turn(Duration::ZERO);
    rig.settle();
    for (_, name) in &clients {
        let unsent = backlogged(&rig, *name).unwrap();
        assert_eq!(unsent - rig.shared_bytes(*name), 4, "the tail is the client's own");
    }
    let expected = [b"head", &shared[..], b"tail"].concat();
    for (client, name) in &mut clients {
        assert!(read_exact(&mut rig, client, expected.len()) == expected);
        rig.until_seen(Seen::Drained(*name));
    }
    // Bytes that fit are sent in order, too, although no other client holds the buffer now.
    let (mut client, name) = rig.client();
    let mark = &mut SendMark::default();
    rig.operations.send_shared(name, mark, &Bytes::from_static(b"one "));
    rig.operations.send(name, mark, |out| out.extend_from_slice(b"two"));
    rig.turn(Duration::ZERO);
    assert_eq!(read_exact(&mut rig, &mut client, 7), b"one two");
    rig.settle();
    rig.turn(Duration::ZERO);
    assert!(shared.is_unique(), "a driver keeps what it has sent");
}

pub fn a_backlog_is_reported_in_the_turn_of_its_send<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(MORE_THAN_FITS);
    for _ in 0..3 {
        // One turn that does not wait.
        rig.send(name, &sent);
        assert!(matches!(rig.seen.last(), Some(Seen::Backlogged(..))), "{:?}", rig.seen.last());
    }
    assert!(read_exact(&mut rig, &mut client, 3 * sent.len()) == sent.repeat(3));
}

pub fn sends_in_the_middle_of_a_turn_keep_their_order<D: Subject>() {
    for length in [100_000, MORE_THAN_FITS] {
        let mut rig = Rig::<D>::new();
        let (mut client, name) = rig.client();
        let sent = pattern(length);
        rig.early = Some((name, sent.chunks(length / 7).map(<[u8]>::to_vec).collect()));
        client.write_all(b"now").unwrap();
        rig.until("the sends", |rig| rig.early.is_none());
        rig.send(name, b"the last");
        assert_eq!(backlogged(&rig, name).is_some(), length == MORE_THAN_FITS);
        let expected = [&sent[..], b"the last"].concat();
        assert!(read_exact(&mut rig, &mut client, expected.len()) == expected);
    }
}

pub fn sends_queue_after_a_backlog<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(MORE_THAN_FITS + 400_000);
    rig.send(name, &sent[..MORE_THAN_FITS]);
    rig.until("a backlog", |rig| backlogged(rig, name).is_some());
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut rest, mut unsent) = (&sent[MORE_THAN_FITS..], backlogged(&rig, name).unwrap());
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(rng.usize(1..40_000).min(rest.len()));
        let mark = &mut SendMark::default();
        match rng.u8(..3) {
            0 => rig.operations.send(name, mark, |out| out.extend_from_slice(piece)),
            1 => rig.operations.send_owned(name, mark, [b"__", piece].concat(), 2),
            _ => rig.operations.send_shared(name, mark, &Bytes::copy_from_slice(piece)),
        }
        rig.turn(Duration::ZERO);
        unsent += piece.len();
        let told = backlogged(&rig, name).unwrap();
        assert!(told <= unsent, "{told} of {unsent} bytes are kept");
        rest = left;
    }
    assert!(read_exact(&mut rig, &mut client, sent.len()) == sent);
    rig.until_seen(Seen::Drained(name));
    assert_eq!(rig.count(|seen| *seen == Seen::Drained(name)), 1);
}

pub fn a_backlog_forms_and_drains_again_and_again<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(MORE_THAN_FITS);
    for round in 1..=4 {
        let told = rig.backlogs(name).count();
        rig.send(name, &sent);
        rig.until("a backlog", |rig| rig.backlogs(name).count() > told);
        assert!(read_exact(&mut rig, &mut client, sent.len()) == sent);
        rig.until("the drain", |rig| rig.count(|seen| *seen == Seen::Drained(name)) == round);
    }
    assert_eq!(rig.driver.counters().short_sends, 4);
}

pub fn progress_is_what_the_peer_has_acknowledged<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(MORE_THAN_FITS);
    rig.send(name, &sent);
    let first = progress(&mut rig, name);
    assert!(first.1 > 0 && first.0 + first.1 <= sent.len() + 1, "{first:?}");
    // The client reads far less than what makes the socket writable.
    let told = rig.backlogs(name).count();
    let mut sips = Vec::new();
    for _ in 0..8 {
        client.read_exact(&mut [0; 64 << 10]).unwrap();
        rig.settle();
        sips.push(progress(&mut rig, name).0);
    }
    assert!(sips.is_sorted() && sips[7] > first.0, "{first:?}, {sips:?}");
    let rest = sent.len() - 8 * (64 << 10);
    assert!(rig.backlogs(name).count() - told < 8, "a sip is seen sooner than the socket tells");
    assert_eq!(read_exact(&mut rig, &mut client, rest).len(), rest);
    rig.until("the last acknowledgement", |rig| progress(rig, name).1 == 0);
    // Counting begins with the SYN.
    assert!(progress(&mut rig, name).0.abs_diff(sent.len()) <= 1);
}

pub fn progress_of_an_ended_or_void_connection_is_not_reported<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (client, name) = rig.client();
    reset(client);
    rig.until("the failure", |rig| rig.has_failed(name));
    rig.push(Operation::MeasureProgress(name));
    rig.settle();
    rig.close(name);
    rig.push(Operation::MeasureProgress(name));
    rig.settle();
    assert_eq!(rig.count(|seen| matches!(seen, Seen::Progress(..))), 0);
}

/// Asks for the progress; returns the answer of the next turn.
fn progress<D: Subject>(rig: &mut Rig<D>, name: ConnectionId) -> (usize, usize) {
    let told = rig.seen.len();
    rig.push(Operation::MeasureProgress(name));
    rig.turn(Duration::ZERO);
    let found: Vec<_> = rig.seen[told..]
        .iter()
        .filter_map(|seen| match seen {
            Seen::Progress(of, acknowledged, not) if *of == name => {
                Some((*acknowledged as usize, *not))
            }
            _ => None,
        })
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

pub fn shutdown_follows_the_backlog<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(MORE_THAN_FITS);
    rig.operations.send_owned(name, &mut SendMark::default(), sent.clone(), 0);
    rig.push(Operation::Shutdown(name));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).unwrap();
            client.write_all(b"I have it all").unwrap();
            bytes
        });
        rig.until("the client's reading", |_| reader.is_finished());
        assert!(reader.join().unwrap() == sent);
    });
    rig.until("bytes after FIN", |rig| rig.received_len(name) == 13);
    assert_eq!(rig.count(|seen| *seen == Seen::Drained(name)), 1);
}

pub fn nothing_is_sent_after_shutdown<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    rig.send(name, b"the end");
    rig.push(Operation::Shutdown(name));
    rig.push(Operation::Shutdown(name));
    rig.turn(Duration::ZERO);
    rig.send(name, b"one more thing");
    rig.settle();
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"the end");
    assert_eq!(rig.seen.len(), 1, "{:?}", rig.seen);
}

pub fn a_peer_that_leaves_its_backlog_fails_the_connection<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (client, name) = rig.client();
    rig.send(name, &vec![0; MORE_THAN_FITS]);
    rig.until("a backlog", |rig| backlogged(rig, name).is_some());
    reset(client);
    rig.until("a failure", |rig| rig.has_failed(name));
    rig.send(name, b"to nobody");
    assert!(rig.settle() <= 4);
    assert_eq!(rig.count(|seen| matches!(seen, Seen::Failed(..))), 1);
    assert_eq!(rig.count(|seen| *seen == Seen::Drained(name)), 0);
}

pub fn a_finished_peer_still_reads<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    client.shutdown(Shutdown::Write).unwrap();
    rig.until_seen(Seen::EndOfStream(name));
    let sent = pattern(MORE_THAN_FITS);
    rig.send(name, &sent);
    assert!(read_exact(&mut rig, &mut client, sent.len()) == sent);
    rig.until_seen(Seen::Drained(name));
}
