//! Requests as a client sends them: what is refused, what is passed on, and that neither depends on
//! how the bytes arrive.

use std::time::Duration;

use ringway_acceptor::{ConnectionId, Operation, Operations, Outgoing};

use crate::{
    auth::{Decision, IdentitySource, SelfNamed},
    config::{Config, origins::Origins, settings::Settings},
    edge::{
        action::{Action, Opened, Polled, Posted, Upgrade},
        limiter::Origin,
        requests::{AfterHead, HttpConnection},
    },
    outbox::{Outbox, Sending, channel::Channel},
    refusal::Refusal,
};

use ringway_http::KeepAlive;

fn settings() -> Settings {
    let mut settings = Settings::from_config(&Config::default());
    settings.clients.subscriptions_max = 2;
    settings.websocket.message_bytes_max = 20;
    settings.cors.allowed_origins = Origins::parse(["https://a"]).unwrap();
    settings
}

/// The gateway's side of an exchange.
struct Gateway {
    http: HttpConnection,
    settings: Settings,
    sending: Sending,
    operations: Operations,
    /// One line for each action that is left to the connection.
    left: Vec<String>,
    /// Whether reading has ended.
    is_over: bool,
}

impl Gateway {
    fn new() -> Self {
        Self {
            http: HttpConnection::default(),
            settings: settings(),
            sending: Sending::default(),
            operations: Operations::default(),
            left: Vec::new(),
            is_over: false,
        }
    }

    fn receives(&mut self, piece: &[u8]) {
        let mut bytes = piece.to_vec();
        let mut input = &mut bytes[..];
        while !input.is_empty() && !self.is_over {
            let Self { http, settings, sending, operations, .. } = self;
            let (connection, channel) = (ConnectionId::new(0, 0), &mut Channel::default());
            let mut outbox = Outbox::new(connection, sending, channel, operations, Duration::ZERO);
            let mut action = http.advance(&mut input, Origin::Client, settings, &mut outbox);
            assert!(input.is_empty() || !matches!(action, Action::More));
            if let Action::Requested(request) = action {
                let Decision::Identified(identity) =
                    SelfNamed.identify(&request.credentials(None, Duration::ZERO))
                else {
                    panic!("everybody is let in");
                };
                action = http.admit(request, identity, AfterHead::of(input), settings, &mut outbox);
            }
            let (line, after) = match action {
                Action::Requested(_) => panic!("it was admitted"),
                Action::More => continue,
                Action::Answered | Action::Refused(_, KeepAlive::Yes) => continue,
                Action::Finished | Action::Tls(_) | Action::Refused(_, KeepAlive::Close) => {
                    (String::new(), KeepAlive::Close)
                }
                Action::Upgraded(Upgrade { route, params, subprotocol, .. }) => (
                    format!("{route:?} {:?} {subprotocol:?}", params.client.as_deref()),
                    KeepAlive::Close,
                ),
                Action::Opened(Opened { route, params, after, .. }) => {
                    (format!("{route:?} {:?}", params.cursor.map(|cursor| cursor.sequence)), after)
                }
                Action::Polled(Polled { params, after, .. }) => {
                    (format!("Poll {:?}", params.cursor.map(|cursor| cursor.sequence)), after)
                }
                Action::Relayed(_) | Action::Proxied(_) => panic!("there is no route"),
                Action::Posted(Posted { body, after, .. }) => {
                    (format!("Posted {}", String::from_utf8(body).unwrap()), after)
                }
            };
            if !line.is_empty() {
                self.left.push(line);
            }
            self.is_over = after == KeepAlive::Close;
        }
    }

    fn answers(&mut self) -> String {
        let (list, turn) = self.operations.drain();
        let mut answers = Vec::new();
        for operation in list {
            if let Operation::Send { outgoing: Outgoing::Turn(range), .. } = operation {
                answers.extend_from_slice(&turn[range]);
            }
        }
        self.operations.clear();
        String::from_utf8(answers).unwrap()
    }
}

/// The result of an exchange: the statuses that were sent, the actions left to the connection, and
/// whether the connection has ended.
type Outcome = (Vec<u16>, Vec<String>, bool);

fn converse(pieces: &[&[u8]]) -> Outcome {
    let mut gateway = Gateway::new();
    pieces.iter().for_each(|piece| gateway.receives(piece));
    let answers = gateway.answers();
    let statuses = answers.split("HTTP/1.1 ").skip(1).map(|one| one[..3].parse().unwrap());
    // Whether a 100 is sent depends on the input so far, which has a test of its own.
    (statuses.filter(|&status| status != 100).collect(), gateway.left, gateway.is_over)
}

