//! Cases: incoming bytes, ends and resets, and pauses.
//!
//! Nothing is lost, reported twice or reported too late.

use std::{
    io::{Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

use ringway_acceptor::{Operation, Settings, uring::UringDriver};

use crate::harness::{RATION_BYTES, Rig, Seen, Subject, pattern, reset};

pub fn bytes_are_echoed<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (client, name) = rig.client();
    let sent = pattern(3 << 20);
    let (mut reader, mut writer) = (client.try_clone().unwrap(), client);
    thread::scope(|scope| {
        scope.spawn(|| sent.chunks(70_001).for_each(|chunk| writer.write_all(chunk).unwrap()));
        let answer = scope.spawn(|| {
            let mut answer = vec![0; sent.len()];
            reader.read_exact(&mut answer).unwrap();
            answer
        });
        rig.until("the echo", |rig| {
            let bytes = rig.received(name);
            if !bytes.is_empty() {
                rig.send(name, &bytes);
            }
            answer.is_finished()
        });
        assert!(answer.join().unwrap() == sent);
    });
}

pub fn the_end_of_stream_follows_the_last_bytes<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    rig.until_seen(Seen::EndOfStream(name));
    assert_eq!(rig.received(name), b"last words");
    assert_eq!(rig.seen.last(), Some(&Seen::EndOfStream(name)));
}

pub fn a_long_tail_arrives_before_the_end_of_stream<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(5 << 20);
    thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        rig.until_seen(Seen::EndOfStream(name));
    });
    assert!(rig.received(name) == sent);
}

pub fn a_lingering_end_never_spins<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (client, name) = rig.client();
    client.shutdown(Shutdown::Write).unwrap();
    rig.until_seen(Seen::EndOfStream(name));
    assert!(rig.settle() <= 4, "after the peer's FIN");
    rig.push(Operation::Shutdown(name));
    assert!(rig.settle() <= 6, "after both FINs");
    drop(client);
    assert!(rig.settle() <= 4);
}

pub fn a_reset_fails_once<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (client, name) = rig.client();
    reset(client);
    rig.until("a failure", |rig| rig.has_failed(name));
    rig.send(name, b"to nobody");
    rig.push(Operation::Shutdown(name));
    assert!(rig.settle() <= 4);
    let [_, Seen::Failed(failed, failure)] = rig.seen[..] else { panic!("{:?}", rig.seen) };
    assert!(failed == name && failure.is_reset());
}

pub fn a_pause_loses_nothing<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(100_000);
    for (round, chunk) in sent.chunks(10_000).enumerate() {
        rig.push(Operation::PauseReceive(name));
        if round % 2 == 0 {
            rig.settle();
        }
        client.write_all(chunk).unwrap();
        if round % 2 == 0 {
            let before = rig.received_len(name);
            assert!(rig.settle() <= 4, "a paused connection spins");
            assert_eq!(rig.received_len(name), before, "bytes in spite of a pause");
        }
        rig.push(Operation::ResumeReceive(name));
        rig.until("the bytes", |rig| rig.received_len(name) == (round + 1) * 10_000);
    }
    assert!(rig.received(name) == sent);
}

pub fn a_pause_and_resume_in_one_turn_change_nothing<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(20_000);
    for chunk in sent.chunks(100) {
        client.write_all(chunk).unwrap();
        rig.push(Operation::PauseReceive(name));
        rig.push(Operation::ResumeReceive(name));
        rig.turn(Duration::ZERO);
    }
    rig.until("the bytes", |rig| rig.received_len(name) == sent.len());
    assert!(rig.received(name) == sent);
}

pub fn an_end_during_a_pause_is_reported_after_it<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    rig.push(Operation::PauseReceive(name));
    rig.settle();
    client.write_all(b"and out").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    rig.push(Operation::Shutdown(name));
    assert!(rig.settle() <= 6);
    assert_eq!(rig.seen.len(), 1, "{:?}", rig.seen);
    rig.push(Operation::ResumeReceive(name));
    rig.until_seen(Seen::EndOfStream(name));
    assert_eq!(rig.received(name), b"and out");
}

pub fn a_reset_during_a_pause_is_reported<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (client, name) = rig.client();
    rig.push(Operation::PauseReceive(name));
    rig.settle();
    reset(client);
    assert!(rig.settle() <= 4);
    rig.push(Operation::ResumeReceive(name));
    rig.until("a failure", |rig| rig.has_failed(name));
    rig.settle();
    assert_eq!(rig.seen.len(), 2, "{:?}", rig.seen);
}

