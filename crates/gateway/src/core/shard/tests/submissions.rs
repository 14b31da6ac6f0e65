//! A log that answers later: a command is answered once, in order, when its event has its place;
//! the wait is bounded in time and in number, and no state remains of a sender that is gone.

use ringway_acceptor::Failure;
use ringway_hub::{Appender, Draft};

use crate::{
    broker::{
        Place,
        source::{LogSource, SubmissionOutcome, SubmitError, Token, Unavailable, held::Held},
    },
    core::shard::tests::*,
    limits::{SUBMISSION_TIME_MAX, SUBMISSION_WAITERS_MAX, SUBMISSIONS_BYTES_MAX, SUBMISSIONS_MAX},
};

/// Two cores, and the log's source.
struct World {
    source: Arc<Held>,
    shards: [Shard; 2],
    mailbox: Mailbox,
    operations: [Operations; 2],
    sent: [String; 2],
    now: Duration,
}

const WS: &str = "GET /ws?client=ann HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
const PUBLISH: &str = r#"{"type":"publish","id":"1","topic":"a","data":1}"#;
const ACK: &str = r#"{"type":"ack","id":"1","cursor":"000000000001-0000000000000001"}"#;

fn connection(slot: u32) -> ConnectionId {
    ConnectionId::new(slot, 0)
}

impl World {
    fn new() -> Self {
        let (source, mailbox) = (Arc::<Held>::default(), Mailbox::default());
        let settings = Arc::new(Settings::from_config(&Config::default()));
        let broker = Broker::new(Epoch::new(1), &settings.history, &settings.history_topics);
        let broker = Arc::new(broker.with_source(Arc::clone(&source) as Arc<dyn LogSource>));
        let shards = std::array::from_fn(|core| {
            mailbox.register(ringway_acceptor::Waker::new().expect("an eventfd"));
            Shard::new(ShardParts {
                broker: Arc::clone(&broker),
                mailbox: mailbox.clone(),
                settings: Arc::clone(&settings),
                core,
                ..parts()
            })
        });
        let now = Duration::from_millis(1);
        Self {
            source,
            shards,
            mailbox,
            operations: Default::default(),
            sent: Default::default(),
            now,
        }
    }

    fn complete(&mut self, core: usize, completion: Completion<'_>) {
        self.shards[core].complete(completion, self.now, &mut self.operations[core]);
    }

    fn connects(&mut self, core: usize, slot: u32) {
        let (connection, peer) = (connection(slot), "127.0.0.1:1".parse().expect("an address"));
        self.complete(core, Completion::Accepted { connection, listener: 0, peer });
    }

    fn receives(&mut self, core: usize, slot: u32, mut bytes: Vec<u8>) {
        let (connection, bytes) = (connection(slot), &mut bytes[..]);
        self.complete(core, Completion::Received { connection, bytes });
        self.turn();
    }

    /// With a client's WebSocket on the first core.
    fn with_socket() -> Self {
        let mut world = Self::new();
        world.connects(0, 1);
        world.receives(0, 1, WS.into());
        world.sent = Default::default();
        world
    }

    fn says(&mut self, text: &str) {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, Some(MaskKeys::new().draw()), Opcode::Text, text.as_bytes());
        self.receives(0, 1, bytes);
    }

    /// The client sends the command in a request.
    fn posts(&mut self, core: usize, slot: u32) {
        self.connects(core, slot);
        let bytes = PUBLISH.len();
        let head = format!("POST /send?client=ann HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}");
        let fields = "Content-Type: application/json";
        self.receives(core, slot, format!("{head}\r\n{fields}\r\n\r\n{PUBLISH}").into());
    }

    /// The only submission since the last time.
    #[track_caller]
    fn submission(&self) -> (Token, Draft) {
        let mut submissions = std::mem::take(&mut *self.source.0.lock().unwrap());
        assert_eq!(submissions.len(), 1, "one submission");
        submissions.remove(0)
    }

    fn is_placed(&mut self, (token, draft): (Token, Draft)) {
        let log = &self.shards[0].hub().broker.log;
        let sequence = log.append(&mut Appender::default(), draft, self.now);
        self.ends(token, Ok(sequence));
    }

    fn ends(&mut self, token: Token, result: SubmissionOutcome) {
        self.mailbox.complete(token, result);
        // Messages from one core to the other, and input that arrived after a command.
        (0..3).for_each(|_| {
            (0..2).for_each(|core| self.complete(core, Completion::Woken));
            self.turn();
        });
    }

    /// Ends a turn of each core.
    fn turn(&mut self) {
        for (core, shard) in self.shards.iter_mut().enumerate() {
            let operations = &mut self.operations[core];
            shard.follow_log(self.now, operations);
            shard.expire(self.now, operations);
            self.sent[core] += &String::from_utf8_lossy(operations.bytes());
            operations.clear();
        }
        self.now += Duration::from_millis(1);
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        (0..3).for_each(|_| self.turn());
    }

    fn count(&self, core: usize, text: &str) -> usize {
        self.sent[core].matches(text).count()
    }

    /// No submission or wait remains.
    #[track_caller]
    fn is_clear(&self) {
        assert!(self.shards.iter().all(|shard| shard.hub().submissions.is_empty()));
        assert_eq!(self.shards[0].hub().broker.pending(), 0);
    }
}

