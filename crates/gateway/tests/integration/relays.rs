//! WebSockets that other servers serve: their handshakes, their bytes, and their ends.

use std::time::Duration;

use crate::support::{
    Certificates, Client, Engine, Gateway, Request, Secure, Upstream, closed_url, eventually,
    frames::{BINARY, CLOSE, FIN, PING, TEXT, frame},
    gateway_of, on_each_engine, opening, route,
};

on_each_engine!(
    a_relayed_echo_is_as_a_direct_one,
    bytes_that_come_with_a_handshake_are_kept,
    the_two_ends_agree_on_subprotocol_and_extensions,
    the_end_of_one_stream_is_passed_on_and_the_other_goes_on,
    a_reset_is_passed_on,
    a_refusal_of_the_server_is_passed_on,
    another_server_is_tried_before_the_101,
    a_server_that_gives_no_valid_answer_is_a_502,
    a_server_that_does_not_answer_is_a_504,
    a_silent_relay_ends,
    a_slow_side_pauses_the_other_one,
    a_drain_ends_relays,
    both_sides_may_speak_tls,
);

/// What the gateway keeps for clients and their servers.
const HELD: &str = "ringway_memory_bytes{component=\"clients\"}";

fn a_relayed_echo_is_as_a_direct_one(engine: Engine) {
    let server = Gateway::start(engine);
    let url = format!("ws://{}", server.address);
    let gateway = gateway_of(engine, &route("/echo", &[url], ""));
    let mut client = Client::upgrade(&gateway);
    assert_eq!(gateway.metric("ringway_relays"), 1);
    client.sends(frame(FIN | TEXT, "hello"));
    client.receives_text("hello");
    let large: Vec<u8> = (0..1_000_000u32).map(|number| number as u8).collect();
    client.sends(frame(FIN | BINARY, &large));
    client.receives_binary(&large);
    client.sends(frame(FIN | PING, "p"));
    client.receives_pong("p");
    client.sends(frame(FIN | CLOSE, [0x0f, 0xa1]));
    client.receives_close(4001);
    client.receives_end();
    drop(client);
    gateway.holds(0);
    server.holds(0);
    assert_eq!(gateway.metric("ringway_relays"), 0);
}

