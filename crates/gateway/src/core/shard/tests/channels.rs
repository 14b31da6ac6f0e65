//! Clients whose connections have a record layer, and plain ones: both exchange the same bytes, and
//! a broken record ends one connection and is counted.

use ringway_acceptor::Outgoing;

use crate::{
    auth::{Credentials, Decision, Grants, Identification, Identity, IdentitySource, Ticket},
    core::shard::tests::*,
    limits::LARGE_EVENT_BYTES,
    outbox::channel::{
        Channels, Opened, RecordLayer,
        xor::{ALERT, HEAD_BYTES, XorLayer},
    },
};
use proptest::prelude::*;
use std::{collections::HashMap, sync::Mutex};

/// The listener whose connections have a record layer.
const LAYERED: u16 = 1;

/// One core with a plain listener and one with a record layer.
struct World {
    shard: Shard,
    operations: Operations,
    now: Duration,
    clients: HashMap<u32, Client>,
}

/// A connection as its client sees it.
#[derive(Default)]
struct Client {
    layer: Option<XorLayer>,
    /// The bytes that it was sent, as they arrived.
    received: Vec<u8>,
    /// The same as plain text.
    heard: Vec<u8>,
    /// The end of the records, FIN and similar.
    ends: Vec<&'static str>,
}

fn connection(slot: u32) -> ConnectionId {
    ConnectionId::new(slot, 0)
}

impl World {
    fn new() -> Self {
        let mut channels = Channels::default();
        channels.set(LAYERED, Arc::new(|| Box::new(XorLayer::server(5))));
        let mut shard = shard();
        shard.channels = channels;
        let (operations, now) = (Operations::default(), Duration::from_millis(1));
        Self { shard, operations, now, clients: HashMap::new() }
    }

    fn complete(&mut self, completion: Completion<'_>) {
        self.shard.complete(completion, self.now, &mut self.operations);
    }

    /// A client connects to a listener, and sends nothing yet.
    fn accept(&mut self, slot: u32, listener: u16) {
        let (connection, peer) = (connection(slot), "127.0.0.1:1".parse().expect("an address"));
        self.complete(Completion::Accepted { connection, listener, peer });
        self.clients.insert(slot, Client::default());
    }

    /// A client connects, and completes its handshake if it has one.
    fn come(&mut self, slot: u32, listener: u16) {
        self.accept(slot, listener);
        if listener == LAYERED {
            let mut hello = Vec::new();
            let layer = XorLayer::client(11, &mut hello);
            self.client(slot).layer = Some(layer);
            self.receive(slot, hello);
            self.turn();
        }
    }

    fn client(&mut self, slot: u32) -> &mut Client {
        self.clients.get_mut(&slot).expect("it came")
    }

    /// The bytes that a client sends for `plain`.
    fn sealed(&mut self, slot: u32, plain: &[u8]) -> Vec<u8> {
        let mut out = plain.to_vec();
        if let Some(layer) = &mut self.client(slot).layer {
            layer.seal(&mut out, 0);
        }
        out
    }

    fn say(&mut self, slot: u32, plain: &[u8]) {
        let bytes = self.sealed(slot, plain);
        self.receive(slot, bytes);
    }

    fn receive(&mut self, slot: u32, mut bytes: Vec<u8>) {
        self.complete(Completion::Received { connection: connection(slot), bytes: &mut bytes });
    }

    fn end(&mut self, slot: u32) {
        self.complete(Completion::EndOfStream { connection: connection(slot) });
    }

    fn turn(&mut self) {
        self.shard.follow_log(self.now, &mut self.operations);
        self.shard.expire(self.now, &mut self.operations);
        self.now += Duration::from_millis(1);
        let (operations, turn) = self.operations.drain();
        for operation in operations {
            let (connection, end) = match operation {
                Operation::Send { connection, outgoing } => {
                    let client = self.clients.get_mut(&connection.slot()).expect("it came");
                    assert_eq!(client.ends, [""; 0], "nothing is sent behind the end");
                    match outgoing {
                        Outgoing::Turn(range) => client.hear(&turn[range]),
                        Outgoing::Owned { bytes, start } => client.hear(&bytes[start..]),
                        Outgoing::Shared(bytes) => client.hear(&bytes),
                        Outgoing::Pieces(pieces) => {
                            pieces.iter().for_each(|piece| client.hear(piece.bytes(turn)));
                        }
                    }
                    continue;
                }
                Operation::Shutdown(connection) => (connection, "fin"),
                Operation::Close(connection) => (connection, "close"),
                Operation::Reset(connection) => (connection, "reset"),
                _ => continue,
            };
            self.clients.get_mut(&connection.slot()).expect("it came").ends.push(end);
        }
        self.operations.clear();
    }

