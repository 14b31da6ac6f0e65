//! A client is identified later: until then nothing is answered, nothing else of the connection is
//! served, and the wait is bounded in time and in number.

use std::sync::Mutex;

use ringway_acceptor::wheel::TICK;

use super::*;
use crate::{
    auth::Ticket,
    limits::{DEFERRED_BYTES_MAX, IDENTITIES_WAITING_MAX, IDENTITY_TIMEOUT},
};

/// Answers when the test says so.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Vec<Ticket>>>);

impl IdentitySource for Later {
    fn identify(&self, _: &Credentials<'_>) -> Decision {
        let tickets = Arc::clone(&self.0);
        Decision::Waiting(Box::new(move |ticket| tickets.lock().unwrap().push(ticket)))
    }
}

impl Later {
    /// The only ticket since the last time.
    #[track_caller]
    fn ticket(&self) -> Ticket {
        let tickets = std::mem::take(&mut *self.0.lock().unwrap());
        assert_eq!(tickets.len(), 1, "one question");
        tickets[0]
    }

    fn is_not_asked(&self) {
        assert!(self.0.lock().unwrap().is_empty());
    }
}

fn ann() -> Result<Identity, Refusal> {
    Ok(Identity::new("ann", Grants::BySettings))
}

const POLL: &str = "GET /poll?wait=0 HTTP/1.1\r\nHost: a\r\n\r\n";

impl World {
    /// With a client whose request waits.
    fn waiting(line: &str, fields: &str) -> (Self, Later) {
        let source = Later::default();
        let mut world = Self::new(source.clone());
        world.requests(line, fields);
        world.waits();
        (world, source)
    }

    /// Nothing was answered or done, and there is nothing to do.
    #[track_caller]
    fn waits(&mut self) {
        self.turn();
        assert_eq!(self.sent, "");
        assert_eq!(self.shard.core.identities.waiting(), 1);
        assert_eq!(self.shard.hub().broker.directory.connections("ann"), 0);
        let sleep = self.shard.next_deadline(self.now).expect("it is bounded");
        assert!(sleep > Duration::ZERO && sleep <= IDENTITY_TIMEOUT + TICK, "{sleep:?}");
    }

    fn answers(&mut self, ticket: Ticket, result: Result<Identity, Refusal>) {
        let mailbox = self.shard.hub().mailbox.clone();
        mailbox.tell(ticket.core, CoreMessage::Identified { ticket, result });
        self.complete(Completion::Woken);
        // Input that arrived after the request is served in a turn of its own.
        self.turn();
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.turn();
        self.turn();
    }

    /// No request waits, and an answer now changes nothing.
    #[track_caller]
    fn ignores(&mut self, ticket: Ticket) {
        assert_eq!(self.shard.core.identities.waiting(), 0);
        let (sent, done) = (self.sent.clone(), self.done.len());
        self.answers(ticket, ann());
        assert_eq!((&self.sent, self.done.len()), (&sent, done));
        assert_eq!(self.shard.core.identities.waiting(), 0);
    }
}

#[test]
fn every_request_is_answered_when_its_client_is_identified() {
    for (line, fields, status) in REQUESTS {
        let (mut world, source) = World::waiting(line, fields);
        world.answers(source.ticket(), ann());
        assert_eq!(world.statuses()[..1], [status], "{line} {fields:?} {}", world.sent);
        let is_sent = line.starts_with("POST") && status == 200;
        assert_eq!(world.shard.hub().broker.log.head(), u64::from(is_sent), "{line}");
        assert_eq!(world.shard.core.identities.waiting(), 0);
        world.ends();
    }
}

#[test]
fn every_request_of_a_refused_client_is_refused() {
    for (line, fields, _) in REQUESTS {
        let (mut world, source) = World::waiting(line, fields);
        let ticket = source.ticket();
        world.answers(ticket, Err(Refusal::ForeignOrigin));
        assert_eq!(world.statuses(), [403], "{line} {fields:?} {}", world.sent);
        assert_eq!(world.shard.hub().broker.directory.clients(), 0, "{line}");
        assert_eq!(world.shard.hub().broker.log.head(), 0, "{line}");
        world.ignores(ticket);
        world.ends();
    }
}

