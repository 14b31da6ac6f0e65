//! A gateway that has no memory left to allocate: whatever a peer sends, the process continues, and
//! every event that it has acknowledged is in the log.
//!
//! It is a binary of its own, because the limit applies to the process. The address space is
//! limited, so that the C library cannot map more memory, which it does for large allocations. For
//! small allocations there is a reserve, in pieces so small that no large allocation fits.

#![forbid(unsafe_code)]

use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ringway::config::Config;
use ringway::config::Flag;
use ringway::config::Sources;
use ringway::control;
use ringway::control::EarlySignals;
use ringway::encoding::scratch::Scratch;
use ringway::process::{inherited::Inherited, server};
use ringway::session::dispatch::Dispatch;
use ringway::session::dispatch::Due;
use ringway::session::dispatch::Encoder;
use ringway_hub::{Appender, Draft, Epoch, Log, Retention, Subscriptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// See mallopt(3): one heap for all threads; allocations over the threshold are mapped.
const MALLOC: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
];

/// The size of a piece of the reserve, and the number of pieces.
const PIECE_BYTES: usize = 120 << 10;
const PIECES: usize = 400;

const PATIENCE: Duration = Duration::from_secs(30);

/// How many bytes may be mapped: from none to enough for one of the messages, so that each of the
/// allocations for it fails once.
const ROOMS: [u64; 8] = [0, 256 << 10, 1 << 20, 3 << 19, 2 << 20, 3 << 20, 4 << 20, 8 << 20];

/// Connections of one client: the list of them is a large allocation.
const MANY_CONNECTIONS: usize = 100_000;

const EVENT_BYTES: usize = 900 << 10;
const ECHO_BYTES: usize = 2 << 20;

/// Events in one body, so that a core finds all of them in one turn.
const BULK_EVENTS: usize = 4;

/// A gateway in this process, with the addresses of its client listener and its private listener.
fn start(engine: &str) -> (SocketAddr, SocketAddr) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let api = free.local_addr().unwrap();
    drop(free);
    let settings = vec![
        format!("server.io={engine}"),
        format!("server.api_listen={api}"),
        "server.cores=1".to_owned(),
        "socket.send_buffer_bytes=256KiB".to_owned(),
        "history.bytes_max=256MiB".to_owned(),
        "limits.memory_bytes=1GiB".to_owned(),
    ];
    let listen =
        Flag { name: "--listen", key: "listener.address", value: "127.0.0.1:0".to_owned() };
    let sources = Sources { settings, flags: vec![listen], ..Sources::default() };
    let config = Config::load(&sources).unwrap();
    let bound = server::bind(&config, Inherited::default()).unwrap();
    let address = bound.addresses()[0];
    thread::spawn(move || control::run(bound, &config, &EarlySignals::catch().unwrap()));
    (address, api)
}

/// Reserves memory for small allocations.
fn keep_reserve() {
    let pieces: Vec<Vec<u8>> = (0..2 * PIECES).map(|_| Vec::with_capacity(PIECE_BYTES)).collect();
    for (place, piece) in pieces.into_iter().enumerate() {
        // A piece that is kept lies between two free ones, so free pieces do not merge.
        if place % 2 == 0 {
            drop(piece);
        } else {
            std::mem::forget(piece);
        }
    }
}

/// Limits the address space to the mapped bytes and `room` more; `None` removes the limit.
fn limit(room: Option<u64>) {
    let current = room.map(|room| {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
        pages * 4096 + room
    });
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current, maximum }).unwrap();
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    client
}

