//! Clients that leave while their input waits.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A client that has sent too much rests; then it sends FIN, which waits behind the rest of its input.
#[test]
fn a_fin_behind_input_that_waits_ends_the_connection_in_a_drain() {
    for request in ["GET /stream HTTP/1.1", "GET /stream HTTP/1.0", "GET /sse HTTP/1.1"] {
        let mut shard = shard_with(|settings| {
            settings.limits.bytes_per_second_max = 1_000;
            settings.limits.burst_time = SECOND;
        });
        let (mut operations, mut now) = (Operations::default(), SECOND);
        let connection = ConnectionId::new(0, 0);
        let mut ended = |shard: &mut Shard, completion: Option<Completion<'_>>, now| {
            if let Some(completion) = completion {
                shard.complete(completion, now, &mut operations);
            }
            shard.follow_log(now, &mut operations);
            shard.expire(now, &mut operations);
            let is_end = |operation: &Operation| matches!(operation, Operation::Close(_));
            let is_ended = operations.drain().0.any(|operation| is_end(&operation));
            operations.clear();
            is_ended
        };
        let peer = "127.0.0.1:1".parse().expect("an address");
        let accepted = Completion::Accepted { connection, listener: 0, peer };
        assert!(!ended(&mut shard, Some(accepted), now));
        let mut head = format!("{request}\r\nHost: a\r\n\r\n").into_bytes();
        let mut flood = vec![b'x'; 100_000];
        for bytes in [&mut head[..], &mut flood[..]] {
            assert!(!ended(&mut shard, Some(Completion::Received { connection, bytes }), now));
        }
        let fin = Completion::EndOfStream { connection };
        assert!(
            !ended(&mut shard, Some(fin), now),
            "{request}: it waits until the client has rested"
        );
        shard.hub().mailbox.drain(2 * SECOND);
        let begun = now;
        while !ended(&mut shard, Some(Completion::Woken), now) {
            now += Duration::from_millis(10);
            assert!(now < begun + SECOND / 2, "{request}: its FIN counts");
        }
    }
}