/// io_uring receives from such a client in a way of its own.
pub fn a_client_that_sends_much_pauses_and_ends_like_others<D: Subject>() {
    for has_reset in [false, true] {
        let mut rig = Rig::<D>::new();
        let (mut client, name) = rig.client();
        let sent = pattern(40 * 16_000);
        for (round, chunk) in sent.chunks(16_000).enumerate() {
            client.write_all(chunk).unwrap();
            rig.until("the bytes", |rig| rig.received_len(name) == (round + 1) * 16_000);
        }
        assert!(rig.settle() <= 4, "a client that has sent much spins");
        rig.push(Operation::PauseReceive(name));
        rig.settle();
        client.write_all(b"in the pause").unwrap();
        assert!(rig.settle() <= 4, "a paused connection spins");
        assert_eq!(rig.received_len(name), sent.len(), "bytes in spite of a pause");
        rig.push(Operation::ResumeReceive(name));
        rig.until("the rest", |rig| rig.received_len(name) > sent.len());
        client.write_all(&sent[..50_000]).unwrap();
        rig.until("more", |rig| rig.received_len(name) == sent.len() + 12 + 50_000);
        assert!(rig.received(name) == [&sent[..], b"in the pause", &sent[..50_000]].concat());
        if has_reset {
            reset(client);
            rig.until("a failure", |rig| rig.has_failed(name));
        } else {
            drop(client);
            rig.until_seen(Seen::EndOfStream(name));
        }
        rig.close(name);
        assert!(rig.settle() <= 4);
    }
}

/// Bytes of a large message are received where its owner wants them, in order with the others.
pub fn a_client_that_sends_much_is_received_in_places<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let (mut client, name) = rig.client();
    let sent = pattern(9 << 20);
    thread::scope(|scope| {
        scope.spawn(|| sent.chunks(700_001).for_each(|chunk| client.write_all(chunk).unwrap()));
        rig.until("the bytes", |rig| rig.received_len(name) == sent.len());
    });
    assert!(rig.received(name) == sent);
    assert!(rig.offers.taken > 20, "{} places were used", rig.offers.taken);
}

/// However few are served in a turn, none of those that always have more to send gets ahead.
pub fn clients_that_are_put_off_take_turns<D: Subject>() {
    let mut rig = Rig::<D>::new();
    let mut clients: Vec<_> = (0..7).map(|_| rig.client()).collect();
    for (client, name) in &mut clients {
        client.write_all(&pattern(50_000)).unwrap();
        rig.until("the first bytes", |rig| rig.received_len(*name) == 50_000);
        rig.received(*name);
        rig.push(Operation::PauseReceive(*name));
    }
    rig.settle();
    rig.offers.ration = Some(2);
    for (client, name) in &mut clients {
        client.write_all(&pattern(10 * RATION_BYTES)).unwrap();
        rig.push(Operation::ResumeReceive(*name));
    }
    let enough = 8 * RATION_BYTES;
    rig.until("the bytes", |rig| {
        let received = clients.iter().map(|(_, name)| rig.received_len(*name));
        let (least, most) = (received.clone().min().unwrap(), received.max().unwrap());
        assert!(most - least <= 2 * RATION_BYTES, "one has sent {most} bytes, another {least}");
        least >= enough
    });
}

/// While the driver waits for more of a client that has sent much, or has some of it unread.
pub fn a_client_that_sends_much_is_closed_at_any_time<D: Subject>() {
    let mut rig = Rig::<D>::new();
    for unread in [0, 1, 100_000] {
        let (mut client, name) = rig.client();
        client.write_all(&pattern(600_000)).unwrap();
        rig.until("the bytes", |rig| rig.received_len(name) == 600_000);
        client.write_all(&pattern(unread)).unwrap();
        rig.close(name);
        let mut rest = Vec::new();
        assert!(
            client.read_to_end(&mut rest).is_ok() || unread > 0,
            "a reset without unread bytes"
        );
        assert_eq!(rest, []);
    }
}

/// Two buffers for twenty clients: io_uring runs out of them (ENOBUFS) and arms the receives again.
pub fn few_buffers_lose_nothing<D: Subject>() {
    let settings =
        Settings { receive_buffers: 2, receive_buffer_bytes: 256, ..Settings::default() };
    let mut rig = Rig::<D>::with(settings);
    let mut clients: Vec<_> = (0..20).map(|_| rig.client()).collect();
    let sent = pattern(20_000);
    for (client, _) in &mut clients {
        client.write_all(&sent).unwrap();
    }
    for (_, name) in &clients {
        rig.until("all bytes", |rig| rig.received_len(*name) == sent.len());
        assert!(rig.received(*name) == sent);
    }
    let is_uring = std::any::type_name::<D>() == std::any::type_name::<UringDriver>();
    assert_eq!(rig.driver.counters().buffer_shortages > 0, is_uring);
    assert!(rig.settle() <= 4, "a shortage that is over spins");
}

/// The kernel releases the memory before it is freed, whatever operations are in progress.
pub fn a_driver_may_be_dropped_at_any_time<D: Subject>() {
    for _ in 0..10 {
        let mut rig = Rig::<D>::new();
        let (mut client, name) = rig.client();
        rig.send(name, &pattern(20 << 20));
        client.write_all(&pattern(100_000)).unwrap();
        rig.turn(Duration::ZERO);
        drop(rig);
        let mut rest = Vec::new();
        // A prefix of the sent bytes arrives; then the connection is gone.
        let _ = client.read_to_end(&mut rest);
        assert!(pattern(20 << 20).starts_with(&rest));
    }
}