/// The result of `sent`, split in two at every position, and sent one byte at a time.
#[track_caller]
fn outcome(sent: &str) -> Outcome {
    let bytes = sent.as_bytes();
    let whole = converse(&[bytes]);
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(converse(&[first, second]), whole, "{sent:?} cut at {cut}");
    }
    assert_eq!(converse(&bytes.chunks(1).collect::<Vec<_>>()), whole, "{sent:?} byte by byte");
    whole
}

fn refused(status: u16, is_over: bool) -> Outcome {
    (vec![status], Vec::new(), is_over)
}

fn left(line: &str, is_over: bool) -> Outcome {
    (Vec::new(), vec![line.to_owned()], is_over)
}

const NEXT: &str = "GET /poll?cursor=00000000000a-7 HTTP/1.1\r\nHost: a\r\n\r\n";

fn post(fields: &str, body: &str) -> String {
    format!("POST /send HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

#[test]
fn a_body_is_read_however_it_is_framed() {
    for (fields, body, posted) in [
        ("", "", ""),
        ("Content-Length: 0\r\n", "", ""),
        ("Content-Length: 000\r\nExpect: 100-continue\r\n", "", ""),
        ("Content-Length: 5\r\n", "hello", "hello"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello", "hello"),
        ("Content-Length: 20\r\n", "01234567890123456789", "01234567890123456789"),
        ("Content-Length: 4\r\nExpect: 100-Continue\r\n", "\r\n\r\n", "\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", ""),
        ("Transfer-Encoding: Chunked\r\n", "2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n", "hello"),
        ("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 2\r\n", "{}", "{}"),
    ] {
        let sent = post(fields, body);
        assert_eq!(outcome(&sent), left(&format!("Posted {posted}"), false), "{sent:?}");
        let lines = vec![format!("Posted {posted}"), "Poll Some(7)".to_owned()];
        assert_eq!(outcome(&format!("{sent}{NEXT}")), (Vec::new(), lines, false), "{sent:?}");
        let closing = post(&format!("Connection: close\r\n{fields}"), body);
        let wanted = left(&format!("Posted {posted}"), true);
        assert_eq!(outcome(&format!("{closing}{NEXT}")), wanted, "{closing:?}");
    }
}

#[test]
fn the_rest_of_a_body_is_awaited() {
    for (fields, body) in [
        ("Content-Length: 6\r\n", "hello"),
        ("Content-Length: 1\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n"),
    ] {
        let sent = post(fields, body);
        assert_eq!(outcome(&sent), (Vec::new(), Vec::new(), false), "{sent:?}");
        let mut gateway = Gateway::new();
        gateway.receives(sent.as_bytes());
        assert!(!gateway.http.is_between_requests(), "{sent:?}");
    }
}

#[test]
fn invalid_bodies_are_refused_and_nothing_after_them_is_read() {
    for (fields, body, status) in [
        ("Content-Length: 21\r\n", "", 413),
        ("Content-Length: 18446744073709551615\r\n", "", 413),
        ("Content-Length: 18446744073709551616\r\n", "", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello", 400),
        ("Content-Length: 5, 5\r\n", "hello", 400),
        ("Content-Length: -1\r\n", "", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "hello", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501),
        ("Transfer-Encoding: identity\r\n", "", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 501),
        ("Transfer-Encoding: chunked\r\n", "15\r\n", 413),
        ("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n", 413),
        ("Transfer-Encoding: chunked\r\n", "10\r\n0123456789abcdef\r\n5\r\n", 413),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("Content-Length: 5\r\nExpect: 200-ok\r\n", "hello", 417),
        ("Content-Length: 5\r\nContent-Type: text/html\r\n", "hello", 415),
        ("Content-Length: 5\r\nContent-Type: multipart/form-data; boundary=a\r\n", "hello", 415),
    ] {
        let sent = format!("{}{NEXT}", post(fields, body));
        assert_eq!(outcome(&sent), refused(status, true), "{sent:?}");
    }
}

#[test]
fn floods_around_a_body_are_refused() {
    let extensions = format!("5;{}\r\nhello\r\n", "a".repeat(600)).repeat(2);
    let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(700));
    for (body, status) in [(extensions, 400), (trailers, 431)] {
        let sent = post("Transfer-Encoding: chunked\r\n", &body);
        assert_eq!(converse(&[sent.as_bytes()]), refused(status, true));
        assert_eq!(converse(&sent.as_bytes().chunks(1).collect::<Vec<_>>()), refused(status, true));
    }
}

/// RFC 9110 §10.1.1: only to clients that wait.
#[test]
fn a_100_is_sent_if_the_body_has_not_arrived() {
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let head = post(&format!("Expect: 100-continue\r\n{framing}\r\n"), "");
        for (pieces, said) in [
            (&[&*head][..], CONTINUE),
            (&[&head[..30], &head[30..]], CONTINUE),
            (&[&format!("{head}5")], ""),
            (&[&format!("{NEXT}{head}")], CONTINUE),
        ] {
            let mut gateway = Gateway::new();
            pieces.iter().for_each(|piece| gateway.receives(piece.as_bytes()));
            assert_eq!(gateway.answers(), said, "{pieces:?}");
            assert!(!gateway.is_over && !gateway.http.is_between_requests());
        }
    }
    let mut gateway = Gateway::new();
    gateway.receives(post("Expect: 100-continue\r\nContent-Length: 0\r\n", "").as_bytes());
    assert_eq!(gateway.answers(), "");
}

/// Nothing is allocated before it is received.
#[test]
fn a_declared_length_costs_nothing() {
    let mut gateway = Gateway::new();
    gateway.settings.websocket.message_bytes_max = usize::MAX;
    gateway.receives(post("Content-Length: 9000000000000000000\r\n", "x").as_bytes());
    assert!(!gateway.is_over && gateway.left.is_empty());
}

#[test]
fn a_late_body_is_a_408() {
    let mut gateway = Gateway::new();
    gateway.receives(post("Origin: https://a\r\nContent-Length: 5\r\n", "hell").as_bytes());
    let Gateway { http, settings, sending, operations, .. } = &mut gateway;
    let (connection, channel) = (ConnectionId::new(0, 0), &mut Channel::default());
    let mut outbox = Outbox::new(connection, sending, channel, operations, Duration::ZERO);
    http.give_up(Refusal::Timeout, settings, &mut outbox);
    assert!(http.is_between_requests());
    let answer = gateway.answers();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\nAccess-Control-Allow-Origin: https://a\r\n"));
}

#[test]
fn each_route_has_its_methods() {
    for (line, wanted) in [
        ("GET /poll HTTP/1.1", left("Poll None", false)),
        ("GET /sse HTTP/1.1", left("Sse None", false)),
        ("GET /stream HTTP/1.1", left("Stream None", false)),
        ("POST /send HTTP/1.1", left("Posted ", false)),
        ("GET /home.js HTTP/1.1", refused(200, false)),
        ("GET /home.css HTTP/1.1", refused(200, false)),
        ("GET /ringway.js HTTP/1.1", refused(200, false)),
        ("HEAD /ringway.d.ts HTTP/1.1", refused(200, false)),
        ("POST /ringway.js HTTP/1.1", refused(405, false)),
        ("HEAD /poll HTTP/1.1", refused(200, false)),
        ("HEAD /sse HTTP/1.1", refused(200, false)),
        ("HEAD /stream HTTP/1.0", refused(200, true)),
        ("HEAD /send HTTP/1.1", refused(405, false)),
        ("POST /stream HTTP/1.1", refused(405, false)),
        ("get /poll HTTP/1.1", refused(405, false)),
        ("GET /send HTTP/1.1", refused(405, false)),
        ("PUT /send HTTP/1.1", refused(405, false)),
        ("OPTIONS /send HTTP/1.1", refused(204, false)),
        ("OPTIONS /poll HTTP/1.1", refused(204, false)),
        ("OPTIONS /sse HTTP/1.1", refused(204, false)),
        ("OPTIONS /stream HTTP/1.1", refused(204, false)),
        ("OPTIONS /ws HTTP/1.1", refused(405, false)),
        ("OPTIONS / HTTP/1.1", refused(405, false)),
        ("GET /ws HTTP/1.1", refused(426, false)),
        ("GET /ws HTTP/1.0", refused(400, true)),
        ("GET /poll HTTP/1.0", left("Poll None", true)),
        ("GET /poll HTTP/1.2", left("Poll None", false)),
        ("GET /sse HTTP/1.9", left("Sse None", false)),
        ("POST /send HTTP/1.3", left("Posted ", false)),
        ("GET /poll HTTP/2.0", refused(505, true)),
        ("GET /poll HTTP/1.20", refused(400, true)),
        ("GET / HTTP/1.0", refused(200, true)),
        ("GET /sse HTTP/1.0", left("Sse None", true)),
        ("GET /stream HTTP/1.0", left("Stream None", true)),
        ("POST /send HTTP/1.0", left("Posted ", true)),
        ("OPTIONS /send HTTP/1.0", refused(204, true)),
        ("GET /poll?client= HTTP/1.1", refused(400, false)),
        ("GET /stream?callback=a() HTTP/1.1", refused(400, false)),
        ("POST /send?topic=a&topic=b&topic=c HTTP/1.1", refused(400, false)),
        ("GET /sse?cursor=%ff HTTP/1.1", refused(400, false)),
        ("GET /poll/ HTTP/1.1", refused(404, false)),
        ("GET /Ringway.js HTTP/1.1", refused(404, false)),
    ] {
        assert_eq!(outcome(&format!("{line}\r\nHost: a\r\n\r\n")), wanted, "{line}");
    }
}

/// RFC 9112 §9.3: a body that is not read must not be taken for the next request.
#[test]
fn a_body_that_the_route_does_not_read_ends_the_connection() {
    for (line, wanted) in [
        ("GET /poll", left("Poll None", true)),
        ("GET /sse", left("Sse None", true)),
        ("OPTIONS /send", refused(204, true)),
        ("GET /ringway.js", refused(200, true)),
        ("PUT /send", refused(405, true)),
        ("POST /send?client=", refused(400, true)),
    ] {
        let sent = format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx{NEXT}");
        assert_eq!(outcome(&sent), wanted, "{line}");
    }
}

#[test]
fn only_a_stream_resumes_from_the_last_event_id() {
    for (route, wanted) in [
        ("sse", left("Sse Some(2)", false)),
        ("stream", left("Stream Some(2)", false)),
        ("poll", left("Poll Some(1)", false)),
    ] {
        let line = format!("GET /{route}?cursor=00000000000a-1 HTTP/1.1");
        let sent = format!("{line}\r\nHost: a\r\nLast-Event-ID: 00000000000a-2\r\n\r\n");
        assert_eq!(outcome(&sent), wanted);
    }
}

/// RFC 6455 §4.2.2: a subprotocol that the client offered, or none.
#[test]
fn a_known_subprotocol_is_negotiated() {
    const JSON: &str = "ringway.v1.json";
    for (path, offers, agreed) in [
        ("/ws", &[][..], false),
        ("/ws", &[JSON], true),
        ("/ws", &["other, ringway.v1.json"], true),
        ("/ws", &["other", JSON], true),
        ("/ws", &["other"], false),
        ("/ws", &["Ringway.v1.json"], false),
        ("/echo", &[JSON], false),
    ] {
        let offers: String =
            offers.iter().map(|offer| format!("Sec-WebSocket-Protocol: {offer}\r\n")).collect();
        let sent = format!(
            "GET {path}?client=ann HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n{offers}\r\n"
        );
        let mut gateway = Gateway::new();
        gateway.receives(sent.as_bytes());
        let answer = gateway.answers();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let line = format!("\r\nSec-WebSocket-Protocol: {JSON}\r\n");
        assert_eq!(answer.contains(&line), agreed, "{path} {offers}");
        let wanted = match (path, agreed) {
            ("/ws", true) => "Ws Some(\"ann\") Some(Native)",
            ("/ws", false) => "Ws Some(\"ann\") None",
            _ => "Echo None None",
        };
        assert_eq!(gateway.left, [wanted]);
    }
}

#[test]
fn pages_of_allowed_origins_may_read_refusals() {
    for (line, status) in [("GET /poll?wait=x", 400), ("POST /stream", 405), ("OPTIONS /sse", 204)]
    {
        for (origin, is_allowed) in [("https://a", true), ("https://b", false)] {
            let sent = format!("{line} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n\r\n");
            let mut gateway = Gateway::new();
            gateway.receives(sent.as_bytes());
            let answer = gateway.answers();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            let has = |text: &str| answer.contains(text);
            assert_eq!(has("Access-Control-Allow-Origin: https://a\r\n"), is_allowed, "{answer}");
            assert!(has("\r\nVary: Origin\r\n"), "{answer}");
            assert_eq!(has("Access-Control-Max-Age: "), is_allowed && status == 204, "{answer}");
            assert_eq!(has("Content-Length: "), status != 204, "{answer}");
        }
    }
}

#[test]
fn an_idle_connection_stays_small() {
    assert!(size_of::<HttpConnection>() <= 48);
    let mut gateway = Gateway::new();
    let sent = post("Content-Length: 5\r\n", "hello");
    sent.as_bytes().chunks(7).for_each(|piece| gateway.receives(piece));
    assert!(gateway.http.is_between_requests());
}