#[test]
fn a_command_is_answered_when_its_event_has_a_cursor_and_before_later_commands() {
    let mut world = World::with_socket();
    world.says(PUBLISH);
    world.says(r#"{"type":"ping","id":"2"}"#);
    assert_eq!(world.sent[0], "", "nothing is answered yet");
    let sleep = world.shards[0].next_deadline(world.now).expect("the wait is bounded");
    assert!(sleep > Duration::ZERO, "there is nothing to do meanwhile");
    let submission = world.submission();
    world.is_placed(submission);
    let places = [ACK, r#"{"type":"pong","#].map(|text| world.sent[0].find(text).expect(text));
    assert!(places.is_sorted(), "{}", world.sent[0]);
    world.says(PUBLISH);
    assert_eq!(world.count(0, ACK), 2, "it is answered as before");
    world.is_clear();
}

#[test]
fn a_command_repeated_while_pending_gets_the_same_answer_on_any_core() {
    let mut world = World::with_socket();
    world.says(PUBLISH);
    world.posts(0, 2);
    world.posts(1, 2);
    assert_eq!(world.sent, ["", ""]);
    let submission = world.submission();
    world.is_placed(submission);
    assert_eq!([world.count(0, ACK), world.count(1, ACK)], [2, 1], "{:?}", world.sent);
    world.is_clear();
}

#[test]
fn a_command_whose_event_was_refused_may_be_sent_again() {
    let mut world = World::with_socket();
    world.says(PUBLISH);
    world.posts(1, 2);
    let (token, _) = world.submission();
    world.ends(token, Err(Unavailable));
    let refused = r#"{"type":"error","id":"1","code":"unavailable""#;
    assert_eq!([world.count(0, refused), world.count(1, refused)], [1, 1], "{:?}", world.sent);
    assert!(world.sent[1].starts_with("HTTP/1.1 503 "), "{}", world.sent[1]);
    world.is_clear();
    world.says(PUBLISH);
    let submission = world.submission();
    world.is_placed(submission);
    assert_eq!(world.count(0, ACK), 1);
}

#[test]
fn only_the_answer_of_a_disconnected_sender_is_kept() {
    let mut world = World::with_socket();
    world.says(PUBLISH);
    let (connection, failure) = (connection(1), Failure(104));
    world.complete(0, Completion::Failed { connection, failure });
    world.turn();
    world.complete(0, Completion::Closed { connection });
    let submission = world.submission();
    world.is_placed(submission);
    assert_eq!(world.sent[0], "");
    world.is_clear();
    world.posts(1, 2);
    assert_eq!(world.count(1, ACK), 1, "it is remembered");
}

#[test]
fn an_outcome_is_awaited_within_bounds_and_a_late_one_answers_a_repeat() {
    let mut world = World::with_socket();
    world.says(PUBLISH);
    world.posts(1, 2);
    world.passes(SUBMISSION_TIME_MAX + Duration::from_secs(1));
    assert_eq!([0, 1].map(|core| world.count(core, "unavailable")), [1, 1], "{:?}", world.sent);
    world.posts(1, 3);
    assert_eq!(world.count(1, ACK), 0, "the event is still with the source");
    let submission = world.submission();
    world.is_placed(submission);
    assert_eq!([0, 1].map(|core| world.count(core, ACK)), [0, 1], "a waiting client is answered");
    world.is_clear();
}

#[test]
fn a_drain_waits_for_outcomes_as_long_as_for_events_and_then_refuses_commands() {
    for is_answered in [true, false] {
        let mut world = World::with_socket();
        world.says(PUBLISH);
        world.mailbox.drain(Duration::from_secs(10));
        (0..2).for_each(|core| world.complete(core, Completion::Woken));
        world.passes(Duration::from_millis(10));
        assert_eq!(world.sent, ["", ""], "nobody is told to leave");
        let submission = world.submission();
        if is_answered {
            world.is_placed(submission);
            assert_eq!(world.count(0, ACK), 1, "{}", world.sent[0]);
        } else {
            world.passes(Duration::from_secs(1));
            assert_eq!(world.count(0, "going_away"), 1, "{}", world.sent[0]);
            world.is_placed(submission);
            assert_eq!(world.count(0, ACK), 0, "it was refused");
        }
        world.passes(Duration::from_secs(1));
        assert_eq!(world.count(0, "the server is going away"), 1);
    }
}

#[test]
fn pending_commands_are_bounded() {
    let world = World::new();
    let broker = &world.shards[0].hub().broker;
    let publish = |submitter: &mut Submitter, data: &str| {
        let notice = Notice { from: None, event: None, data, ttl: None };
        broker.publish(submitter, notice, "a", Echo::Yes, world.now)
    };
    for (data, most) in [("1", SUBMISSIONS_MAX), (&*"1".repeat(MIB), SUBMISSIONS_BYTES_MAX / MIB)] {
        let mut submitter = Submitter::default();
        for _ in 0..most {
            assert!(matches!(publish(&mut submitter, data), Ok(Place::Pending(_))));
        }
        assert_eq!(publish(&mut submitter, data), Err(SubmitError::Unavailable));
    }
    let mut world = World::with_socket();
    world.says(PUBLISH);
    for slot in 2..2 + SUBMISSION_WAITERS_MAX as u32 {
        world.posts(1, slot);
    }
    assert_eq!(world.count(1, "HTTP/1.1 503 "), 1, "too many wait for one answer");
}

const MIB: usize = 1 << 20;
