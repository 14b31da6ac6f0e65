//! TLS as clients see it: versions, names, tickets, both ends of a stream, and mistakes.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::support::{
    Certificates, Client, Engine, Gateway, PATIENCE, Request, Secure, eventually, on_each_engine,
};

on_each_engine!(
    openssl_speaks_websocket_and_both_sides_announce_their_end,
    names_versions_and_protocols_are_as_configured,
    mistakes_between_plain_text_and_tls_are_explained,
    stalled_handshakes_leave_good_clients_unharmed,
    certificates_are_read_again_without_closing_a_connection,
);

/// A masked text frame with the key 0.
fn text(payload: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload.as_bytes());
    frame
}

const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn openssl_speaks_websocket_and_both_sides_announce_their_end(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let gateway = certificates.start(engine, &["one"], &["log.level=debug"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let sent = [&Request::upgrade().bytes()[..], &text("a message by TLS"), &CLOSE].concat();
        let output = certificates.openssl(&gateway, &[version, "-servername", "localhost"], &sent);
        assert!(
            output.contains("101 Switching") && output.contains("a message by TLS"),
            "{output}"
        );
        assert!(output.contains("Verify return code: 0 (ok)"), "{output}");
        // OpenSSL complains about a stream that ends without close_notify.
        assert!(!output.contains("unexpected eof"), "{version}: {output}");
    }
    gateway.logs("client_closed");
    let client = certificates.client("localhost");
    let mut secure = Secure::connect(gateway.address, &client).unwrap();
    secure.sends(GET);
    secure.receives(b"HTTP/1.1 200");
    secure.ends();
    // A client that announces its end is answered in kind, without a Close frame, too.
    for request in [None, Some(Request::upgrade().bytes())] {
        let mut secure = Secure::connect(gateway.address, &client).unwrap();
        if let Some(request) = &request {
            secure.sends(request);
            secure.receives(b"\r\n\r\n");
        }
        secure.closes();
        secure.ends();
    }
    assert_eq!(gateway.metric("ringway_closed_total{reason=\"channel\"}"), 0);
    assert_eq!(gateway.metric("ringway_handshakes_total"), 5);
    // A record that is cut off by FIN is counted.
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.write_all(&[22, 3, 1, 1]).unwrap();
    drop(stream);
    gateway.logs("record_cut");
}

fn names_versions_and_protocols_are_as_configured(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    certificates.issue("two", "*.example.org", 90);
    let gateway = certificates.start(engine, &["one", "two"], &["tls.version_min=tls1.3"]);
    for (name, is_right) in
        [("localhost", true), ("a.example.org", true), ("a.b.example.org", false)]
    {
        let flags = ["-servername", name, "-verify_hostname", name];
        let output = certificates.openssl(&gateway, &flags, GET);
        assert_eq!(output.contains("Verify return code: 0 (ok)"), is_right, "{name}: {output}");
    }
    let output = certificates.openssl(&gateway, &["-tls1_2"], GET);
    assert!(output.contains("alert protocol version"), "{output}");
    // RFC 7301 §3.2: no protocol in common.
    let output = certificates.openssl(&gateway, &["-alpn", "h2"], GET);
    assert!(output.contains("no application protocol"), "{output}");
    let output = certificates.openssl(&gateway, &["-alpn", "h2,http/1.1"], GET);
    assert!(output.contains("ALPN protocol: http/1.1"), "{output}");
}

fn mistakes_between_plain_text_and_tls_are_explained(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let gateway = certificates.start(engine, &["one"], &[]);
    let mut client = Client::connect(&gateway);
    client.sends(GET);
    let response = client.receives_response();
    assert_eq!(response.status, 400);
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.contains("speaks TLS") && body.contains("https://"), "{body}");
    gateway.logs("plain_http_on_tls");
    let plain = Gateway::start(engine);
    let mut stream = TcpStream::connect(plain.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    plain.logs("tls_on_plain_port");
}

/// 5,000 clients that stall in their handshake, against a bound of 500: clients that were there
/// before and clients that come meanwhile are served.
fn stalled_handshakes_leave_good_clients_unharmed(engine: Engine) {
    const STALLED: usize = 5_000;
    const GOOD: usize = 500;
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let settings = ["tls.handshakes_max=500", "tls.handshake_duration_max=60s"];
    let gateway = certificates.start(engine, &["one"], &settings);
    let client = certificates.client("localhost");
    let come = || {
        let mut secure = Secure::connect(gateway.address, &client).expect("a good client");
        secure.sends(Request::upgrade().bytes().as_ref());
        secure.receives(b"\r\n\r\n");
        secure
    };
    let mut good: Vec<Secure> = (0..GOOD).map(|_| come()).collect();
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        let mut stream = TcpStream::connect(gateway.address).expect("a connection");
        // It may have been displaced already.
        let _ = stream.write_all(&[22, 3, 1, 1, 0, 1]);
        stalled.push(stream);
        if number % 10 == 0 {
            good.push(come());
        }
    }
    for (number, secure) in good.iter_mut().enumerate() {
        let message = format!("good {number}");
        secure.sends(&text(&message));
        secure.receives(message.as_bytes());
    }
    assert_eq!(good.len(), 2 * GOOD);
    let in_progress = gateway.metric("ringway_handshakes_in_progress");
    assert!((1..=500).contains(&in_progress), "{in_progress} are in progress");
    drop(stalled);
    eventually("no handshake is in progress", || {
        gateway.metric("ringway_handshakes_in_progress") == 0
    });
}

fn certificates_are_read_again_without_closing_a_connection(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 5);
    let gateway = certificates.start(engine, &["one"], &[]);
    gateway.logs("a certificate expires soon");
    let expiry = gateway.metric("ringway_certificate_expiry_seconds");
    let mut early = Secure::connect(gateway.address, &certificates.client("localhost")).unwrap();
    early.sends(Request::upgrade().bytes().as_ref());
    early.receives(b"\r\n\r\n");
    certificates.issue("one", "renewed.example.org", 90);
    let renewed = certificates.client("renewed.example.org");
    eventually("the new certificate is used", || {
        Secure::connect(gateway.address, &renewed).is_ok()
    });
    assert!(gateway.metric("ringway_certificate_expiry_seconds") > expiry);
    // A bad pair changes nothing, and the log says why.
    std::fs::write(certificates.path("one.key"), "no key at all").unwrap();
    gateway.signal("HUP");
    let line = gateway.logs("the certificates in use stay");
    assert!(line.contains("one.key") && line.contains("has no private key"), "{line}");
    assert!(Secure::connect(gateway.address, &renewed).is_ok());
    early.sends(&text("still open"));
    early.receives(b"still open");
}
