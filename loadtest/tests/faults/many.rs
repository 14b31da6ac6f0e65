//! Many connections: how many one host's descriptors allow, and the tester's memory for each.
//!
//! The server is one thread of this process, so each process has one descriptor for each
//! connection.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use ringway_acceptor::{
    Completion, ConnectionId, Driver, Listener, Operation, Operations, SendMark, Settings,
    SocketOptions, descriptors, epoll::EpollDriver,
};
use ringway_frame::{
    Message, MessageReader, Opcode, ReadLimits, Role, emit_close, emit_frame,
    handshake::server::emit_response,
};
use serde_json::Value;

use crate::run::engines;

/// Each test needs most of the descriptors that this process may open.
static DESCRIPTORS: Mutex<()> = Mutex::new(());

/// Descriptors that both processes need for other purposes.
const OTHERS: u64 = 1_000;

/// An echo server in one thread; dropping it ends it.
struct Echo {
    address: SocketAddr,
    is_over: Sender<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Echo {
    fn start() -> Self {
        descriptors::raise_limit().unwrap();
        let listener =
            Listener::bind("127.0.0.1:0".parse().unwrap(), 4096, &SocketOptions::default())
                .unwrap();
        let address = listener.address();
        let (is_over, over) = mpsc::channel();
        let thread = thread::spawn(move || {
            let settings = Settings { connections_max: 30_000, ..Settings::default() };
            let mut driver = EpollDriver::new(&settings, vec![listener]).unwrap();
            let (mut guests, mut operations) = (HashMap::new(), Operations::default());
            while over.try_recv() == Err(mpsc::TryRecvError::Empty) {
                driver.submit(&mut operations);
                driver.wait(Some(Duration::from_millis(50))).unwrap();
                while let Some(completion) = driver.next() {
                    hear(completion, &mut guests, &mut operations);
                }
            }
        });
        Self { address, is_over, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.is_over.send(());
        self.thread.take().map(thread::JoinHandle::join);
    }
}

enum Guest {
    Arriving(Vec<u8>),
    Here(MessageReader),
}

fn hear(
    completion: Completion<'_>,
    guests: &mut HashMap<ConnectionId, Guest>,
    operations: &mut Operations,
) {
    let mut mark = SendMark::default();
    let (connection, mut bytes) = match completion {
        Completion::Received { connection, bytes } => (connection, bytes),
        Completion::EndOfStream { connection } | Completion::Failed { connection, .. } => {
            return operations.push(Operation::Close(connection));
        }
        Completion::Closed { connection } => return drop(guests.remove(&connection)),
        _ => return,
    };
    let guest = guests.entry(connection).or_insert_with(|| Guest::Arriving(Vec::new()));
    match guest {
        Guest::Arriving(head) => {
            head.extend_from_slice(bytes);
            if !head.ends_with(b"\r\n\r\n") {
                return;
            }
            let text = String::from_utf8_lossy(head);
            let key = text.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let key = key.expect("the tester's request").as_bytes();
            operations.send(connection, &mut mark, |out| emit_response(out, key, None, None));
            *guest = Guest::Here(MessageReader::new(Role::Server));
        }
        Guest::Here(reader) => {
            let mut answer = Vec::new();
            while let Ok(Some(message)) = reader.read(&mut bytes, &ReadLimits::default()) {
                match message {
                    Message::Binary(payload) => {
                        emit_frame(&mut answer, None, Opcode::Binary, &payload);
                    }
                    Message::Close(code, _) => emit_close(&mut answer, None, code, ""),
                    _ => {}
                }
            }
            operations.send(connection, &mut mark, |out| out.extend_from_slice(&answer));
        }
    }
}

/// Starts a run of the program, so that it can be observed.
fn begin(address: SocketAddr, arguments: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ringway-loadtest"))
        .args(format!("echo --url ws://{address} -q --json --threads 1 {arguments}").split(' '))
        // Pages of 2 MiB are completely resident, even if little of them is in use.
        .env("MIMALLOC_ALLOW_THP", "0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn report(child: Child) -> Value {
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn as_many_connections_as_descriptors_allow_are_opened_and_answered() {
    let _alone = DESCRIPTORS.lock();
    let limit = descriptors::raise_limit().unwrap();
    let connections = limit.saturating_sub(OTHERS).min(19_000);
    let server = Echo::start();
    // Each connection has a message, and its echo.
    let arguments = format!("-c {connections} --rate 10k -d {}ms", connections / 10 + 100);
    let report = report(begin(server.address, &arguments));
    assert_eq!(report["connections_open"], connections, "{report}");
    assert_eq!(report["ledger"]["lost"], 0);
    assert_eq!(report["ledger"]["sent"], report["ledger"]["received"]);
    assert!(report["ledger"]["sent"].as_u64().unwrap() > connections, "{report}");
    assert_eq!(report["errors"], serde_json::json!({}), "{report}");
}

/// Peak resident memory of the program while this many connections exchange messages.
fn resident_bytes(connections: u64, engine: &str) -> u64 {
    let server = Echo::start();
    // Each connection has at least one message; both runs take the same time and send the same
    // number.
    let arguments = format!("-c {connections} --rate 5k -d 2500ms --io {engine}");
    let mut child = begin(server.address, &arguments);
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) * 1024);
        thread::sleep(Duration::from_millis(20));
    }
    let report = report(child);
    assert_eq!(report["connections_open"], connections, "{report}");
    assert_eq!(report["ledger"]["lost"], 0, "{report}");
    most
}

#[test]
fn a_connection_costs_the_tester_less_than_1_kib() {
    let _alone = DESCRIPTORS.lock();
    let limit = descriptors::raise_limit().unwrap();
    let many = limit.saturating_sub(OTHERS).min(10_000);
    if many < 3_000 {
        return eprintln!("skipped: {limit} open files are too few to tell");
    }
    for engine in engines() {
        let (few, most) = (resident_bytes(1_000, engine), resident_bytes(many, engine));
        let each = most.saturating_sub(few) / (many - 1_000);
        eprintln!("{engine}: {each} bytes a connection, {few} bytes with 1,000");
        assert!(each < 1024, "{engine}: {each} bytes a connection");
    }
}