#[test]
fn a_request_waits_no_longer_than_its_timeout() {
    for (line, fields, _) in REQUESTS {
        let (mut world, source) = World::waiting(line, fields);
        world.passes(IDENTITY_TIMEOUT - Duration::from_millis(100));
        world.waits();
        world.passes(Duration::from_millis(100));
        assert_eq!(world.statuses(), [504], "{line} {fields:?} {}", world.sent);
        assert!(world.sent.contains("\r\nRetry-After: "), "{}", world.sent);
        let class = ErrorClass::Identity as usize;
        assert_eq!(world.shard.core.metrics.refused_requests[class].value(), 1);
        world.ignores(source.ticket());
        assert_eq!(world.shard.hub().broker.directory.clients(), 0, "{line}");
        world.ends();
    }
}

#[test]
fn no_more_requests_wait_than_the_limit() {
    let source = Later::default();
    let mut world = World::new(source.clone());
    for slot in 0..=IDENTITIES_WAITING_MAX {
        let (connection, peer) =
            (ConnectionId::new(slot as u32, 0), "127.0.0.1:1".parse().unwrap());
        if slot > 0 {
            world.shard.core.limiter = Arc::new(ConnectionLimiter::new(ConnectionLimits {
                connections_max: 10_000,
                connections_per_address_max: 10_000,
                exempt: Vec::new(),
            }));
            world.complete(Completion::Accepted { connection, listener: 0, peer });
        }
        world.complete(Completion::Received { connection, bytes: &mut POLL.as_bytes().to_vec() });
        assert_eq!(world.sent.is_empty(), slot < IDENTITIES_WAITING_MAX);
    }
    assert_eq!(world.statuses(), [504]);
    assert_eq!(source.0.lock().unwrap().len(), IDENTITIES_WAITING_MAX, "no question was asked");
    let first = source.0.lock().unwrap()[0];
    world.answers(first, ann());
    assert_eq!(world.statuses(), [504, 200]);
    world.receive(POLL);
    assert_eq!(world.statuses(), [504, 200], "there is room again");
}

/// An answer is for one request, and not for the next one of its connection.
#[test]
fn a_repeated_answer_counts_once() {
    let (mut world, source) = World::waiting("GET /poll?wait=0", "");
    let first = source.ticket();
    world.answers(first, ann());
    assert_eq!(world.statuses(), [200]);
    world.receive(POLL);
    world.sent.clear();
    world.answers(first, ann());
    world.waits();
    world.answers(source.ticket(), Err(Refusal::ForeignOrigin));
    assert_eq!(world.statuses(), [403]);
}

#[test]
fn the_request_of_a_client_that_resets_is_dropped() {
    let (mut world, source) = World::waiting("GET /ws?client=ann", UPGRADE);
    let failure = ringway_acceptor::Failure(104);
    world.complete(Completion::Failed { connection: world.connection, failure });
    world.ignores(source.ticket());
    world.is_closed();
    assert_eq!(world.sent, "");
}

/// The next connection in its slot waits for an answer of its own.
#[test]
fn an_answer_for_a_connection_that_is_gone_is_ignored() {
    let (mut world, source) = World::waiting("GET /sse", "");
    let stale = source.ticket();
    let failure = ringway_acceptor::Failure(104);
    world.complete(Completion::Failed { connection: world.connection, failure });
    world.is_closed();
    world.ignores(stale);
    world.connection = ConnectionId::new(0, 1);
    world.connects();
    world.requests("GET /sse", "");
    world.answers(stale, ann());
    world.waits();
    world.answers(source.ticket(), ann());
    assert_eq!(world.statuses(), [200]);
}