fn bytes_that_come_with_a_handshake_are_kept(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = gateway_of(engine, &route("/a", &[upstream.url()], ""));
    let mut client = Client::connect(&gateway);
    client.sends([&Request::upgrade_of("/a/b?c=d").bytes(), &b"early"[..]].concat());
    let mut server = upstream.accepts();
    let request = server.receives_request();
    assert!(request.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"), "{request}");
    client.sends(" and later");
    server.sends_one_byte_a_segment(opening(""));
    server.sends("from the server");
    client.is_upgraded();
    client.receives_bytes("from the server");
    server.receives_bytes("early and later");
}

fn the_two_ends_agree_on_subprotocol_and_extensions(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = gateway_of(engine, &route("/a", &[upstream.url()], ""));
    let mut client = Client::connect(&gateway);
    let request = Request::upgrade_of("/a")
        .and("Sec-WebSocket-Protocol", "one, two")
        .and("Sec-WebSocket-Extensions", "x-own; a=1");
    client.sends(request.bytes());
    let mut server = upstream.accepts();
    let request = server.receives_request();
    assert!(request.contains("\r\nSec-WebSocket-Protocol: one, two\r\n"), "{request}");
    let lines = "Sec-WebSocket-Protocol: two\r\nSec-WebSocket-Extensions: x-own; b=2\r\n";
    server.sends(opening(lines));
    let response = client.is_upgraded();
    assert_eq!(response.field("Sec-WebSocket-Protocol"), Some("two"));
    assert_eq!(response.field("Sec-WebSocket-Extensions"), Some("x-own; b=2"));
}

fn the_end_of_one_stream_is_passed_on_and_the_other_goes_on(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = gateway_of(engine, &route("/a", &[upstream.url()], ""));
    for is_first in [true, false] {
        let mut client = Client::connect(&gateway);
        client.sends(Request::upgrade_of("/a").bytes());
        let mut server = upstream.opens(b"");
        client.is_upgraded();
        let (one, other) = match is_first {
            true => (&mut client, &mut server),
            false => (&mut server, &mut client),
        };
        one.sends("last");
        one.finishes();
        other.receives_bytes("last");
        other.receives_end();
        other.sends("answer");
        one.receives_bytes("answer");
        other.finishes();
        one.receives_end();
    }
    gateway.holds(0);
}

fn a_reset_is_passed_on(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = gateway_of(engine, &route("/a", &[upstream.url()], ""));
    for is_first in [true, false] {
        let mut client = Client::connect(&gateway);
        client.sends(Request::upgrade_of("/a").bytes());
        let server = upstream.opens(b"");
        client.is_upgraded();
        let (one, mut other) = if is_first { (client, server) } else { (server, client) };
        one.resets();
        other.is_reset();
    }
    gateway.holds(0);
    assert_eq!(gateway.metric("ringway_ended_total{reason=\"upstream_lost\"}"), 1);
}

fn a_refusal_of_the_server_is_passed_on(engine: Engine) {
    let server = Gateway::start(engine);
    let url = format!("ws://{}", server.address);
    let gateway = gateway_of(engine, &route("/a", &[url], ""));
    let mut client = Client::connect(&gateway);
    for _ in 0..2 {
        let response = client.requests(&Request::upgrade_of("/a"));
        assert_eq!(response.status, 404, "{}", response.head);
        let body = String::from_utf8(response.body).unwrap();
        assert!(body.contains("not_found"), "{body}");
    }
    // The connection goes on as if the gateway had answered itself.
    assert_eq!(client.requests(&Request::of("/")).status, 200);
    assert_eq!(gateway.metric("ringway_relays_refused_total"), 2);
}

fn another_server_is_tried_before_the_101(engine: Engine) {
    let (first, second) = (Upstream::listens(), Upstream::listens());
    let upstreams = [closed_url(), first.url(), second.url()];
    let gateway = gateway_of(engine, &route("/a", &upstreams, "response_timeout = \"300ms\""));
    let mut client = Client::connect(&gateway);
    client.sends(Request::upgrade_of("/a").bytes());
    let mut server = first.accepts();
    server.receives_request();
    server.resets();
    let mut server = second.opens(b"");
    client.is_upgraded();
    client.sends("bytes");
    server.receives_bytes("bytes");
    // The next one begins with the second server.
    let upstreams = [first.url(), second.url()];
    let gateway = gateway_of(engine, &route("/a", &upstreams, "response_timeout = \"100ms\""));
    let mut client = Client::connect(&gateway);
    client.sends(Request::upgrade_of("/a").bytes());
    let mut silent = first.accepts();
    silent.receives_request();
    second.opens(b"");
    client.is_upgraded();
    silent.is_cut_off();
}

fn a_server_that_gives_no_valid_answer_is_a_502(engine: Engine) {
    let upstream = Upstream::listens();
    let closed = route("/closed", &[closed_url()], "");
    let gateway = gateway_of(engine, &[route("/a", &[upstream.url()], ""), closed].concat());
    let mut client = Client::connect(&gateway);
    let answers: [&[u8]; 4] = [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 403 Forb",
    ];
    for answer in answers {
        client.sends(Request::upgrade_of("/a").bytes());
        let mut server = upstream.accepts();
        server.receives_request();
        server.sends(answer);
        server.finishes();
        is_refused(&mut client, 502, "upstream_invalid");
    }
    client.sends(Request::upgrade_of("/closed").bytes());
    is_refused(&mut client, 502, "upstream_unreachable");
    assert_eq!(gateway.metric("ringway_refused_requests_total{reason=\"upstream\"}"), 5);
}

fn a_server_that_does_not_answer_is_a_504(engine: Engine) {
    let upstream = Upstream::listens();
    let text = route("/a", &[upstream.url()], "response_timeout = \"100ms\"");
    let gateway = gateway_of(engine, &text);
    let mut client = Client::connect(&gateway);
    client.sends(Request::upgrade_of("/a").bytes());
    let mut server = upstream.accepts();
    is_refused(&mut client, 504, "upstream_timeout");
    server.is_cut_off();
}

#[track_caller]
fn is_refused(client: &mut Client, status: u16, code: &str) {
    let response = client.receives_response();
    let body = String::from_utf8(response.body).unwrap();
    assert!(response.status == status && body.contains(code), "{} {body}", response.head);
}

fn a_silent_relay_ends(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = gateway_of(engine, &route("/a", &[upstream.url()], "idle_timeout = \"300ms\""));
    let mut client = Client::connect(&gateway);
    client.sends(Request::upgrade_of("/a").bytes());
    let mut server = upstream.opens(b"");
    client.is_upgraded();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(100));
        server.sends("x");
        client.receives_bytes("x");
    }
    client.is_cut_off();
    server.is_cut_off();
    gateway.holds(0);
    assert_eq!(gateway.metric("ringway_ended_total{reason=\"relay_idle\"}"), 1);
}

