//! The client's request, and each response that it must refuse (RFC 6455 §4.1).
//!
//! Uses no socket and no server but ours: each response is a good one with one change.

use super::*;
use crate::deflate::{ClientWindow, Policy, WindowBits};
use crate::handshake::server;

const NONCE: [u8; 16] = *b"the sample nonce";

const OFFER: Offer = Offer {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: None,
    client_max_window_bits: ClientWindow::Any,
};

const REQUEST: Request<'_> = Request {
    host: "edge.example",
    target: "/ws?client=ann",
    subprotocols: &["chat", "superchat"],
    offers: &[OFFER],
    headers: &[("Origin", "https://app.example")],
};

/// A good response to `REQUEST`, with `from` replaced by `to`.
fn response(from: &str, to: &str) -> String {
    let good = "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: superchat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10\r\n\r\n";
    assert!(good.contains(from));
    good.replacen(from, to, 1)
}

fn verdict(response: &str) -> Result<Verdict<'static>, ResponseError> {
    let expectation = REQUEST.emit(NONCE, &mut Vec::new()).unwrap();
    expectation.verify(response.as_bytes())
}

// RFC 6455 §1.2 and §4.1.
#[test]
fn the_request_is_written_in_full() {
    let mut out = Vec::new();
    REQUEST.emit(NONCE, &mut out).unwrap();
    let expected = "GET /ws?client=ann HTTP/1.1\r\n\
         Host: edge.example\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
         Origin: https://app.example\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_request_with_invalid_parts_is_refused() {
    let base = Request { host: "a", target: "/", ..Request::default() };
    let table = [
        (Request { host: "", ..base }, RequestError::Host),
        (Request { host: "a\r\nb", ..base }, RequestError::Host),
        (Request { target: "ws", ..base }, RequestError::Target),
        (Request { target: "/a b", ..base }, RequestError::Target),
        (Request { target: "/a\nb", ..base }, RequestError::Target),
        (Request { subprotocols: &["a b"], ..base }, RequestError::Subprotocol),
        (Request { subprotocols: &["a", "a"], ..base }, RequestError::Subprotocol),
        (Request { headers: &[("a b", "c")], ..base }, RequestError::Header),
        (Request { headers: &[("a", "b\r\nc: d")], ..base }, RequestError::Header),
    ];
    for (request, error) in table {
        let mut out = Vec::new();
        assert_eq!(request.emit(NONCE, &mut out).err(), Some(error));
        assert!(out.is_empty());
    }
}

#[test]
fn nonces_differ() {
    assert_ne!(random_nonce().unwrap(), random_nonce().unwrap());
}

#[test]
fn a_good_response_opens_the_connection_once_it_is_whole() {
    let response = response("", "") + "\u{1}frames";
    let head_bytes = response.len() - "\u{1}frames".len();
    for end in 0..head_bytes {
        assert_eq!(verdict(&response[..end]), Ok(Verdict::Incomplete), "at {end}");
    }
    let expected = Accepted {
        subprotocol: Some("superchat"),
        agreement: Some(Agreement {
            client_max_window_bits: WindowBits::new(10),
            ..Agreement::default()
        }),
        head_bytes,
    };
    assert_eq!(verdict(&response), Ok(Verdict::Accepted(expected)));
}

#[test]
fn a_response_may_accept_a_part_of_the_offer_and_differ_in_case() {
    let table = [
        ("websocket", "WebSocket"),
        ("Connection: Upgrade", "connection: keep-alive, upgrade"),
        ("Upgrade: w", "X-Other: 1\r\nupgrade: w"),
        ("Accept: s", "Accept:   s"),
        ("Switching Protocols", ""),
        ("Sec-WebSocket-Protocol: superchat\r\n", ""),
        ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10\r\n", ""),
    ];
    for (from, to) in table {
        assert!(matches!(verdict(&response(from, to)), Ok(Verdict::Accepted(_))), "{from}");
    }
}

