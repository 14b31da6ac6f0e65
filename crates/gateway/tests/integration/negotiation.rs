//! Negotiation of permessage-deflate (RFC 7692 §5 and §7.1): the answer to each offer.
//!
//! An offer that is not understood is declined, never an error. Compression itself is tested in
//! `inflating`.

use crate::support::{
    Client, Engine, Gateway, Request,
    frames::{FIN, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    offers_are_answered,
    unknown_offers_are_declined,
    the_first_acceptable_offer_is_accepted,
    the_operator_may_allow_takeover_and_narrow_windows,
    the_operator_may_forbid_compression,
    uncompressed_messages_are_allowed_after_negotiating_compression,
);

/// The parameters of every answer by default, so that an idle connection holds no context.
const NO_TAKEOVER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The negotiated extensions for `offers`, each sent in a header line of its own.
#[track_caller]
fn agreed(gateway: &Gateway, offers: &[&str]) -> Option<String> {
    let request = offers
        .iter()
        .fold(Request::upgrade(), |request, offer| request.and("Sec-WebSocket-Extensions", offer));
    let mut client = Client::connect(gateway);
    client.sends(request.bytes());
    let response = client.is_upgraded();
    // The connection works with any result of the negotiation.
    client.sends(frame(FIN | TEXT, "hello"));
    client.receives_text("hello");
    response.field("Sec-WebSocket-Extensions").map(str::to_owned)
}

/// RFC 7692 §7.1.1 and §7.1.2.
fn offers_are_answered(engine: Engine) {
    let gateway = Gateway::start(engine);
    for (offer, parameters) in [
        ("permessage-deflate", ""),
        ("permessage-deflate; server_no_context_takeover", ""),
        ("permessage-deflate; client_no_context_takeover", ""),
        ("permessage-deflate; client_max_window_bits", ""),
        ("permessage-deflate; client_max_window_bits=15", ""),
        ("permessage-deflate; client_max_window_bits=9", "; client_max_window_bits=9"),
        ("permessage-deflate; server_max_window_bits=8", "; server_max_window_bits=8"),
        ("permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=\"10\"", "; server_max_window_bits=10"),
        ("  permessage-deflate ;\tclient_max_window_bits ", ""),
    ] {
        let wanted = format!("{NO_TAKEOVER}{parameters}");
        assert_eq!(agreed(&gateway, &[offer]).as_deref(), Some(&*wanted), "{offer}");
    }
}

/// RFC 7692 §7.1: unknown, repeated and invalid parameters; §5.1: declined without an error.
fn unknown_offers_are_declined(engine: Engine) {
    let gateway = Gateway::start(engine);
    for offer in [
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=x",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=100",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    ] {
        assert_eq!(agreed(&gateway, &[offer]), None, "{offer}");
    }
}

/// RFC 7692 §5.1: in the client's order of preference.
fn the_first_acceptable_offer_is_accepted(engine: Engine) {
    let gateway = Gateway::start(engine);
    let ten = Some(format!("{NO_TAKEOVER}; server_max_window_bits=10"));
    let unknown = "permessage-deflate; unknown";
    let good = "permessage-deflate; server_max_window_bits=10";
    let fallback = "permessage-deflate";
    assert_eq!(agreed(&gateway, &[&format!("{unknown}, {good}, {fallback}")]), ten);
    assert_eq!(agreed(&gateway, &[unknown, good, fallback]), ten);
    assert_eq!(agreed(&gateway, &["permessage-bzip2", &format!("x, {good}"), fallback]), ten);
    assert_eq!(agreed(&gateway, &[fallback, good]), Some(NO_TAKEOVER.to_owned()));
}

fn the_operator_may_allow_takeover_and_narrow_windows(engine: Engine) {
    let settings = [
        "websocket.deflate.server_context_takeover=true",
        "websocket.deflate.client_context_takeover=true",
        "websocket.deflate.server_window_bits_max=12",
        "websocket.deflate.client_window_bits_max=11",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    for (offer, parameters) in [
        ("", "; server_max_window_bits=12"),
        ("; server_max_window_bits=9", "; server_max_window_bits=9"),
        ("; client_max_window_bits", "; server_max_window_bits=12; client_max_window_bits=11"),
        ("; client_max_window_bits=10", "; server_max_window_bits=12; client_max_window_bits=10"),
        // RFC 7692 §7.1.1: the client gets the parameters that it requests.
        (
            "; server_no_context_takeover; client_no_context_takeover",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
        ),
    ] {
        let wanted = format!("permessage-deflate{parameters}");
        let offer = format!("permessage-deflate{offer}");
        assert_eq!(agreed(&gateway, &[&offer]), Some(wanted), "{offer}");
    }
}

fn the_operator_may_forbid_compression(engine: Engine) {
    let gateway = Gateway::start_with(engine, &["websocket.deflate.enabled=false"]);
    assert_eq!(agreed(&gateway, &["permessage-deflate"]), None);
}

/// RFC 7692 §6: an endpoint may leave any message uncompressed.
fn uncompressed_messages_are_allowed_after_negotiating_compression(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut client = Client::connect(&gateway);
    let request = Request::upgrade().and("Sec-WebSocket-Extensions", "permessage-deflate");
    client.sends(request.bytes());
    client.is_upgraded();
    for text in ["", "hello", "κόσμε"] {
        client.sends(frame(FIN | TEXT, text));
        client.receives_text(text);
    }
}
