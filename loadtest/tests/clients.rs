//! Messages from client to client, and events that clients miss while they are away, against a server
//! with known faults.

#![forbid(unsafe_code)]

mod servers;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use serde_json::Value;
use servers::{json, run};
use tokio_tungstenite::tungstenite::{
    self, Message, WebSocket,
    handshake::server::{Request, Response},
};

#[test]
fn serves() {
    servers::serve_if_asked();
}

/// What is wrong with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// Once in this many messages, it is sent to the wrong client as well.
    Misdirects(u64),
    /// Once in this many messages, it is not sent.
    Drops(u64),
}

/// A server that sends a message `NAME text` to the client of `/NAME`, and everything that was posted
/// to a client that connects.
struct Server {
    address: SocketAddr,
    room: Arc<Room>,
}

struct Room {
    fault: Fault,
    faults: AtomicU64,
    messages: AtomicU64,
    clients: Mutex<HashMap<String, TcpStream>>,
    posted: Mutex<Vec<String>>,
}

impl Server {
    fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let room = Arc::new(Room {
            fault,
            faults: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            clients: Mutex::default(),
            posted: Mutex::default(),
        });
        let shared = room.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let room = shared.clone();
                thread::spawn(move || room.serve(stream));
            }
        });
        Self { address, room }
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }
}

impl Room {
    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut start = [0; 4];
        while stream.peek(&mut start).is_ok_and(|count| (1..4).contains(&count)) {}
        if &start == b"POST" {
            return self.serve_posts(stream);
        }
        let output = stream.try_clone().unwrap();
        let mut name = String::new();
        #[expect(clippy::result_large_err, reason = "the library's callback")]
        let note = |request: &Request, response: Response| {
            name = request.uri().path()[1..].to_owned();
            Ok(response)
        };
        let Ok(mut socket) = tungstenite::accept_hdr(stream, note) else { return };
        for event in &*self.posted.lock().unwrap() {
            let _ = socket.send(Message::text(event.clone()));
        }
        self.clients.lock().unwrap().insert(name, output);
        self.serve_messages(&mut socket);
    }

    fn serve_messages(&self, socket: &mut WebSocket<TcpStream>) {
        while let Ok(message) = socket.read() {
            let Message::Text(text) = message else { continue };
            let number = 1 + self.messages.fetch_add(1, Ordering::SeqCst);
            let to = text.split(' ').next().unwrap();
            match self.fault {
                Fault::Drops(every) if number.is_multiple_of(every) => {
                    self.faults.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                Fault::Misdirects(every) if number.is_multiple_of(every) => {
                    let wrong = (to[1..].parse::<u32>().unwrap() + 1) % CLIENTS;
                    self.send(&format!("c{wrong}"), &text);
                    self.faults.fetch_add(1, Ordering::SeqCst);
                }
                _ => {}
            }
            self.send(to, &text);
            // An answer to the sender is no message of another client.
            let _ = socket.send(Message::text("taken"));
        }
    }

    fn send(&self, to: &str, text: &str) {
        let mut frame = Vec::new();
        let opcode = ringway_frame::Opcode::Text;
        ringway_frame::emit_frame(&mut frame, None, opcode, text.as_bytes());
        let clients = self.clients.lock().unwrap();
        let _ = (&clients[to]).write_all(&frame);
    }

    fn serve_posts(&self, stream: TcpStream) {
        let mut output = stream.try_clone().unwrap();
        let mut input = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while input.read_line(&mut line).is_ok_and(|count| count > 0) {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                let mut body = vec![0; length];
                input.read_exact(&mut body).unwrap();
                self.posted.lock().unwrap().push(String::from_utf8(body).unwrap());
                output.write_all(b"HTTP/1.1 202 Taken\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
            line.clear();
        }
    }
}

const CLIENTS: u32 = 12;

/// A closed loop of messages from client to client.
fn exchange(server: &Server) -> Value {
    let url = server.url("ws", "/c{n}");
    let message = "c{to} {sequence} {stamp}{body}";
    let arguments = ["--message", message, "--closed", "-d", "500ms", "--drain", "300ms"];
    let threads = ["-c", "12", "--threads", "1", "-q", "--json"];
    json(&run(&[&["echo", "--url", &url][..], &arguments, &threads].concat()))
}

#[test]
fn each_message_arrives_once_at_the_client_that_it_names() {
    let server = Server::start(Fault::Nothing);
    let report = exchange(&server);
    let ledger = &report["ledger"];
    assert!(ledger["received"].as_u64().unwrap() > 100, "{report:#}");
    assert_eq!(ledger["received"], ledger["sent"], "{report:#}");
    for fault in ["lost", "doubled", "reordered", "corrupted"] {
        assert_eq!(ledger[fault], 0, "{fault}: {report:#}");
    }
}

#[test]
fn a_message_at_another_client_is_a_fault_and_so_is_a_lost_one() {
    let server = Server::start(Fault::Misdirects(50));
    let report = exchange(&server);
    let faults = server.room.faults.load(Ordering::SeqCst);
    assert!(faults > 0);
    assert_eq!(report["ledger"]["corrupted"], faults, "{report:#}");
    let server = Server::start(Fault::Drops(50));
    let report = exchange(&server);
    let faults = server.room.faults.load(Ordering::SeqCst);
    assert_eq!(report["ledger"]["lost"], faults, "{report:#}");
    // A client whose message was lost sends no further one.
    assert!(faults > 0 && faults <= u64::from(CLIENTS), "{faults}");
}

#[test]
fn messages_of_one_client_to_several_have_no_order_to_check() {
    let words = ["echo", "--url", "ws://127.0.0.1:9/", "--closed", "--pipeline", "2"];
    let output = run(&[&words[..], &["--message", "{to} {stamp}{body}"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--pipeline"), "{output:?}");
}

#[test]
fn what_is_published_while_clients_are_away_reaches_them_when_they_return() {
    let server = Server::start(Fault::Nothing);
    let (url, publish) = (server.url("ws", "/c{n}"), server.url("http", "/publish"));
    let words = ["storm", "--url", &url, "-c", "9", "--hold", "0s", "--rounds", "2"];
    let missed = ["--away", "400ms", "--missed", "5", "--publish-url", &publish];
    let events = ["--publish-message", "event {event} of 5", "--expect", "5 of 5"];
    let report = json(&run(&[&words[..], &missed, &events, &["-q", "--json"]].concat()));
    assert_eq!(report["details"]["connections_resumed"], 18.0, "{report:#}");
    assert_eq!(report["errors"].as_object().unwrap().len(), 0, "{report:#}");
    let posted = server.room.posted.lock().unwrap().clone();
    let expected = (1..=5).cycle().take(10).map(|event| format!("event {event} of 5"));
    assert_eq!(posted, expected.collect::<Vec<_>>());
    // Nobody returns before the time is over.
    let first = report["storms"][0]["back_50_ms"].as_f64().unwrap();
    assert!(first >= 400.0, "{report:#}");
    assert!(report["details"]["missed_published_ms"].as_f64().unwrap() >= 200.0, "{report:#}");
}

#[test]
fn a_server_that_does_not_take_what_is_to_be_missed_ends_the_run() {
    let server = Server::start(Fault::Nothing);
    let url = server.url("ws", "/c{n}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let publish = format!("http://{closed}/");
    let words = ["storm", "--url", &url, "-c", "2", "--hold", "0s", "--away", "100ms"];
    let output = run(&[&words[..], &["--missed", "1", "--publish-url", &publish]].concat());
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("are to miss"), "{output:?}");
}