// RFC 6455 §4.1: "Once the client's opening handshake has been sent", 1 to 6.
#[test]
fn a_response_that_does_not_switch_protocols_is_refused() {
    use ResponseError::*;
    let extension = "permessage-deflate; client_max_window_bits=10";
    let table = [
        ("HTTP/1.1", "HTTP/1.0", Malformed),
        ("HTTP/1.1", "ICY", Malformed),
        ("Upgrade:", "Upgr ade:", Malformed),
        ("101 Switching Protocols", "200 OK", Status(200)),
        ("101 Switching Protocols", "401 Unauthorized", Status(401)),
        ("101 Switching Protocols", "302 Found", Status(302)),
        ("Upgrade: websocket\r\n", "", Upgrade),
        ("Upgrade: websocket", "Upgrade: h2c", Upgrade),
        ("Upgrade: websocket", "Upgrade: websocket, h2c", Upgrade),
        ("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: websocket", Upgrade),
        ("Connection: Upgrade\r\n", "", Connection),
        ("Connection: Upgrade", "Connection: close", Connection),
        ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "", Accept),
        ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", Accept),
        ("Sec-WebSocket-Accept", "X-Accept", Accept),
        ("Protocol: superchat", "Protocol: megachat", Subprotocol),
        ("Protocol: superchat", "Protocol: SuperChat", Subprotocol),
        ("Protocol: superchat", "Protocol: chat, superchat", Subprotocol),
        ("Protocol: superchat", "Protocol:", Subprotocol),
        (
            "Sec-WebSocket-Protocol: superchat",
            "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat",
            Subprotocol,
        ),
        (extension, "permessage-bzip2", Extension),
        (extension, "permessage-deflate; client_max_window_bits", Extension),
        (extension, "permessage-deflate; client_max_window_bits=16", Extension),
        (extension, "permessage-deflate; mystery", Extension),
        (extension, "permessage-deflate, permessage-deflate", Extension),
        (extension, "permessage-deflate;", Extension),
        (extension, "", Extension),
    ];
    for (from, to, error) in table {
        assert_eq!(verdict(&response(from, to)), Err(error), "{from} -> {to}");
    }
}

#[test]
fn the_server_may_choose_only_what_was_offered() {
    let request = Request { host: "a", target: "/", ..Request::default() };
    let expectation = request.emit(NONCE, &mut Vec::new()).unwrap();
    let both = response("", "");
    assert_eq!(expectation.verify(both.as_bytes()), Err(ResponseError::Subprotocol));
    let extension_only = response("Sec-WebSocket-Protocol: superchat\r\n", "");
    assert_eq!(expectation.verify(extension_only.as_bytes()), Err(ResponseError::Extension));
}

#[test]
fn a_response_with_too_many_headers_is_refused() {
    let many = "X: y\r\n".repeat(HEADERS_MAX);
    let response = response("Upgrade: w", &format!("{many}Upgrade: w"));
    assert_eq!(verdict(&response), Err(ResponseError::Malformed));
}

// Our server and our client understand each other.
#[test]
fn our_server_reads_our_request_and_our_client_its_response() {
    let mut sent = Vec::new();
    let expectation = REQUEST.emit(NONCE, &mut sent).unwrap();

    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Request::new(&mut headers);
    assert!(head.parse(&sent).unwrap().is_complete());
    let (method, minor) = (head.method.unwrap(), head.version.unwrap());
    let request = server::examine(method, minor, head.headers).unwrap();
    let policy = Policy { client_window_bits_max: WindowBits::MIN, ..Policy::default() };
    let agreement = policy.agree(request.extensions().iter());
    assert!(agreement.is_some());
    let mut answered = Vec::new();
    let chosen = request.subprotocols().next();
    server::emit_response(&mut answered, request.key, chosen, agreement.as_ref());

    let expected = Accepted { subprotocol: Some("chat"), agreement, head_bytes: answered.len() };
    assert_eq!(expectation.verify(&answered), Ok(Verdict::Accepted(expected)));
}
