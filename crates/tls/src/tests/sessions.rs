//! What passes between two sessions.

use std::sync::Arc;

use proptest::prelude::*;

use super::files::{Directory, ready, tickets};
use crate::{
    CertificateFault, Fault, Opened, Reason, Session, Suite,
    server::{Server, ServerSettings, Version},
};

/// What one side read.
#[derive(Debug, Default)]
struct Read {
    plain: Vec<u8>,
    out: Vec<u8>,
    has_ended: bool,
    fault: Option<Fault>,
}

/// Receives bytes in pieces of these sizes, the rest at once.
fn open(session: &mut Session, mut bytes: Vec<u8>, sizes: &[usize]) -> Read {
    let mut read = Read::default();
    let mut rest = &mut bytes[..];
    for size in sizes.iter().copied().chain([usize::MAX]) {
        let (mut piece, behind) = rest.split_at_mut(size.min(rest.len()));
        rest = behind;
        while !piece.is_empty() {
            let before = piece.len();
            match session.open(&mut piece, &mut read.out) {
                Ok(Opened::Nothing) => {}
                Ok(Opened::InPlace(plain)) => read.plain.extend_from_slice(plain),
                Ok(Opened::Assembled(plain)) => read.plain.extend(plain),
                Ok(Opened::Ended) => read.has_ended = true,
                Err(fault) => {
                    read.fault = Some(fault);
                    return read;
                }
            }
            assert!(piece.len() < before, "each call takes something");
        }
    }
    read
}

fn sealed(session: &mut Session, plain: &[u8]) -> Vec<u8> {
    let mut out = b"earlier".to_vec();
    let bound = session.sealed_bytes_max(plain.len());
    out.extend_from_slice(plain);
    session.seal(&mut out, 7);
    assert!(out.starts_with(b"earlier") && out.len() - 7 <= bound);
    out.split_off(7)
}

/// Both sides after their handshake, whose flights were split like this.
fn connected(server: &Server, mut client: Session, sizes: &[usize]) -> (Session, Session) {
    let mut server = server.accept();
    let mut flight = Vec::new();
    client.start(&mut flight).expect("a first message");
    for _ in 0..4 {
        let read = open(&mut server, flight, sizes);
        assert_eq!((read.fault, &*read.plain), (None, &b""[..]));
        let read = open(&mut client, read.out, sizes);
        assert_eq!((read.fault, &*read.plain), (None, &b""[..]));
        flight = read.out;
    }
    assert!(server.is_established() && client.is_established());
    assert_eq!((server.held_bytes(), client.held_bytes()), (0, 0), "idle sides keep no buffer");
    (server, client)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_cut_of_the_records_gives_the_same_plain_text(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 0..4),
        sizes in prop::collection::vec(1_usize..3_000, 0..40),
        is_closed: bool,
    ) {
        let (directory, server) = ready();
        let (mut server, mut client) =
            connected(&server, directory.client("localhost").connect(), &sizes);
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| bytes.extend(sealed(&mut client, message)));
        if is_closed {
            client.close(&mut bytes);
        }
        let read = open(&mut server, bytes, &sizes);
        prop_assert!(read.plain == messages.concat());
        prop_assert_eq!((read.has_ended, read.fault), (is_closed, None));
        prop_assert!(server.is_between_records() && server.held_bytes() == 0);
        let mut bytes = sealed(&mut server, &read.plain);
        server.close(&mut bytes);
        let read = open(&mut client, bytes, &sizes);
        prop_assert!(read.plain == messages.concat() && read.has_ended);
        prop_assert_eq!(read.fault, None);
    }
}

#[test]
fn each_suite_passes_text_and_a_damaged_record_is_answered_by_an_alert() {
    let directory = Directory::new();
    for (suite, name) in Suite::ALL.iter().zip(Suite::NAMES) {
        assert_eq!(Suite::named(name), Some(*suite));
        // The certificate is for ECDSA.
        if name.contains("_RSA_") {
            continue;
        }
        let settings = ServerSettings { suites: Some(vec![*suite]), ..directory.settings() };
        let version_min = if suite.is_tls13() { Version::Tls13 } else { Version::Tls12 };
        let settings = ServerSettings { version_min, ..settings };
        let server = Server::new(settings, tickets()).unwrap();
        let (mut server, mut client) =
            connected(&server, directory.client("localhost").connect(), &[]);
        assert_eq!(server.is_tls13(), Some(suite.is_tls13()), "{name}");
        let first = sealed(&mut client, b"intact");
        let mut second = sealed(&mut client, b"damaged");
        *second.last_mut().unwrap() ^= 1;
        let read = open(&mut server, [first, second].concat(), &[]);
        assert_eq!((&*read.plain, read.fault), (&b"intact"[..], Some(Fault::Record)), "{name}");
        let mut alert = Vec::new();
        server.close(&mut alert);
        let read = open(&mut client, alert, &[]);
        // RFC 8446 §6: bad_record_mac.
        assert_eq!(read.fault, Some(Fault::Alert(20)), "{name}");
    }
}

