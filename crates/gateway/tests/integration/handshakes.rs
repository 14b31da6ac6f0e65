//! Handshakes of TLS in numbers, and those that fail: what they do to other clients, and what the log
//! and the metrics say.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ringway_tls::client::Client;

use crate::support::{
    Certificates, Engine, Gateway, PATIENCE, Request, Secure, eventually,
    frames::{FIN, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    a_burst_of_handshakes_does_not_hold_connected_clients,
    stalled_handshakes_leave_good_clients_unharmed,
    handshakes_beyond_the_rate_are_closed_and_counted,
    a_failed_handshake_is_explained,
    a_client_refused_before_its_handshake_is_only_closed_and_the_log_says_so,
);

/// A client of the echo.
fn come(gateway: &Gateway, client: &Client) -> Secure {
    let mut secure = Secure::connect(gateway.address, client).expect("a good client");
    secure.sends(Request::upgrade().bytes().as_ref());
    secure.receives(b"\r\n\r\n");
    secure
}

fn round_trip(secure: &mut Secure, message: &str) -> Duration {
    let start = Instant::now();
    secure.sends(&frame(FIN | TEXT, message));
    secure.receives(message.as_bytes());
    start.elapsed()
}

/// Prints and returns the 99th percentile.
fn p99(name: &str, mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    // Not `eprintln`, whose output the test harness hides while a test passes.
    let _ = writeln!(
        io::stderr(),
        "ATTACK {name}: p99 of {} good round trips {p99:?}",
        latencies.len()
    );
    p99
}

/// The first messages of this many clients.
fn hellos(client: &Client, count: usize) -> Vec<Vec<u8>> {
    let hello = |_| {
        let mut hello = Vec::new();
        client.connect().start(&mut hello).expect("a first message");
        hello
    };
    (0..count).map(hello).collect()
}

/// Clients that have connected and said nothing.
fn silent(gateway: &Gateway, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let stream = TcpStream::connect(gateway.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    (0..count).map(connect).collect()
}

/// 1,000 clients begin their handshakes at the same time. Handled one after the other, they would
/// hold others for as long as all of them take.
fn a_burst_of_handshakes_does_not_hold_connected_clients(engine: Engine) {
    const BURST: usize = 1_000;
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let gateway = certificates.start(engine, &["one"], &["server.cores=1"]);
    let client = certificates.client("localhost");
    let mut good = come(&gateway, &client);
    let (mut streams, hellos) = (silent(&gateway, BURST), hellos(&client, BURST));
    gateway.holds(BURST as u64 + 1);
    let is_over = AtomicBool::new(false);
    let (took, latencies) = thread::scope(|scope| {
        let is_over = &is_over;
        let echo = scope.spawn(move || {
            let mut latencies = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                latencies.push(round_trip(&mut good, "well"));
            }
            latencies
        });
        let start = Instant::now();
        for (stream, hello) in streams.iter_mut().zip(&hellos) {
            stream.write_all(hello).unwrap();
        }
        // Each is answered.
        let are_answered = streams.iter_mut().all(|stream| stream.read_exact(&mut [0]).is_ok());
        let took = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        assert!(are_answered, "a handshake was not answered");
        (took, echo.join().unwrap())
    });
    let p99 = p99("burst of handshakes", latencies);
    assert!(p99 < took / 4, "{p99:?} while the handshakes took {took:?}");
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
    let mut good: Vec<Secure> = (0..GOOD).map(|_| come(&gateway, &client)).collect();
    let (mut stalled, mut latencies) = (Vec::new(), Vec::new());
    for number in 0..STALLED {
        let mut stream = TcpStream::connect(gateway.address).expect("a connection");
        // It may have been displaced already.
        let _ = stream.write_all(&[22, 3, 1, 1, 0, 1]);
        stalled.push(stream);
        if number % 10 == 0 {
            good.push(come(&gateway, &client));
            latencies.push(round_trip(&mut good[number / 10], "meanwhile"));
        }
    }
    for (number, secure) in good.iter_mut().enumerate() {
        latencies.push(round_trip(secure, &format!("good {number}")));
    }
    assert_eq!(good.len(), 2 * GOOD);
    let p99 = p99("stalled handshakes", latencies);
    assert!(p99 < Duration::from_millis(500), "{p99:?}");
    let in_progress = gateway.metric("ringway_handshakes_in_progress");
    assert!((1..=500).contains(&in_progress), "{in_progress} are in progress");
    drop(stalled);
    eventually("no handshake is in progress", || {
        gateway.metric("ringway_handshakes_in_progress") == 0
    });
}

fn handshakes_beyond_the_rate_are_closed_and_counted(engine: Engine) {
    const ALL: usize = 60;
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let settings = ["server.cores=1", "tls.handshakes_per_second_max=5"];
    let gateway = certificates.start(engine, &["one"], &settings);
    let client = certificates.client("localhost");
    let (mut streams, hellos) = (silent(&gateway, ALL), hellos(&client, ALL));
    gateway.holds(ALL as u64);
    for (stream, hello) in streams.iter_mut().zip(&hellos) {
        stream.write_all(hello).unwrap();
    }
    // A close with nothing unread is an end, and nothing comes before it.
    let read = |stream: &mut TcpStream| stream.read(&mut [0; 1]).unwrap_or(0);
    let answered: usize = streams.iter_mut().map(read).sum();
    assert!((5..ALL / 2).contains(&answered), "{answered} were answered");
    let refused = (ALL - answered) as u64;
    assert_eq!(gateway.metric("ringway_closed_total{reason=\"handshake_rate\"}"), refused);
    gateway.logs("handshake_rate");
    eventually("another second", || Secure::connect(gateway.address, &client).is_ok());
}

fn a_failed_handshake_is_explained(engine: Engine) {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let authority = certificates.path("ca.pem").display().to_string();
    let settings = [
        "tls.version_min=tls1.3",
        "tls.cipher_suites=TLS_AES_256_GCM_SHA384",
        "tls.client_certificates=required",
        &format!("tls.client_ca_file={authority}"),
    ];
    let gateway = certificates.start(engine, &["one"], &settings);
    let count = |reason: &str| {
        gateway.metric(&format!("ringway_handshakes_failed_total{{reason=\"{reason}\"}}"))
    };
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.write_all(b"\x16\x03\x01\x00\x05hello").unwrap();
    eventually("garbage is counted", || count("not_tls") == 1);
    for (flags, reason) in [
        (&["-tls1_2"][..], "version"),
        (&["-ciphersuites", "TLS_AES_128_GCM_SHA256"], "nothing_in_common"),
        (&["-alpn", "h2"], "protocol"),
        (&[], "certificate"),
    ] {
        let output = certificates.openssl(&gateway, flags, GET);
        assert!(output.contains("alert"), "{reason}: {output}");
        assert_eq!(count(reason), 1, "{reason}: {output}");
        let line = gateway.logs(&format!("reason=\"{reason}\""));
        assert!(line.contains("a TLS handshake has failed"), "{line}");
    }
    assert!(gateway.logs("reason=\"certificate\"").contains("certificate=\"missing\""));
    // A client that trusts another authority (RFC 8446 §6.2: unknown_ca).
    let output = Certificates::new().openssl(&gateway, &[], GET);
    assert!(output.contains("verify error"), "{output}");
    assert_eq!(count("alert"), 1, "{output}");
    let line = gateway.logs("reason=\"alert\"");
    assert!(line.contains("alert=48"), "{line}");
}

fn a_client_refused_before_its_handshake_is_only_closed_and_the_log_says_so(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let settings =
        ["limits.connections_per_address_max=1", "limits.connections_per_address_exempt=[]"];
    let gateway = certificates.start(engine, &["one"], &settings);
    let client = certificates.client("localhost");
    let mut first = come(&gateway, &client);
    let error = Secure::connect(gateway.address, &client).err().expect("one too many");
    assert!(error.contains("the end of the stream") || error.contains("reset"), "{error}");
    let line = gateway.logs("turned_away");
    assert!(line.contains("only the end of the connection, before its TLS handshake"), "{line}");
    round_trip(&mut first, "unharmed");
}
