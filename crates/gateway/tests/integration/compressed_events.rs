//! Events and answers over permessage-deflate: compressed once for all if that was negotiated,
//! otherwise by each connection's own context (RFC 7692 §7.1).
//!
//! Compressed messages of clients are in `inflating`, negotiation in `negotiation`.

use serde_json::{Value, json};

use crate::support::{Engine, Gateway, Member, Request, has, on_each_engine, target};

on_each_engine!(
    events_are_the_same_under_every_negotiated_extension,
    many_clients_share_one_compressed_event,
    context_takeover_makes_repeats_short,
    replayed_events_are_compressed_too,
    small_windows_are_respected,
);

const TAKEOVER: &str = "websocket.deflate.server_context_takeover=true";

/// Joins with this offer.
#[track_caller]
fn join(gateway: &Gateway, query: &[(&str, &str)], offer: &str) -> Member {
    let request = Request::upgrade_of(&target("/ws", query));
    let request = match offer {
        "" => request,
        _ => request.and("Sec-WebSocket-Extensions", offer),
    };
    let member = Member::upgrades(gateway, &request);
    assert_eq!(member.agreement().is_some(), !offer.is_empty(), "{offer}");
    member
}

/// The offers; the last ones are accepted only if the operator allows a context.
const OFFERS: [&str; 6] = [
    "",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
    "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
    "permessage-deflate",
    "permessage-deflate; server_max_window_bits=9",
];

fn payload(number: usize) -> Value {
    let words = ["ring", "way", "κόσμε", "👍", "\u{2028}", "\\\"", "0", "false "];
    let long = (0..number * number * 7).map(|at| words[(at * at + number) % words.len()]);
    json!({"number": number, "text": long.collect::<String>()})
}

fn events_are_the_same_under_every_negotiated_extension(engine: Engine) {
    for settings in [&[][..], &[TAKEOVER]] {
        let gateway = Gateway::start_with(engine, settings);
        let mut ann = join(&gateway, &[("client", "ann")], OFFERS[1]);
        let query = [("client", "bob"), ("topic", "news")];
        let mut bobs: Vec<Member> =
            OFFERS.iter().map(|offer| join(&gateway, &query, offer)).collect();
        for number in 0..40 {
            let data = payload(number);
            match number % 2 {
                0 => ann.notifies(&number.to_string(), &["bob"], data.clone()),
                _ => ann.publishes(&number.to_string(), "news", data.clone()),
            };
            let first = bobs[0].receives_event(data);
            for (bob, offer) in bobs.iter_mut().zip(OFFERS).skip(1) {
                assert_eq!(bob.receives(), first, "{offer}");
            }
        }
        for (bob, offer) in bobs.iter_mut().zip(OFFERS) {
            let all: Vec<String> = (0..300).map(|number| format!("recipient {number}")).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let ack = bob.notifies(&format!("offer {offer}"), &all, 1);
            assert_eq!(ack["outcome"].as_object().unwrap().len(), 300, "{offer}");
            has(&bob.is_refused("{", "not_json"), json!({"type": "error"}));
            bob.has_received_all();
        }
    }
}

/// RFC 7692 §7.1.1.1: without a context, each message is compressed independently.
fn many_clients_share_one_compressed_event(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bobs: Vec<Member> = (0..50)
        .map(|_| join(&gateway, &[("client", "bob"), ("topic", "news")], OFFERS[1]))
        .collect();
    for number in [0, 1, 10, 100] {
        let data = payload(number);
        let ack = ann.publishes(&number.to_string(), "news", data.clone());
        let event = json!({
            "type": "event", "cursor": ack["cursor"], "from": "ann", "topic": "news", "data": data,
        });
        for bob in &mut bobs {
            let (text, is_compressed) = bob.receives_text();
            assert!(is_compressed);
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), event);
        }
    }
    // A client that did not negotiate compression is not sent compressed events.
    let (text, is_compressed) = {
        ann.subscribes("news");
        ann.publishes("last", "news", payload(20));
        ann.receives_text()
    };
    assert!(!is_compressed && text.len() > 1000);
}

/// RFC 7692 §7.1.1: a message may refer to earlier ones.
fn context_takeover_makes_repeats_short(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[TAKEOVER]);
    let mut ann = Member::joins(&gateway, "ann");
    let mut kept = join(&gateway, &[("client", "kept"), ("topic", "news")], "permessage-deflate");
    let offer = "permessage-deflate; server_no_context_takeover";
    let mut fresh = join(&gateway, &[("client", "fresh"), ("topic", "news")], offer);
    // Random text: only a reference to its earlier copy makes it shorter.
    let noise: String = (0..4000).map(|_| fastrand::alphanumeric()).collect();
    let mut bytes = [0, 0];
    for round in 0..5 {
        ann.publishes(&round.to_string(), "news", &*noise);
        for (bytes, member) in bytes.iter_mut().zip([&mut kept, &mut fresh]) {
            let frame = member.socket.receives_frame();
            assert_eq!(frame.first, 0xc1, "compressed text");
            *bytes += frame.payload.len();
        }
    }
    let [kept, fresh] = bytes;
    assert!(kept * 3 < fresh, "{kept} bytes with a context, {fresh} without");
}

fn replayed_events_are_compressed_too(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[TAKEOVER]);
    let mut ann = Member::joins(&gateway, "ann");
    let start = ann.cursor.clone();
    for number in 0..30 {
        ann.publishes(&number.to_string(), "news", payload(number));
    }
    let query = [("client", "bob"), ("topic", "news"), ("cursor", &*start)];
    for offer in OFFERS {
        let mut bob = join(&gateway, &query, offer);
        for number in 0..30 {
            let (text, is_compressed) = bob.receives_text();
            let event: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(event["data"], payload(number), "{offer}");
            assert_eq!(is_compressed, !offer.is_empty(), "{offer}: {} bytes", text.len());
        }
        ann.publishes(&format!("offer {offer}"), "news", "now");
        bob.receives_event("now");
    }
}

/// RFC 7692 §7.1.2.1: a window of 512 bytes.
fn small_windows_are_respected(engine: Engine) {
    let gateway = Gateway::start_with(engine, &[TAKEOVER]);
    let mut ann = Member::joins(&gateway, "ann");
    for offer in [OFFERS[2], OFFERS[5]] {
        let mut bob = join(&gateway, &[("client", "bob"), ("topic", "news")], offer);
        assert!(bob.agreement().unwrap().contains("server_max_window_bits=9"));
        let noise: String = (0..600).map(|_| fastrand::alphanumeric()).collect();
        // The same text twice, further apart than the window: the second copy takes as much room as
        // the first.
        ann.publishes(offer, "news", format!("{noise}{noise}"));
        let frame = bob.socket.receives_frame();
        assert_eq!(frame.first, 0xc1);
        assert!(frame.payload.len() > 1200 * 6 / 8, "{} bytes", frame.payload.len());
    }
}
