//! HTTP requests that other servers answer: heads, bodies of any length, connections that are used
//! again, and each fault of a server.

use std::{process::Command, thread};

use ringway_http::chunk::{ChunkReader, Reading};
use ringway_testbed::Server;

use crate::support::{
    Client, Engine, Gateway, PATIENCE, Upstream, closed_http_url, eventually, gateway_of,
    on_each_engine, opening, route,
};

on_each_engine!(
    requests_and_responses_are_passed_on_over_one_connection,
    bodies_of_any_length_are_streamed,
    chunks_trailers_and_interim_responses_pass,
    responses_without_content_are_passed_on,
    a_client_of_http_1_0_gets_no_chunks,
    ambiguous_requests_get_400_and_reach_no_server,
    a_server_that_fails_is_a_502,
    a_server_that_is_silent_is_a_504,
    a_full_server_is_a_503,
    a_request_is_repeated_only_if_that_is_safe,
    a_response_that_is_cut_off_is_not_taken_for_a_whole_one,
    a_broken_body_is_not_completed,
    a_slow_side_pauses_the_other_one,
    a_route_for_http_relays_websockets_too,
    files_of_a_python_server_arrive,
);

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// What the gateway keeps for clients and their servers.
const HELD: &str = "ringway_memory_bytes{component=\"clients\"}";

fn start(engine: Engine, upstream: &Upstream, more: &str) -> Gateway {
    gateway_of(engine, &route("/", &[upstream.http_url()], more))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// 3 MB that no two pieces of are alike.
fn large() -> Vec<u8> {
    (0..3_000_000u32).map(|number| (number % 251 + number / 65_536) as u8).collect()
}

fn requests_and_responses_are_passed_on_over_one_connection(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    let mut client = Client::connect(&gateway);
    client.sends([get("/a?b=c"), get("/d")].concat());
    let mut server = upstream.accepts();
    let request = server.receives_request();
    assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\nHost: a.example\r\n"), "{request}");
    for line in ["X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "Via: 1.1 ringway"] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{request}");
    }
    server.sends("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX: y\r\nKeep-Alive: a\r\n\r\nhi");
    let response = client.receives_response();
    assert!(response.head.starts_with("HTTP/1.1 200 Fine\r\n"), "{}", response.head);
    assert_eq!((response.field("X"), response.field("Keep-Alive")), (Some("y"), None));
    assert_eq!(response.body, b"hi");
    // The next request of any client gets the same connection, the second one here at last.
    assert!(server.receives_request().starts_with("GET /d HTTP/1.1\r\n"));
    server.sends_one_byte_a_segment(OK);
    assert_eq!(client.receives_response().body, b"hi");
    assert_eq!(gateway.metric("ringway_proxied_requests_total"), 2);
    drop(client);
    gateway.holds(0);
}

fn bodies_of_any_length_are_streamed(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    let mut client = Client::connect(&gateway);
    let body = large();
    let head = format!("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut server = upstream.accepts();
            let request = server.receives_request();
            assert!(request.contains("\r\nContent-Length: 3000000\r\n"), "{request}");
            server.receives_bytes(&body);
            server.sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(70_000) {
                server.sends(format!("{:x}\r\n", piece.len()));
                server.sends(piece);
                server.sends("\r\n");
            }
            server.sends("0\r\n\r\n");
        });
        client.sends(head);
        client.sends(&body);
        assert!(client.receives_chunked_response().body == body, "the same bytes");
    });
    eventually("nothing is held", || gateway.metric(HELD) == 0);
}

fn chunks_trailers_and_interim_responses_pass(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    let mut client = Client::connect(&gateway);
    client.sends(
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\
         Trailer: Sum\r\nTE: trailers\r\n\r\n",
    );
    let mut server = upstream.accepts();
    let request = server.receives_request();
    for line in ["Expect: 100-continue", "Transfer-Encoding: chunked", "TE: trailers"] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{request}");
    }
    server.sends("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.receives_head().status, 100);
    client.sends_one_byte_a_segment("5;x=y\r\nhello\r\n0\r\nSum: 1\r\nHost: evil\r\n\r\n");
    let mut body = String::new();
    while !body.ends_with("\r\n\r\n") {
        body.push_str(str::from_utf8(&server.takes(1)).unwrap());
    }
    assert!(body.ends_with("\r\n0\r\nSum: 1\r\n\r\n"), "{body}");
    let mut data = Vec::new();
    let reading = ChunkReader::default().read(&mut body.as_bytes(), &mut data, 99);
    assert_eq!((reading, &data[..]), (Ok(Reading::Whole), &b"hello"[..]), "{body}");
    server.sends("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    server.sends(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 2\r\n\r\n",
    );
    assert_eq!(client.receives_head().field("Link"), Some("</a>"));
    client.receives_head();
    client.receives_bytes("00000002\r\nhi\r\n0\r\nSum: 2\r\n\r\n");
}