#[test]
fn input_that_is_not_tls_is_told_apart() {
    let (_directory, server) = ready();
    for (input, fault) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Fault::PlainHttp),
        (b"G", Fault::PlainHttp),
        (b"\0\0\0", Fault::Handshake(Reason::NotTls)),
        (b"\x16\x03\x01\xff\xff", Fault::Handshake(Reason::NotTls)),
        (b"\x16\x03\x01\x00\x05hello", Fault::Handshake(Reason::NotTls)),
    ] {
        for sizes in [&[][..], &[1, 1, 1]] {
            let mut session = server.accept();
            let read = open(&mut session, input.to_vec(), sizes);
            assert_eq!(read.fault, Some(fault), "{input:?}");
            let mut more = &mut [22, 3][..];
            assert!(session.open(&mut more, &mut Vec::new()).is_err(), "it stays broken");
        }
    }
}

#[test]
fn a_client_sees_at_once_that_a_server_does_not_speak_tls() {
    let (directory, _) = ready();
    for greeting in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"SSH-2.0-server\r\n", b"220 mail\r\n"] {
        let mut client = directory.client("localhost").connect();
        client.start(&mut Vec::new()).unwrap();
        let read = open(&mut client, greeting.to_vec(), &[]);
        assert_eq!(read.fault, Some(Fault::Handshake(Reason::NotTls)));
    }
}

#[test]
fn a_cut_is_seen_in_the_handshake_and_in_a_record() {
    let (directory, server) = ready();
    let mut session = server.accept();
    let mut hello = Vec::new();
    directory.client("localhost").connect().start(&mut hello).unwrap();
    assert!(session.is_between_records());
    open(&mut session, hello[..hello.len() - 1].to_vec(), &[]);
    assert!(!session.is_between_records() && session.held_bytes() > 0);
    let (mut server, mut client) = connected(&server, directory.client("localhost").connect(), &[]);
    let record = sealed(&mut client, b"text");
    open(&mut server, record[..record.len() - 1].to_vec(), &[]);
    assert!(!server.is_between_records());
}

#[test]
fn a_client_that_comes_back_resumes_and_an_unknown_name_gets_the_default() {
    let (directory, server) = ready();
    let client = directory.client("a.example.org");
    for _ in 0..2 {
        let (whole, _) = connected(&server, client.connect(), &[]);
        assert_eq!(whole.is_resumed(), Some(false));
    }
    let client = client.resuming();
    // As many as come at once.
    for is_resumed in [false, true] {
        let sessions: Vec<_> = (0..20).map(|_| client.connect()).collect();
        for session in sessions {
            let (server, session) = connected(&server, session, &[1, 2, 3]);
            assert_eq!(server.is_resumed(), Some(is_resumed));
            assert_eq!(session.is_resumed(), Some(is_resumed));
        }
    }
    let mut session = server.accept();
    let mut stranger = directory.client("other.example.net").connect();
    let mut flight = Vec::new();
    stranger.start(&mut flight).unwrap();
    let read = open(&mut session, flight, &[]);
    let read = open(&mut stranger, read.out, &[]);
    assert_eq!(
        read.fault,
        Some(Fault::Handshake(Reason::Certificate(CertificateFault::OtherName)))
    );
    let mut alert = Vec::new();
    stranger.close(&mut alert);
    let read = open(&mut session, alert, &[]);
    assert!(matches!(read.fault, Some(Fault::Handshake(Reason::Alert(_)))), "{read:?}");
}

/// rustls remembers places in its input, so it must see that input again even if it only writes.
#[test]
fn a_message_of_tls_that_comes_in_several_records_may_be_interrupted_by_output() {
    let directory = Directory::new();
    let mut config = (*directory.server().config()).clone();
    // The ticket takes several records.
    config.max_fragment_size = Some(64);
    let mut server = Session::server(Arc::new(config)).unwrap();
    let mut client = directory.client("localhost").connect();
    let (mut flight, mut tickets) = (Vec::new(), Vec::new());
    client.start(&mut flight).unwrap();
    while !flight.is_empty() {
        let read = open(&mut server, flight, &[]);
        tickets = read.out.clone();
        if server.is_established() {
            break;
        }
        flight = open(&mut client, read.out, &[]).out;
    }
    let mut answers = 0;
    for piece in tickets.chunks(30) {
        assert_eq!(open(&mut client, piece.to_vec(), &[]).fault, None);
        let text = sealed(&mut client, b"between");
        assert_eq!(open(&mut server, text, &[]).plain, b"between");
        answers += 1;
    }
    assert!(answers > 5 && client.is_between_records() && client.held_bytes() == 0);
    assert_eq!(open(&mut client, sealed(&mut server, b"text"), &[]).plain, b"text");
}
