//! Each peer that is here is started as `cargo xtask bench-peers` starts it, and must do what it is
//! measured at: send messages back, and pass published ones on. Never measures.

#![forbid(unsafe_code)]

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tungstenite::{Message, WebSocket, stream::MaybeTlsStream};

type Client = WebSocket<MaybeTlsStream<TcpStream>>;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/xtask/node/peers");

/// A running server.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// `None` where this machine cannot run it, which is said.
    fn start(program: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let log = child.stderr.take().expect("it is piped");
        let mut said = Vec::new();
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("ws://") {
                return Some(Self { child, address: address.to_owned() });
            }
            said.push(line);
        }
        let _ = child.kill();
        let _ = child.wait();
        let said = said.join("\n");
        assert!(said.contains("io_uring is not available"), "{program} did not start: {said}");
        eprintln!("SKIPPED: {said}");
        None
    }

    fn connect(&self, path: &str) -> Client {
        let (client, _) = tungstenite::connect(format!("ws://{}{path}", self.address)).unwrap();
        let MaybeTlsStream::Plain(stream) = client.get_ref() else { panic!("without TLS") };
        stream.set_read_timeout(Some(ANSWER_TIME_MAX)).unwrap();
        client
    }

    fn echoes(&self) {
        let mut client = self.connect("/");
        let messages = [
            Message::text("héllo"),
            Message::binary(vec![7; 64]),
            Message::text(""),
            Message::binary(vec![1; 200]),
            Message::binary((0..3_000_000_u32).map(|index| index as u8).collect::<Vec<u8>>()),
        ];
        for message in &messages {
            client.write(message.clone()).unwrap();
        }
        client.flush().unwrap();
        for message in &messages {
            assert!(&client.read().unwrap() == message, "{} bytes came back wrong", message.len());
        }
        client.close(None).unwrap();
        while client.read().is_ok() {}
    }

    fn passes_on(&self) {
        let mut subscribers = [(); 3].map(|()| self.connect("/subscribe"));
        let mut publisher = self.connect("/publish");
        // A subscription may follow the handshake that asks for it by a moment.
        std::thread::sleep(Duration::from_millis(100));
        for text in ["first", "second"] {
            publisher.send(Message::text(text)).unwrap();
        }
        for subscriber in &mut subscribers {
            for text in ["first", "second"] {
                assert_eq!(subscriber.read().unwrap(), Message::text(text));
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either may find that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn source(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Whether `cargo xtask bench-peers --install` has installed a module.
fn is_installed(module: &str) -> bool {
    let is_there = Path::new(MODULES).join("node_modules").join(module).exists();
    if !is_there {
        eprintln!(
            "SKIPPED: {module} is not installed; `cargo xtask bench-peers --install` does it"
        );
    }
    is_there
}

#[test]
fn the_floor() {
    if let Some(server) = Server::start(env!("CARGO_BIN_EXE_floor"), &[]) {
        server.echoes();
        server.passes_on();
    }
}

#[test]
fn tungstenite_server() {
    let server = Server::start(env!("CARGO_BIN_EXE_peer-tungstenite"), &[]).unwrap();
    server.echoes();
    server.passes_on();
}

#[test]
fn fastwebsockets_server() {
    Server::start(env!("CARGO_BIN_EXE_peer-fastwebsockets"), &[]).unwrap().echoes();
}

#[test]
fn bun_servers() {
    if is_installed("bun") {
        let bun = format!("{MODULES}/node_modules/.bin/bun");
        Server::start(&bun, &[&source("echo.bun.js")]).unwrap().echoes();
        Server::start(&bun, &[&source("fanout.bun.js")]).unwrap().passes_on();
    }
}

#[test]
fn ws_server() {
    if is_installed("ws") {
        // Node resolves modules from where a script lies.
        let script = format!("{MODULES}/ws.node.mjs");
        let server = Server::start("node", &[&script]).unwrap();
        server.echoes();
        server.passes_on();
    }
}