fn responses_without_content_are_passed_on(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    let mut client = Client::connect(&gateway);
    client.sends("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut server = upstream.accepts();
    assert!(server.receives_request().starts_with("HEAD /a "));
    server.sends("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    assert_eq!(client.receives_head_alone().field("Content-Length"), Some("7"));
    for status in [204, 304] {
        client.sends(get("/b"));
        server.receives_request();
        server.sends(format!("HTTP/1.1 {status} None\r\nETag: \"a\"\r\n\r\n"));
        let response = client.receives_response();
        assert_eq!((response.status, response.field("ETag")), (status, Some("\"a\"")));
    }
    // Such a request is answered here, and this method is not passed on.
    client.sends("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(client.receives_response().status, 204);
    client.sends("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.receives_response().status, 405);
}

fn a_client_of_http_1_0_gets_no_chunks(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    let mut client = Client::connect(&gateway);
    client.sends("GET /a HTTP/1.0\r\n\r\n");
    let mut server = upstream.accepts();
    let request = server.receives_request();
    assert!(request.starts_with("GET /a HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    server.sends(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    server.sends("2\r\nhi\r\n0\r\n\r\n");
    client.receives_bytes("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi");
    client.receives_end();
}

fn ambiguous_requests_get_400_and_reach_no_server(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 3",
        "Content-Length: +3",
        "Content-Length : 3",
        " Content-Length: 3",
        "A: b\r\n Transfer-Encoding: chunked",
        "A: b\nContent-Length: 3",
        "A: b\rContent-Length: 3",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \x0bchunked",
        "Host: b",
    ] {
        let mut client = Client::connect(&gateway);
        client.sends(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n"));
        let response = client.receives_response();
        assert_eq!(response.status, 400, "{fields:?}: {}", response.head);
        client.is_cut_off();
    }
    for path in ["/a/../b", "/a/%2e%2E/b", "/a/..%2fb"] {
        let mut client = Client::connect(&gateway);
        client.sends(get(path));
        assert_eq!(client.receives_response().status, 400, "{path}");
    }
    assert!(upstream.is_idle(), "a request has reached the server");
}

fn a_server_that_fails_is_a_502(engine: Engine) {
    let upstream = Upstream::listens();
    let refusing = gateway_of(engine, &route("/", &[closed_http_url()], ""));
    let mut client = Client::connect(&refusing);
    client.sends(get("/a"));
    let response = client.receives_response();
    assert_eq!((response.status, response.code()), (502, "upstream_unreachable".to_owned()));
    let gateway = start(engine, &upstream, "failures_max = 1000");
    for garbage in [
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        let mut client = Client::connect(&gateway);
        client.sends(get("/a"));
        let mut server = upstream.accepts();
        server.receives_request();
        server.sends(garbage);
        let response = client.receives_response();
        assert_eq!(response.code(), "upstream_invalid", "{garbage}");
        assert_eq!(response.status, 502);
        // The client's connection goes on.
        client.sends(get("/b"));
        let mut server = upstream.accepts();
        server.receives_request();
        server.sends(OK);
        assert_eq!(client.receives_response().body, b"hi");
    }
}

fn a_server_that_is_silent_is_a_504(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "response_timeout = \"100ms\"");
    let mut client = Client::connect(&gateway);
    client.sends(get("/a"));
    let mut server = upstream.accepts();
    server.receives_request();
    let response = client.receives_response();
    assert_eq!((response.status, response.code()), (504, "upstream_timeout".to_owned()));
    server.is_cut_off();
}

fn a_full_server_is_a_503(engine: Engine) {
    let upstream = Upstream::listens();
    let route = route("/", &[upstream.http_url()], "connections_max = 1");
    let gateway = gateway_of(engine, &format!("{route}[server]\ncores = 1\n"));
    let mut first = Client::connect(&gateway);
    first.sends(get("/a"));
    let mut server = upstream.accepts();
    server.receives_request();
    let mut second = Client::connect(&gateway);
    second.sends(get("/b"));
    let response = second.receives_response();
    assert_eq!((response.status, response.code()), (503, "upstream_unavailable".to_owned()));
    server.sends(OK);
    assert_eq!(first.receives_response().body, b"hi");
}

fn a_request_is_repeated_only_if_that_is_safe(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    let mut client = Client::connect(&gateway);
    for method in ["GET", "POST"] {
        client.sends(get("/first"));
        let mut server = upstream.accepts();
        server.receives_request();
        server.sends(OK);
        assert_eq!(client.receives_response().body, b"hi");
        client.sends(format!("{method} /second HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut next = match method {
            // The server closes the connection just as the request arrives: another one gets it.
            "GET" => {
                server.receives_request();
                drop(server);
                upstream.accepts()
            }
            // It could not be repeated, so it gets a connection of its own.
            _ => upstream.accepts(),
        };
        assert!(next.receives_request().starts_with(&format!("{method} /second ")));
        match method {
            "GET" => {
                next.sends("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            }
            _ => drop(next),
        }
        let response = client.receives_response();
        assert_eq!(response.status, if method == "GET" { 200 } else { 502 }, "{method}");
    }
}

fn a_response_that_is_cut_off_is_not_taken_for_a_whole_one(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "failures_max = 1000");
    for (head, is_whole) in [
        ("Content-Length: 9\r\n\r\nhi", false),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", false),
        ("Connection: close\r\n\r\nhi", true),
    ] {
        let mut client = Client::connect(&gateway);
        client.sends(get("/a"));
        let mut server = upstream.accepts();
        server.receives_request();
        server.sends(format!("HTTP/1.1 200 OK\r\n{head}"));
        client.receives_head();
        server.finishes();
        match is_whole {
            true => client.receives_bytes("00000002\r\nhi\r\n0\r\n\r\n"),
            false => client.is_cut_off(),
        }
    }
    gateway.holds(0);
}

fn a_broken_body_is_not_completed(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    for broken in ["3\r\nhell", "x\r\n", "3\r\nhel\r\n0\r\nA : b\r\n\r\n"] {
        let mut client = Client::connect(&gateway);
        client.sends("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut server = upstream.accepts();
        server.receives_request();
        client.sends(broken);
        assert_eq!(client.receives_response().status, 400, "{broken:?}");
        server.is_cut_off();
    }
    // A client that leaves in the middle of its body takes its request with it.
    let mut client = Client::connect(&gateway);
    client.sends("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi");
    let mut server = upstream.accepts();
    server.receives_request();
    server.receives_bytes("hi");
    drop(client);
    server.is_cut_off();
    gateway.holds(0);
}

fn a_slow_side_pauses_the_other_one(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    let bytes = vec![b'x'; 1 << 16];
    for is_request in [true, false] {
        let mut client = Client::connect(&gateway);
        let length = "Content-Length: 1073741824\r\n\r\n";
        let method = if is_request { "PUT" } else { "GET" };
        let body = if is_request { length } else { "\r\n" };
        client.sends(format!("{method} /a HTTP/1.1\r\nHost: a\r\n{body}"));
        let mut server = upstream.accepts();
        server.receives_request();
        if !is_request {
            server.sends(format!("HTTP/1.1 200 OK\r\n{length}"));
        }
        let (one, other) = if is_request { (client, server) } else { (server, client) };
        let (mut one, mut other) = (one, other);
        let sent = one.sends_until_it_stalls(&bytes, 1 << 30);
        assert!(sent < 64 << 20, "{sent} bytes were taken");
        let held = gateway.metric(HELD);
        assert!(held > 0 && held < 16 << 20, "{held} bytes are held");
        if !is_request {
            other.receives_head();
        }
        other.receives_bytes(vec![b'x'; sent]);
        drop((one, other));
        gateway.holds(0);
    }
    eventually("nothing is held", || gateway.metric(HELD) == 0);
}

fn a_route_for_http_relays_websockets_too(engine: Engine) {
    let upstream = Upstream::listens();
    let gateway = start(engine, &upstream, "");
    let mut client = Client::connect(&gateway);
    client.sends(crate::support::Request::upgrade_of("/a").bytes());
    let mut server = upstream.accepts();
    server.receives_request();
    server.sends(opening(""));
    client.is_upgraded();
    client.sends("frames");
    server.receives_bytes("frames");
}

fn files_of_a_python_server_arrive(engine: Engine) {
    let directory = tempfile::TempDir::new().unwrap();
    let body = large();
    std::fs::write(directory.path().join("large.bin"), &body).unwrap();
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"]);
    command.arg("--directory").arg(directory.path()).arg("0");
    let mut server = Server::start(command).unwrap();
    let line = server.says("Serving HTTP on", PATIENCE).unwrap();
    let port = line.split("port ").nth(1).unwrap().split(' ').next().unwrap();
    let gateway = gateway_of(engine, &route("/", &[format!("http://127.0.0.1:{port}")], ""));
    let mut client = Client::connect(&gateway);
    for (path, status, length) in [("/large.bin", 200, body.len()), ("/none", 404, 0)] {
        client.sends(get(path));
        let response = client.receives_response();
        assert_eq!(response.status, status, "{}", response.head);
        assert!(status == 404 || response.body == body, "{length} bytes");
    }
}
