//! The opening handshake of RFC 6455 §4.2: which requests upgrade, and the responses to all others.
//!
//! Malformed heads are tested in `heads`, offers of compression in `negotiation`.

use crate::support::{Client, Engine, Gateway, Request, Response, frames, on_each_engine};

on_each_engine!(
    a_valid_request_is_upgraded,
    a_bad_key_is_a_400,
    a_key_with_pad_bits_is_accepted,
    a_version_other_than_13_is_a_426,
    only_get_upgrades,
    http_1_0_does_not_upgrade,
    no_upgrade_without_both_tokens,
    tokens_are_found_in_lists_in_any_case,
    malformed_subprotocols_are_a_400,
    subprotocols_are_not_invented,
    malformed_extensions_are_a_400,
    a_request_with_a_body_is_a_400_and_the_body_is_no_frame,
    a_refused_client_may_try_again_on_the_same_connection,
    two_origins_are_a_400,
);

#[track_caller]
fn answer(gateway: &Gateway, request: &Request) -> Response {
    let mut client = Client::connect(gateway);
    client.sends(request.bytes());
    client.receives_head()
}

#[track_caller]
fn is_answered(gateway: &Gateway, request: &Request, status: u16) {
    let response = answer(gateway, request);
    assert_eq!(response.status, status, "{request:?} {}", response.head);
}

/// RFC 6455 §4.2.2: the 101 and its fields.
fn a_valid_request_is_upgraded(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    client.sends(Request::upgrade().bytes());
    let response = client.is_upgraded();
    assert!(response.field("Upgrade").unwrap().eq_ignore_ascii_case("websocket"));
    assert!(response.field("Connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(response.field("Sec-WebSocket-Protocol"), None);
    assert_eq!(response.field("Sec-WebSocket-Extensions"), None);
    client.sends(frames::frame(frames::FIN | frames::TEXT, "hello"));
    client.receives_text("hello");
}

/// RFC 6455 §4.2.1, item 5: one key, 16 bytes in base64.
fn a_bad_key_is_a_400(engine: Engine) {
    let gateway = Gateway::start(engine);
    let sound = Request::upgrade();
    is_answered(&gateway, &sound.clone().without("Sec-WebSocket-Key"), 400);
    is_answered(&gateway, &sound.clone().and("Sec-WebSocket-Key", frames::KEY), 400);
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "dGhlIHNhbXBsZSBub25jZSEh",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub2 jZQ==",
        "dGhlIHNhbXBsZSBub2-jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        is_answered(&gateway, &sound.clone().with("Sec-WebSocket-Key", key), 400);
    }
}

/// RFC 6455, erratum 3150: the four pad bits of the key's last digit may have any value.
fn a_key_with_pad_bits_is_accepted(engine: Engine) {
    let gateway = Gateway::start(engine);
    for key in ["dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZf=="] {
        is_answered(&gateway, &Request::upgrade().with("Sec-WebSocket-Key", key), 101);
    }
}

/// RFC 6455 §4.4, RFC 9110 §15.5.22: 426, with the supported version and protocol.
fn a_version_other_than_13_is_a_426(engine: Engine) {
    let gateway = Gateway::start(engine);
    let sound = Request::upgrade();
    let versions = ["", "8", "12", "14", "013", "13.0", "+13", "13, 8", "130"];
    let mut requests =
        versions.map(|version| sound.clone().with("Sec-WebSocket-Version", version)).to_vec();
    requests.push(sound.clone().without("Sec-WebSocket-Version"));
    requests.push(sound.clone().and("Sec-WebSocket-Version", "13"));
    requests.push(sound.and("Sec-WebSocket-Version", "8"));
    for request in requests {
        let response = answer(&gateway, &request);
        assert_eq!(response.status, 426, "{request:?}");
        assert_eq!(response.field("Sec-WebSocket-Version"), Some("13"));
        assert_eq!(response.field("Upgrade"), Some("websocket"));
        assert!(response.field("Connection").unwrap().to_lowercase().contains("upgrade"));
    }
}

/// RFC 6455 §4.2.1, item 1; RFC 9110 §15.5.6: 405, with the allowed method.
fn only_get_upgrades(engine: Engine) {
    let gateway = Gateway::start(engine);
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "CONNECTED", "get"] {
        let line = format!("{method} /echo HTTP/1.1");
        let response = answer(&gateway, &Request::upgrade().line(&line));
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.field("Allow"), Some("GET"), "{method}");
    }
}

/// RFC 6455 §4.2.1, item 1: HTTP/1.1 or higher.
fn http_1_0_does_not_upgrade(engine: Engine) {
    let gateway = Gateway::start(engine);
    is_answered(&gateway, &Request::upgrade().line("GET /echo HTTP/1.0"), 400);
}