fn a_slow_side_pauses_the_other_one(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = gateway_of(engine, &route("/a", &[upstream.url()], ""));
    let bytes: Vec<u8> = (0..1 << 16).map(|number: u32| (number % 251) as u8).collect();
    for is_first in [true, false] {
        let mut client = Client::connect(&gateway);
        client.sends(Request::upgrade_of("/a").bytes());
        let mut server = upstream.opens(b"");
        client.is_upgraded();
        let (one, other) = match is_first {
            true => (&mut client, &mut server),
            false => (&mut server, &mut client),
        };
        let sent = one.sends_until_it_stalls(&bytes, 1 << 30);
        assert!(sent < 64 << 20, "{sent} bytes were taken");
        let held = gateway.metric(HELD);
        assert!(held > 0 && held < 16 << 20, "{held} bytes are held");
        one.finishes();
        let expected: Vec<u8> = bytes.iter().copied().cycle().take(sent).collect();
        other.receives_bytes(expected);
        other.receives_end();
        other.finishes();
        one.receives_end();
    }
    gateway.holds(0);
    eventually("nothing is held", || gateway.metric(HELD) == 0);
}

fn a_drain_ends_relays(engine: Engine) {
    let upstream = Upstream::listens();
    let mut gateway = gateway_of(engine, &route("/a", &[upstream.url()], ""));
    let mut client = Client::connect(&gateway);
    client.sends(Request::upgrade_of("/a").bytes());
    let mut server = upstream.opens(b"");
    client.is_upgraded();
    gateway.signal("TERM");
    client.receives_end();
    server.receives_end();
    client.finishes();
    server.finishes();
    assert!(gateway.ends().success());
}

fn both_sides_may_speak_tls(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "127.0.0.1", 90);
    let server = certificates.start(engine, &["one"], &[]);
    let urls = [format!("wss://{}", server.address)];
    let authority = format!("upstream_ca_file = {:?}", certificates.name("ca.pem"));
    let routes = [route("/echo", &urls, &authority), route("/strange", &urls, "")].concat();
    let gateway = certificates.start_beside(&routes, engine, &["one"], &[]);
    let client = certificates.client("127.0.0.1");
    let mut secure = Secure::connect(gateway.address, &client).unwrap();
    secure.sends(&Request::upgrade().bytes());
    secure.receives(b"\r\n\r\n");
    secure.sends(&frame(FIN | TEXT, "through two layers"));
    secure.receives(b"through two layers");
    // A server of an unknown authority is asked nothing.
    let mut other = Secure::connect(gateway.address, &client).unwrap();
    other.sends(&Request::upgrade_of("/strange").bytes());
    other.receives(b"upstream_unreachable");
    // The end of each side is passed on as the end of its layer.
    secure.closes();
    secure.ends();
    other.closes();
    gateway.holds(0);
    server.holds(0);
}