fn upgrade(address: SocketAddr, target: &str, fields: &str) -> TcpStream {
    let mut client = connect(address);
    write!(
        client,
        "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    client
}

/// A masked frame (RFC 6455 §5.2), whose key of zeros leaves the payload as it is.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length => {
            assert!(length > 0xFFFF, "a length is as short as it can be");
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn post(target: &str, body: &str) -> Vec<u8> {
    post_as("application/json", target, body)
}

fn post_as(media: &str, target: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {media}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Counts how often a pattern occurs in a stream that arrives in pieces. It allocates nothing.
struct Count {
    pattern: &'static [u8],
    matched: usize,
    found: usize,
}

impl Count {
    fn of(pattern: &'static str) -> Self {
        Self { pattern: pattern.as_bytes(), matched: 0, found: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // No pattern here repeats its first byte before it ends.
            self.matched = if byte == self.pattern[self.matched] {
                self.matched + 1
            } else {
                usize::from(byte == self.pattern[0])
            };
            if self.matched == self.pattern.len() {
                (self.found, self.matched) = (self.found + 1, 0);
            }
        }
    }
}

/// Sends `request`, and reads until `pattern` has come this many times or the gateway had no memory
/// for it.
fn ask(mut client: TcpStream, request: &[u8], pattern: &'static str, times: usize) -> usize {
    // The gateway may have closed the connection.
    let _ = client.write_all(request);
    let (mut count, mut buffer) = (Count::of(pattern), [0; 16 << 10]);
    let mut refused = Count::of("out_of_memory");
    let _ = client.set_read_timeout(Some(Duration::from_secs(2)));
    while count.found < times
        && refused.found == 0
        && let Ok(read @ 1..) = client.read(&mut buffer)
    {
        count.take(&buffer[..read]);
        refused.take(&buffer[..read]);
    }
    count.found.min(times)
}

/// A client that reads what it is sent, and counts the events.
#[derive(Debug)]
struct Reader {
    events: Arc<AtomicUsize>,
    has_ended: Arc<AtomicBool>,
}

impl Reader {
    fn start(mut client: TcpStream) -> Self {
        let (events, has_ended) = (Arc::default(), Arc::default());
        let reader = Self { events: Arc::clone(&events), has_ended: Arc::clone(&has_ended) };
        thread::spawn(move || {
            client.set_read_timeout(None).unwrap();
            let (mut count, mut buffer) = (Count::of("~"), [0; 64 << 10]);
            while let Ok(read @ 1..) = client.read(&mut buffer) {
                count.take(&buffer[..read]);
                events.store(count.found, Ordering::Relaxed);
            }
            has_ended.store(true, Ordering::Relaxed);
        });
        reader
    }

    /// Whether it has all events, or its connection has ended, so that it knows that it has not.
    fn is_served(&self, events: usize) -> bool {
        self.has_ended.load(Ordering::Relaxed) || self.events.load(Ordering::Relaxed) >= events
    }
}

/// The counter of clients that were closed for lack of memory.
fn closed_for_memory(api: SocketAddr) -> u64 {
    let mut client = connect(api);
    write!(client, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    let line = text.lines().find(|line| line.contains("ringway_closed_total{reason=\"memory\"}"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("the counter is there")
}

fn is_echoing(address: SocketAddr) -> bool {
    let mut client = upgrade(address, "/echo", "");
    client.write_all(&frame(2, b"well")).unwrap();
    let mut echo = [0; 6];
    client.read_exact(&mut echo).is_ok() && echo == *b"\x82\x04well"
}

fn goes_on_without_memory(engine: &str) {
    let (address, api) = start(engine);
    let data = "x".repeat(EVENT_BYTES);
    let names: Vec<String> = (0..900).map(|number| format!("\"{number:0>100}\"")).collect();
    let [publish, notify] = [
        format!(r#"{{"topic":"t","data":"~{data}"}}"#),
        format!(r#"{{"to":["here",{}],"data":"{data}"}}"#, names.join(",")),
    ];
    let command = |number: usize, verb: &str, rest: &str| {
        format!(r#"{{"type":"{verb}","id":"{number}",{}"#, &rest[1..])
    };
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let plain = Reader::start(upgrade(address, "/ws?client=here&topic=t", ""));
    // Compressed events cannot be counted here.
    let _shared = Reader::start(upgrade(address, "/ws?client=shared&topic=t", deflate));
    let streams =
        ["/sse?topic=t", "/stream?topic=t", "/stream?topic=t&format=iframe"].map(|target| {
            let mut client = connect(address);
            write!(client, "GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            Reader::start(client)
        });
    assert!(is_echoing(address));
    let silent = upgrade(address, "/echo", "");
    silent.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let lines = format!("{publish}\n").repeat(BULK_EVENTS);
    let bulk = post_as("application/x-ndjson", "/v1/publish", &lines);
    let echo = frame(2, &vec![b'e'; ECHO_BYTES]);
    let (mut acknowledged, before) = (0, closed_for_memory(api));
    for (round, room) in ROOMS.into_iter().enumerate() {
        let commands = ["publish", "notify"].map(|verb| {
            let rest = if verb == "publish" { &publish } else { &notify };
            frame(1, command(round, verb, rest).as_bytes())
        });
        let sent = post("/send?client=c", &command(round, "publish", &publish));
        let submissions = [post("/v1/publish", &publish), post("/v1/notify", &notify)];
        let history =
            b"GET /v1/topics/t/history HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        let poll = b"GET /poll?client=p&wait=0&topic=t&last=9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let [by_socket, by_post] =
            ["/ws?client=a", "/ws?client=b"].map(|at| upgrade(address, at, ""));
        let (large, poller) = (upgrade(address, "/echo", ""), connect(address));
        let posting = connect(address);
        let [own, ours, many, asking] = [(); 4].map(|()| connect(api));
        let scarce = || limit(Some(room));
        scarce();
        acknowledged += ask(by_socket, &commands[0], "\"ack\"", 1);
        scarce();
        ask(by_post, &commands[1], "\"ack\"", 1);
        scarce();
        ask(large, &echo, "e", ECHO_BYTES);
        scarce();
        acknowledged += ask(posting, &sent, "\"ack\"", 1);
        scarce();
        acknowledged += ask(own, &submissions[0], "\"cursor\"", 1);
        scarce();
        ask(ours, &submissions[1], "\"cursor\"", 1);
        scarce();
        acknowledged += ask(many, &bulk, "\"cursor\"", BULK_EVENTS);
        scarce();
        ask(asking, history, "cursor", 1);
        scarce();
        ask(poller, poll, "cursor", 1);
        scarce();
        // The bytes that its socket does not take are copied.
        let _ = (&silent).write_all(&echo);
        limit(None);
        assert!(is_echoing(address), "{engine}: with room for {room}");
    }
    let closed = closed_for_memory(api) - before;
    assert!(closed > 0, "{engine}: no allocation has failed");
    let give_up = Instant::now() + PATIENCE;
    for reader in streams.iter().chain([&plain]) {
        while !reader.is_served(acknowledged) {
            assert!(
                Instant::now() < give_up,
                "{engine}: an acknowledged event of {acknowledged} is missing: {reader:?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
    println!("{engine}: {acknowledged} events acknowledged, {closed} clients closed");
}

/// There is memory for the event in the log, but not for sending it.
fn an_event_that_cannot_be_copied_is_read_from_the_log() {
    let log = Log::new(Epoch::new(1), Retention::default());
    let (mut reader, mut subscriptions) = (log.reader(), Subscriptions::new(&log, 0));
    let topics = [subscriptions.subscribe("t", 0)];
    for slot in 0..(MANY_CONNECTIONS as u32) {
        subscriptions.arrive("many".into(), slot);
    }
    let text = |bytes| Draft::new("0".repeat(bytes), 6);
    for draft in [text(EVENT_BYTES).to_topic("t"), text(100).to_recipients(["many"])] {
        log.append(&mut Appender::default(), draft, Duration::ZERO);
    }
    let (mut dispatch, mut scratch) = (Dispatch::default(), Scratch::default());
    let mut encoder = Encoder {
        deflate: None,
        queue_bytes_max: 1 << 20,
        slots: MANY_CONNECTIONS as u32,
        scratch: &mut scratch,
    };
    limit(Some(0));
    let read = dispatch.read(&log, &mut reader, &subscriptions, &mut encoder);
    dispatch.end_turn();
    limit(None);
    read.unwrap();
    let mut visited = vec![false; MANY_CONNECTIONS];
    while let Some(slot) = dispatch.advance() {
        assert_eq!(dispatch.settled(2), 0, "nobody was sent anything");
        assert_eq!(dispatch.find(&topics, 0), Due::Lost, "{slot} reads it from the log");
        if let Some(visited) = visited.get_mut(slot as usize) {
            *visited = true;
        }
    }
    assert!(visited.iter().all(|visited| *visited), "all have to be told");
    assert!(dispatch.is_empty() && dispatch.bytes() == 0);
}

#[test]
fn the_gateway_survives_failed_allocations() {
    if MALLOC.iter().any(|(name, value)| env::var(name).as_deref() != Ok(value)) {
        // The C library reads these variables when a process starts.
        let mut again = Command::new(env::current_exe().unwrap());
        again
            .args(["--exact", "the_gateway_survives_failed_allocations", "--nocapture"])
            .envs(MALLOC);
        assert!(again.status().unwrap().success(), "see above");
        return;
    }
    keep_reserve();
    an_event_that_cannot_be_copied_is_read_from_the_log();
    for engine in ["epoll", "uring"] {
        if engine == "uring" && ringway_acceptor::uring::probe::check(2).is_err() {
            println!("skipped: no io_uring");
            continue;
        }
        goes_on_without_memory(engine);
    }
}
