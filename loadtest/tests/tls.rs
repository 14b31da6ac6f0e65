//! wss: which certificates are trusted, and the error for those that are not.
//!
//! The server is rustls and tungstenite, in threads of the test.

#![forbid(unsafe_code)]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Output},
    sync::Arc,
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite;

/// An echo server with a self-signed certificate for `name`, which is in the file `ca`.
struct Server {
    address: SocketAddr,
    ca: PathBuf,
    _folder: TempDir,
}

impl Server {
    fn start(name: &str) -> Self {
        Self::with(CertificateParams::new([name.to_owned()]).unwrap())
    }

    fn with(params: CertificateParams) -> Self {
        let signing_key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        let folder = TempDir::new().unwrap();
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, cert.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![cert.der().clone()],
                PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap(),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let config = config.clone();
                thread::spawn(move || {
                    let session = ServerConnection::new(config).unwrap();
                    echo(StreamOwned::new(session, socket));
                });
            }
        });
        Self { address, ca, _folder: folder }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(&format!("wss://{}/", self.address), arguments)
    }
}

/// Serves a client until its connection ends.
fn echo(stream: impl Read + Write) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            return;
        }
    }
}

fn run(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway-loadtest"))
        .args(["echo", "--url", url, "-c", "8", "--closed", "-d", "500ms", "-q", "--json"])
        .args(arguments)
        .output()
        .unwrap()
}

fn ledger(output: &Output) -> serde_json::Value {
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["errors"].as_object().unwrap().len(), 0, "{report:#}");
    report["ledger"].clone()
}

fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(4));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_given_authority_is_trusted() {
    let server = Server::start("127.0.0.1");
    for arguments in [&["--io", "epoll"][..], &["--size", "100k"], &["--pipeline", "16"]] {
        let ca = ["--ca", server.ca.to_str().unwrap()];
        let ledger = ledger(&server.run(&[&ca[..], arguments].concat()));
        assert!(ledger["received"].as_u64().unwrap() >= 8, "{ledger}");
        assert_eq!(ledger["sent"], ledger["received"], "{ledger}");
        assert_eq!(ledger["corrupted"], 0, "{ledger}");
    }
}

#[test]
fn an_unknown_authority_is_refused_unless_insecure() {
    let server = Server::start("127.0.0.1");
    let said = failure(&server.run(&[]));
    assert!(said.contains("8 tls_certificate_unknown_issuer") && said.contains("--ca"), "{said}");
    assert!(ledger(&server.run(&["--insecure"]))["received"].as_u64().unwrap() >= 8);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let server = Server::start("other.example");
    let said = failure(&server.run(&["--ca", server.ca.to_str().unwrap()]));
    assert!(said.contains("8 tls_certificate_other_name"), "{said}");
}

#[test]
fn a_certificate_fault_is_explained_with_the_flag_that_helps() {
    let params = || CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let (mut old, mut new, mut authority) = (params(), params(), params());
    old.not_after = date_time_ymd(2001, 1, 1);
    new.not_before = date_time_ymd(2999, 1, 1);
    // As `openssl req -x509` creates them.
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (params, reason, advice) in [
        (old, "tls_certificate_expired", "clock"),
        (new, "tls_certificate_not_valid_yet", "clock"),
        (authority, "tls_certificate_ca_used_as_end_entity", "CA:FALSE"),
    ] {
        let server = Server::with(params);
        let said = failure(&server.run(&["--ca", server.ca.to_str().unwrap()]));
        assert!(said.contains(&format!("8 {reason}")), "{said}");
        assert!(said.contains(advice) && said.contains("--insecure"), "{said}");
        assert!(ledger(&server.run(&["--insecure"]))["received"].as_u64().unwrap() >= 8);
    }
}

/// A server that reads once, sends this, and keeps the connection.
fn greets(greeting: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut sockets: Vec<TcpStream> = Vec::new();
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request);
            let _ = socket.write_all(greeting);
            sockets.push(socket);
        }
    });
    address
}

#[test]
fn a_server_without_tls_is_reported_as_such() {
    // As an HTTP server answers bytes that are not HTTP, and as a server that speaks first.
    for greeting in
        [&b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..], b"SSH-2.0-server\r\n"]
    {
        let url = format!("wss://{}/", greets(greeting));
        let said = failure(&run(&url, &["--insecure"]));
        assert!(said.contains("8 tls_not_tls"), "{said}");
    }
}

#[test]
fn a_handshake_that_is_not_answered_is_given_up() {
    let url = format!("wss://{}/", greets(b""));
    let said = failure(&run(&url, &["--insecure", "--handshake-timeout", "300ms"]));
    assert!(said.contains("8 handshake_timed_out"), "{said}");
}

#[test]
fn connections_make_full_handshakes_unless_they_are_to_resume() {
    let server = Server::start("127.0.0.1");
    let url = format!("wss://{}/", server.address);
    let churn = |flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ringway-loadtest"))
            .args([
                "churn", "--url", &url, "-c", "16", "-d", "600ms", "--echo", "64", "-q", "--json",
            ])
            .args(["--ca", server.ca.to_str().unwrap()])
            .args(flags)
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["errors"].as_object().unwrap().len(), 0, "{report:#}");
        let detail = |name: &str| report["details"][name].as_f64().unwrap();
        (detail("connections_completed"), detail("connections_resumed"))
    };
    let (completed, resumed) = churn(&[]);
    assert!(completed > 16.0 && resumed == 0.0, "{completed} {resumed}");
    let (completed, resumed) = churn(&["--resume"]);
    // The first ones have no ticket.
    assert!(completed > 32.0 && resumed >= completed - 16.0, "{completed} {resumed}");
}

#[test]
fn invalid_authorities_are_reported_before_connecting() {
    let folder = TempDir::new().unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "no certificate").unwrap();
    let cases: [(&[&str], &str); 3] = [
        (&["--ca", empty.to_str().unwrap()], "has no certificate"),
        (&["--ca", "/nonexistent.pem"], "/nonexistent.pem"),
        (&["--ca", "a.pem", "--insecure"], "cannot be used with"),
    ];
    for (arguments, why) in cases {
        let output = run("wss://127.0.0.1:1/", arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{said}");
    }
    for flag in ["--insecure", "--resume"] {
        let output = run("ws://127.0.0.1:1/", &[flag]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("not encrypted"));
    }
}