    fn channel_errors(&self) -> u64 {
        self.shard.core.metrics.channel_errors.value()
    }
}

impl Client {
    fn hear(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        let Some(layer) = &mut self.layer else { return self.heard.extend_from_slice(bytes) };
        let mut bytes = bytes.to_vec();
        let mut rest = &mut bytes[..];
        while rest.first().is_some_and(|first| *first != ALERT) {
            match layer.open(&mut rest, &mut Vec::new()).expect("records in order") {
                Opened::InPlace(plain) => self.heard.extend_from_slice(plain),
                Opened::Assembled(plain) => self.heard.extend(plain),
                Opened::Nothing => {}
                Opened::Ended => self.heard.extend(b"<ended>"),
            }
        }
    }
}

fn upgrade(target: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

fn frame(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit_frame(&mut bytes, Some([1, 2, 3, 4]), Opcode::Text, text.as_bytes());
    bytes
}

/// What a client of `/echo` receives when it sends this, split like this.
fn echoed(listener: u16, said: &[Vec<u8>], sizes: &[usize]) -> (Vec<u8>, Vec<&'static str>) {
    let mut world = World::new();
    world.come(0, listener);
    let said = [upgrade("/echo"), said.concat()].concat();
    // Records are sealed at other boundaries than those of the receives.
    let bytes: Vec<u8> = said.chunks(150).flat_map(|part| world.sealed(0, part)).collect();
    let mut rest = &bytes[..];
    for size in sizes.iter().copied().chain([usize::MAX]) {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        rest = behind;
        if !piece.is_empty() {
            world.receive(0, piece.to_vec());
            // Several receives in a turn, or one.
            if size % 2 == 0 {
                world.turn();
            }
        }
    }
    for _ in 0..20 {
        world.turn();
    }
    assert_eq!(world.channel_errors(), 0);
    let client = world.client(0);
    (std::mem::take(&mut client.heard), std::mem::take(&mut client.ends))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn records_cut_anywhere_are_served_like_plain_text(
        lengths in prop::collection::vec(0_usize..2_000, 1..6),
        sizes in prop::collection::vec(1_usize..400, 0..20),
    ) {
        let said: Vec<Vec<u8>> = lengths.iter().map(|length| frame(&"x".repeat(*length))).collect();
        let close = [0x88, 0x80, 0, 0, 0, 0].to_vec();
        let said = [said, vec![close]].concat();
        let (plain, ends) = echoed(0, &said, &[]);
        prop_assert_eq!(ends, ["fin"]);
        let (heard, ends) = echoed(LAYERED, &said, &sizes);
        prop_assert_eq!(ends, ["fin"]);
        prop_assert_eq!(heard, [plain, b"<ended>".to_vec()].concat());
    }
}

/// Small events are staged once for all clients, large ones are shared: both pass through a layer.
#[test]
fn a_broadcast_is_the_same_on_plain_and_layered_connections() {
    for target in ["/ws?client=c&topic=a", "/sse?client=c&topic=a", "/stream?client=c&topic=a"] {
        let mut world = World::new();
        for slot in 0..4 {
            world.come(slot, if slot % 2 == 0 { 0 } else { LAYERED });
            match target.starts_with("/ws") {
                true => world.say(slot, &upgrade(target)),
                false => {
                    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
                    world.say(slot, request.as_bytes());
                }
            }
        }
        world.turn();
        let begun: Vec<usize> = (0..4).map(|slot| world.client(slot).heard.len()).collect();
        assert!(begun.iter().all(|bytes| *bytes > 100), "{target}: a head and a welcome");
        for length in [1, 700, LARGE_EVENT_BYTES, 3] {
            let data = format!("\"{}\"", "x".repeat(length));
            let notice = Notice { from: None, event: None, data: &data, ttl: None };
            let broker = Arc::clone(&world.shard.hub().broker);
            broker.publish(&mut Submitter::default(), notice, "a", Echo::Yes, world.now).unwrap();
            world.turn();
        }
        for _ in 0..5 {
            world.turn();
        }
        let events: Vec<Vec<u8>> =
            (0..4).map(|slot| world.client(slot).heard[begun[slot as usize]..].to_vec()).collect();
        assert!(events[0].len() > LARGE_EVENT_BYTES, "{target}");
        events.iter().for_each(|heard| assert!(*heard == events[0], "{target}"));
        let received = world.client(1).received.len();
        assert!(received > world.client(1).heard.len(), "{target}: records are longer");
    }
}

#[test]
fn an_answer_to_a_poll_passes_through_a_layer() {
    let mut world = World::new();
    for (slot, listener) in [(0, 0), (1, LAYERED)] {
        world.come(slot, listener);
        world.say(slot, b"GET /poll?client=c&topic=a&wait=5 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    world.turn();
    let data = format!("\"{}\"", "x".repeat(2 * LARGE_EVENT_BYTES));
    let notice = Notice { from: None, event: None, data: &data, ttl: None };
    let broker = Arc::clone(&world.shard.hub().broker);
    broker.publish(&mut Submitter::default(), notice, "a", Echo::Yes, world.now).unwrap();
    for _ in 0..5 {
        world.turn();
    }
    let plain = std::mem::take(&mut world.client(0).heard);
    assert!(plain.len() > 2 * LARGE_EVENT_BYTES);
    assert!(world.client(1).heard == plain);
}

/// An event on the first connection, or on the core.
type Act = fn(&mut World);

/// Its name, whether the handshake is complete before it, the event; what the client then receives,
/// how the gateway ends the connection, and what is counted.
type Case = (&'static str, Open, [Act; 2], &'static str, &'static [&'static str], u64);

fn half_a_hello(world: &mut World) {
    world.receive(0, vec![0xC5, 1, 2]);
}

fn wrong_hello(world: &mut World) {
    world.receive(0, b"GET / HTTP/1.1\r\n\r\n".to_vec());
}

fn ask(world: &mut World) {
    world.say(0, b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
}

fn ask_and_break(world: &mut World) {
    let mut bytes = world.sealed(0, b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    let broken = world.sealed(0, b"GET /echo HTTP/1.1\r\n");
    bytes.extend(broken);
    *bytes.last_mut().expect("a body") ^= 1;
    world.receive(0, bytes);
}

/// Input before the broken record waits for its turn, which comes after FIN.
fn ask_and_break_behind_a_backlog(world: &mut World) {
    let connection = connection(0);
    world.complete(Completion::Backlogged { connection, unsent_bytes: 10, shared_bytes: 0 });
    ask_and_break(world);
    world.end(0);
    world.turn();
    assert_eq!(world.client(0).ends, [""; 0], "it is not over yet");
    world.complete(Completion::Drained { connection });
}

fn too_long(world: &mut World) {
    world.receive(0, vec![1, 0xFF, 0xFF, 0]);
}

fn half_a_record(world: &mut World) {
    let bytes = world.sealed(0, b"GET / HTTP/1.1\r\n");
    world.receive(0, bytes[..HEAD_BYTES + 3].to_vec());
}

fn fin(world: &mut World) {
    world.end(0);
}

fn say_bye(world: &mut World) {
    let mut bye = Vec::new();
    world.client(0).layer.as_mut().expect("it has one").close(&mut bye);
    world.receive(0, bye);
}

fn drain(world: &mut World) {
    world.shard.hub().mailbox.drain(Duration::from_secs(1));
    world.complete(Completion::Woken);
}

fn fail(world: &mut World) {
    let failure = ringway_acceptor::Failure(104);
    world.complete(Completion::Failed { connection: connection(0), failure });
}

fn idle(world: &mut World) {
    world.now += Duration::from_secs(3_600);
    world.turn();
    let (connection, acknowledged_bytes) = (connection(0), 1);
    world.complete(Completion::Progress {
        connection,
        acknowledged_bytes,
        unacknowledged_bytes: 0,
    });
}

fn none(_: &mut World) {}

#[test]
fn a_broken_record_ends_only_its_connection() {
    let cases: [Case; 15] = [
        ("a wrong hello", Open::No, [wrong_hello, none], "<alert>", &["fin"], 1),
        ("FIN before the hello", Open::No, [fin, none], "", &["fin", "close"], 0),
        ("FIN in the hello", Open::No, [half_a_hello, fin], "", &["fin", "close"], 1),
        ("a drain before the hello", Open::No, [drain, none], "", &["fin"], 0),
        ("no hello in time", Open::No, [idle, none], "", &["fin"], 0),
        ("a reset", Open::Yes, [fail, none], "", &["close"], 0),
        (
            "a broken record behind a request",
            Open::Yes,
            [ask_and_break, none],
            "404<alert>",
            &["fin"],
            1,
        ),
        (
            "a broken record behind a request that waits",
            Open::Yes,
            [ask_and_break_behind_a_backlog, none],
            "404<alert>",
            &["fin"],
            1,
        ),
        ("a record that is too long", Open::Yes, [too_long, ask], "<alert>", &["fin"], 1),
        ("FIN in a record", Open::Yes, [half_a_record, fin], "<ended>", &["fin", "close"], 1),
        ("FIN behind a request", Open::Yes, [ask, fin], "404<ended>", &["fin", "close"], 0),
        ("the last record, then FIN", Open::Yes, [say_bye, fin], "<ended>", &["fin", "close"], 0),
        ("the last record alone", Open::Yes, [say_bye, ask], "<ended>", &["fin", "close"], 0),
        ("a drain", Open::Yes, [drain, none], "<ended>", &["fin"], 0),
        ("nothing for long", Open::Yes, [ask, idle], "404<ended>", &["close"], 0),
    ];
    let mut wrong = Vec::new();
    for (name, open, acts, heard, ends, errors) in cases {
        let mut world = World::new();
        match open {
            Open::Yes => world.come(0, LAYERED),
            Open::No => world.accept(0, LAYERED),
        }
        // A plain connection on the same core, on which nothing happens.
        world.come(1, 0);
        acts.into_iter().for_each(|act| act(&mut world));
        world.turn();
        world.now += Duration::from_millis(50);
        world.turn();
        let errors_now = world.channel_errors();
        let client = world.client(0);
        let mut said = match open {
            Open::Yes => String::from_utf8_lossy(&client.heard).into_owned(),
            Open::No => String::new(),
        };
        if said.contains("HTTP/1.1 404") {
            let ended = if said.ends_with("<ended>") { "<ended>" } else { "" };
            said = format!("404{ended}");
        }
        if client.received.last() == Some(&ALERT) {
            said += "<alert>";
        }
        let found = (said, client.ends.clone(), errors_now);
        if found != (heard.to_owned(), ends.to_vec(), errors) {
            wrong.push((name, found));
        }
        assert!(world.shard.core.memory.held() < 1024, "{name}: nothing is kept");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether the handshake is complete.
#[derive(Clone, Copy)]
enum Open {
    Yes,
    No,
}

#[test]
fn an_incomplete_record_counts_as_memory_until_it_is_complete() {
    let mut world = World::new();
    world.come(0, LAYERED);
    let record = world.sealed(0, &[b'x'; 150]);
    world.receive(0, record[..120].to_vec());
    assert!(world.shard.core.memory.held() >= 120);
    let before = world.shard.core.memory.held();
    world.receive(0, record[120..].to_vec());
    world.say(0, b" / HTTP/1.1\r\nHost: a\r\n\r\n");
    world.turn();
    assert!(world.shard.core.memory.held() < before);
    assert!(world.client(0).heard.starts_with(b"HTTP/1.1 "));
}

#[test]
fn a_client_refused_before_its_handshake_is_only_closed() {
    let mut world = World::new();
    (0..100).for_each(|slot| world.accept(slot, 0));
    world.accept(100, 0);
    world.accept(101, LAYERED);
    world.turn();
    assert!(world.client(100).heard.starts_with(b"HTTP/1.1 503"));
    let client = world.client(101);
    assert_eq!((&*client.received, &*client.ends), (&b""[..], &["fin"][..]));
}

/// Identifies clients when the test says so.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Option<Ticket>>>);

impl IdentitySource for Later {
    fn identify(&self, _: &Credentials<'_>) -> Decision {
        let asked = Arc::clone(&self.0);
        Decision::Waiting(Box::new(move |ticket| *asked.lock().unwrap() = Some(ticket)))
    }
}

#[test]
fn a_pending_request_is_answered_before_the_broken_record_after_it_takes_effect() {
    let (mut world, source) = (World::new(), Later::default());
    world.shard.core.identities = Identification::new(Arc::new(source.clone()), 0);
    let mailbox = world.shard.hub().mailbox.clone();
    mailbox.register(ringway_acceptor::Waker::new().expect("an eventfd"));
    world.come(0, LAYERED);
    world.say(0, b"GET /poll?wait=0 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut broken = world.sealed(0, b"GET /poll?wait=0 HTTP/1.1\r\nHost: a\r\n\r\n");
    broken[HEAD_BYTES] ^= 1;
    world.receive(0, broken);
    world.turn();
    let client = world.client(0);
    assert!(client.heard.is_empty() && client.ends.is_empty(), "it waits");
    let ticket = source.0.lock().unwrap().expect("it was asked");
    let result = Ok(Identity::new("ann", Grants::BySettings));
    mailbox.tell(ticket.core, CoreMessage::Identified { ticket, result });
    world.complete(Completion::Woken);
    (0..3).for_each(|_| world.turn());
    let client = world.client(0);
    assert!(client.heard.starts_with(b"HTTP/1.1 200"));
    assert_eq!((client.received.last(), &*client.ends), (Some(&ALERT), &["fin"][..]));
    assert_eq!(world.channel_errors(), 1);
}
