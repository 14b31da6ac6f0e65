//! Fuzzes the opening handshake of both roles: any bytes as a request, as a
//! response and as a `Sec-WebSocket-Extensions` value.
//!
//! `run` is a plain function, so that `cargo test` replays the corpus with it.
#![cfg_attr(fuzzing, no_main)]

use httparse::{EMPTY_HEADER, Header};
use ringway_frame::deflate::{Agreement, Offer, Policy};
use ringway_frame::extension::{Extension, Extensions};
use ringway_frame::handshake::client::{Request, Verdict};
use ringway_frame::handshake::{emit_response, server};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

/// One case: panics if a property does not hold.
pub fn run(data: &[u8]) {
    as_request(data);
    as_response(data);
    as_extensions(data);
}

/// The server can answer each request that it accepts, and with each of its subprotocols.
fn as_request(data: &[u8]) {
    let mut headers = [EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut headers);
    if !matches!(head.parse(data), Ok(httparse::Status::Complete(_))) {
        return;
    }
    let (Some(method), Some(minor)) = (head.method, head.version) else {
        return;
    };
    let request = match server::examine(method, minor, head.headers) {
        Ok(request) => request,
        Err(error) => {
            assert!(matches!(error.status(), 400 | 405 | 426));
            return;
        }
    };
    assert_eq!(request.key.len(), 24);
    assert!(!request.host.is_empty());
    let agreement = Policy::default().agree(request.extensions().iter());
    for subprotocol in request.subprotocols() {
        let mut out = Vec::new();
        emit_response(&mut out, request.key, Some(subprotocol), agreement.as_ref());
        assert!(out.ends_with(b"\r\n\r\n"));
    }
}

/// An accepted response contains only what was asked for, and ends where its head ends.
fn as_response(data: &[u8]) {
    let request = Request {
        host: "a.example",
        target: "/",
        subprotocols: &["chat"],
        offers: &[Offer::default()],
        headers: &[],
    };
    let expectation = request.emit(*b"the sample nonce", &mut Vec::new()).unwrap();
    if let Ok(Verdict::Accepted(accepted)) = expectation.verify(data) {
        assert!(accepted.head_bytes <= data.len());
        assert!(data[..accepted.head_bytes].ends_with(b"\n"));
        assert!(matches!(accepted.subprotocol, None | Some("chat")));
        assert!(accepted.agreement.is_none_or(|rules| rules.client_max_window_bits.is_none()));
    }
}

/// Accepted extensions are unchanged after being written and read again, and the client accepts
/// every answer of the server to an offer.
fn as_extensions(data: &[u8]) {
    let headers = [Header { name: "Sec-WebSocket-Extensions", value: data }];
    let Ok(extensions) = Extensions::parse(&headers) else {
        return;
    };
    let written: Vec<String> = extensions.iter().map(|extension| write(&extension)).collect();
    assert!(!written.is_empty());
    for (extension, text) in extensions.iter().zip(&written) {
        let again = Extension::parse(text.as_bytes()).unwrap();
        assert_eq!(&write(&again), text);
        assert_eq!(Offer::parse(&again), Offer::parse(&extension));
        if let Some(offer) = Offer::parse(&again) {
            let agreement = Policy::default().agree([again]).unwrap();
            let mut response = Vec::new();
            agreement.emit(&mut response);
            let response = Extension::parse(&response).unwrap();
            assert_eq!(Agreement::verify(&response, &[offer]), Ok(agreement));
        }
    }
}

fn write(extension: &Extension<'_>) -> String {
    let mut text = extension.name().to_owned();
    for parameter in extension.parameters() {
        text.push_str("; ");
        text.push_str(parameter.name);
        if let Some(value) = parameter.value {
            text.push('=');
            text.extend(value.bytes().map(char::from));
        }
    }
    text
}