/// RFC 6455 §4.2.1, items 3 and 4: `websocket` in Upgrade, `upgrade` in Connection.
fn no_upgrade_without_both_tokens(engine: Engine) {
    let gateway = Gateway::start(engine);
    let sound = Request::upgrade();
    for request in [
        sound.clone().without("Upgrade"),
        sound.clone().without("Connection"),
        sound.clone().with("Upgrade", "h2c"),
        sound.clone().with("Upgrade", "websockets"),
        sound.clone().with("Upgrade", "\"websocket\""),
        sound.clone().with("Connection", "keep-alive"),
        sound.clone().with("Connection", "upgrades"),
        Request::of("/echo"),
    ] {
        let response = answer(&gateway, &request);
        assert_eq!(response.status, 426, "{request:?}");
        assert_eq!(response.field("Upgrade"), Some("websocket"));
    }
}

/// RFC 9110 §5.6.1 and §7.8: the tokens are in lists, on one line or several.
fn tokens_are_found_in_lists_in_any_case(engine: Engine) {
    let gateway = Gateway::start(engine);
    let sound = Request::upgrade();
    for request in [
        sound.clone().with("Connection", "keep-alive, Upgrade"),
        sound.clone().with("Connection", "keep-alive").and("Connection", "uPGRADE"),
        sound.clone().with("Connection", ",, ,upgrade ,"),
        sound.clone().with("Upgrade", "h2c,WebSocket"),
        sound.clone().without("Upgrade").and("uPgRaDe", "WEBSOCKET"),
        sound.clone().with("Sec-WebSocket-Version", " 13 \t"),
    ] {
        is_answered(&gateway, &request, 101);
    }
}

/// RFC 6455 §4.1, item 10: different tokens.
fn malformed_subprotocols_are_a_400(engine: Engine) {
    let gateway = Gateway::start(engine);
    for protocols in ["chat, chat", "cha t", "chat; v=1", "\"chat\"", "chat/1"] {
        let request = Request::upgrade().and("Sec-WebSocket-Protocol", protocols);
        is_answered(&gateway, &request, 400);
    }
    let twice =
        Request::upgrade().and("Sec-WebSocket-Protocol", "a").and("Sec-WebSocket-Protocol", "a");
    is_answered(&gateway, &twice, 400);
}

/// RFC 6455 §4.2.2, item 5: without a common subprotocol, the response names none.
fn subprotocols_are_not_invented(engine: Engine) {
    let gateway = Gateway::start(engine);
    let request = Request::upgrade().and("Sec-WebSocket-Protocol", "chat, superchat");
    let response = answer(&gateway, &request);
    assert_eq!(response.status, 101);
    assert_eq!(response.field("Sec-WebSocket-Protocol"), None);
}

/// RFC 6455 §9.1: the grammar of the extension list.
fn malformed_extensions_are_a_400(engine: Engine) {
    let gateway = Gateway::start(engine);
    for extensions in [
        "permessage-deflate;",
        "permessage-deflate; =1",
        "permessage-deflate; a=",
        "permessage-deflate; a=\"",
        "permessage-deflate; a=\"b c\"",
        "permessage deflate",
        "; a",
        "permessage-deflate; a==1",
        "@",
    ] {
        let request = Request::upgrade().and("Sec-WebSocket-Extensions", extensions);
        is_answered(&gateway, &request, 400);
    }
}

/// RFC 9112 §11.2 (request smuggling): the body is neither frames nor a request.
fn a_request_with_a_body_is_a_400_and_the_body_is_no_frame(engine: Engine) {
    let gateway = Gateway::start(engine);
    let body = frames::frame(frames::FIN | frames::TEXT, "smuggled");
    let length = body.len().to_string();
    for request in [
        Request::upgrade().and("Content-Length", &length),
        Request::upgrade().and("Transfer-Encoding", "chunked"),
    ] {
        let mut client = Client::connect(&gateway);
        client.sends([request.bytes(), body.clone(), Request::of("/").bytes()].concat());
        let response = client.receives_response();
        assert_eq!(response.status, 400, "{request:?}");
        assert_eq!(response.field("Connection"), Some("close"));
        client.receives_end();
    }
}

/// RFC 9112 §9.3: after a refusal the connection can still be used.
fn a_refused_client_may_try_again_on_the_same_connection(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    assert_eq!(client.requests(&Request::of("/echo")).status, 426);
    let old = Request::upgrade().with("Sec-WebSocket-Version", "8");
    assert_eq!(client.requests(&old).status, 426);
    assert_eq!(client.requests(&Request::upgrade().without("Sec-WebSocket-Key")).status, 400);
    client.sends(Request::upgrade().bytes());
    client.is_upgraded();
    client.sends(frames::frame(frames::FIN | frames::TEXT, "at last"));
    client.receives_text("at last");
}

/// RFC 6454 §7.3: with two origins it is unclear which one is right.
fn two_origins_are_a_400(engine: Engine) {
    let gateway = Gateway::start(engine);
    let request = Request::upgrade().and("Origin", "http://a").and("Origin", "http://b");
    is_answered(&gateway, &request, 400);
    is_answered(&gateway, &Request::upgrade().and("Origin", "http://a"), 101);
}
