//! Starts each installed peer as `cargo xtask bench-peers` does, and checks the measured work: it
//! must send messages back, and pass published ones on. Never measures.

#![forbid(unsafe_code)]

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tungstenite::{Message, WebSocket, stream::MaybeTlsStream};

type Client = WebSocket<MaybeTlsStream<TcpStream>>;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// A running server.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// `None` if this machine cannot run it, which is printed.
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
        skipped(&said);
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
        // A subscription may take effect a moment after its handshake.
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

    /// Messages reach the client that they name, and no other.
    fn passes_to_one(&self) {
        let mut clients = ["ann", "bob"].map(|name| self.connect(&format!("/direct/{name}")));
        std::thread::sleep(Duration::from_millis(100));
        let [ann, bob] = &mut clients;
        ann.send(Message::text("bob first")).unwrap();
        assert_eq!(bob.read().unwrap(), Message::text("bob first"));
        bob.send(Message::text("ann second")).unwrap();
        assert_eq!(ann.read().unwrap(), Message::text("ann second"));
    }

    /// It agrees to permessage-deflate without context takeover (RFC 7692 §7.1.1).
    fn compresses(&self, path: &str) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(ANSWER_TIME_MAX)).unwrap();
        let address = &self.address;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n"
        )
        .unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let head = head.join("\n").to_ascii_lowercase();
        let agreed = head.lines().find(|line| line.starts_with("sec-websocket-extensions:"));
        let agreed = agreed.unwrap_or_else(|| panic!("{head}"));
        assert!(agreed.contains("permessage-deflate"), "{agreed}");
        assert!(agreed.contains("server_no_context_takeover"), "{agreed}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn source(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The Node modules as `cargo xtask bench-peers --install` leaves them; `None`, which is printed,
/// if they are absent, incomplete, or of other versions than `package.json` pins.
fn node_modules(module: &str) -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let folder = Path::new(root).join(target).join("xtask/node/peers");
    let installed = fs::read(folder.join("package.installed.json")).ok();
    let is_installed = installed.is_some() && installed == fs::read(source("package.json")).ok();
    let modules = folder.join("node_modules");
    if is_installed && modules.join(module).exists() {
        return Some(modules);
    }
    skipped(&format!("{module} is not installed; `cargo xtask bench-peers --install` does it"));
    None
}

/// Not `eprintln`, whose output the harness hides while a test passes.
fn skipped(reason: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {reason}");
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
    if let Some(modules) = node_modules(".bin/bun") {
        let bun = modules.join(".bin/bun");
        let bun = bun.to_str().expect("the path is UTF-8");
        Server::start(bun, &[&source("echo.bun.js")]).unwrap().echoes();
        let fanout = Server::start(bun, &[&source("fanout.bun.js")]).unwrap();
        fanout.passes_on();
        fanout.passes_to_one();
        for (script, path) in [("echo.bun.js", "/"), ("fanout.bun.js", "/subscribe")] {
            let script = source(script);
            Server::start(bun, &[&script, "0", "deflate"]).unwrap().compresses(path);
        }
    }
}

#[test]
fn ws_server() {
    let Some(modules) = node_modules("ws") else { return };
    if Command::new("node").arg("--version").output().is_err() {
        return skipped("node is not installed; `cargo xtask test` does it");
    }
    // Node resolves modules from the folder of the script. The test makes such a folder itself,
    // because the scripts next to the modules depend on which peers were installed.
    let folder = tempfile::tempdir().unwrap();
    symlink(modules, folder.path().join("node_modules")).unwrap();
    let script = folder.path().join("ws.node.mjs");
    fs::copy(source("ws.node.mjs"), &script).unwrap();
    let server = Server::start("node", &[script.to_str().unwrap()]).unwrap();
    server.echoes();
    server.passes_on();
    let script = script.to_str().unwrap();
    Server::start("node", &[script, "0", "deflate"]).unwrap().compresses("/");
}