/// RFC 9112 §9.6: a client that sends no more may still read its answer.
#[test]
fn a_client_that_has_sent_fin_gets_its_answer() {
    let requests = [
        ("GET /poll?wait=0", ""),
        ("GET /poll?wait=0", "Connection: close\r\n"),
        ("GET /sse", ""),
        ("POST /send", "Content-Length: 56\r\nConnection: close\r\n"),
    ];
    let cases = requests.into_iter().flat_map(|one| [(one, true), (one, false)]);
    for ((line, fields), is_answered) in cases {
        let (mut world, source) = World::waiting(line, fields);
        world.complete(Completion::EndOfStream { connection: world.connection });
        world.waits();
        match is_answered {
            true => world.answers(source.ticket(), ann()),
            false => world.passes(IDENTITY_TIMEOUT + TICK),
        }
        assert_eq!(world.statuses(), [if is_answered { 200 } else { 504 }]);
        (0..10).for_each(|_| world.turn());
        world.is_closed();
    }
}

/// Input that arrives meanwhile is kept, within bounds, and served afterwards.
#[test]
fn a_client_that_goes_on_sending_is_paused() {
    let (mut world, source) = World::waiting("GET /poll?wait=0", "");
    let piece = POLL.repeat(DEFERRED_BYTES_MAX / POLL.len() / 2);
    let mut kept = 0;
    while !world.done.contains(&"pause") {
        world.receive(&piece);
        kept += piece.len();
        world.waits();
        let held = world.shard.core.memory.held();
        assert!(held as usize >= kept, "{held} of {kept} bytes are accounted for");
        assert!(kept <= DEFERRED_BYTES_MAX + piece.len(), "it is paused");
    }
    assert_eq!(world.done, ["pause"]);
    world.answers(source.ticket(), ann());
    assert_eq!(world.statuses(), [200]);
    // The next request now waits, and the rest of the input with it.
    world.sent.clear();
    let second = source.ticket();
    world.waits();
    world.answers(second, Err(Refusal::Timeout));
    assert_eq!(world.statuses(), [408], "after which nothing is read");
    source.is_not_asked();
    assert_eq!(world.done, ["pause", "end", "resume"]);
}

/// The body of a command may arrive while its client is being identified.
#[test]
fn a_body_that_arrives_meanwhile_is_read_afterwards() {
    let (mut world, source) =
        World::waiting("POST /send", "Content-Length: 56\r\nExpect: 100-continue\r\n");
    let (first, second) = COMMAND.split_at(20);
    world.receive(first);
    world.waits();
    world.answers(source.ticket(), ann());
    assert_eq!(world.sent, "", "the body has begun, so no 100 is sent");
    world.receive(second);
    assert_eq!(world.statuses(), [200]);
    assert_eq!(world.shard.hub().broker.log.head(), 1);
}

/// A client that is told to leave gets its answer first; then it leaves like any other.
#[test]
fn a_drain_waits_for_pending_requests() {
    for (line, fields, ending) in [
        ("GET /poll?wait=0", "", "Connection: close\r\n"),
        ("GET /ws", UPGRADE, "the server is going away"),
    ] {
        for is_answered in [true, false] {
            let (mut world, source) = World::waiting(line, fields);
            world.shard.hub().mailbox.drain(Duration::from_secs(30));
            world.complete(Completion::Woken);
            for _ in 0..5 {
                world.passes(Duration::from_millis(50));
                assert_eq!((&*world.sent, &world.done[..]), ("", &[][..]));
            }
            match is_answered {
                true => world.answers(source.ticket(), ann()),
                false => world.passes(IDENTITY_TIMEOUT + TICK),
            }
            world.passes(Duration::from_millis(50));
            world.passes(Duration::from_millis(50));
            let ending = if is_answered { ending } else { "Connection: close\r\n" };
            assert!(world.sent.contains(ending), "{line}: {}", world.sent);
            assert_eq!(world.statuses().len(), 1);
        }
    }
}
