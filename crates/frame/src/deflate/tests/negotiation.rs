//! Tables of offers, of the answers to them, and of answers that a client must refuse (RFC 7692
//! §7.1).

use super::*;
use crate::deflate::{Agreement, ClientWindow, ContextTakeover, Offer, Policy, Unacceptable};
use crate::extension::{Extension, Extensions};

/// Allows both takeovers and all windows, so that an answer reflects the offer.
fn open_policy() -> Policy {
    Policy {
        server_context_takeover: ContextTakeover::Allowed,
        client_context_takeover: ContextTakeover::Allowed,
        ..Policy::default()
    }
}

/// The response's header value; empty if nothing was agreed on.
fn answer(policy: &Policy, offers: &str) -> String {
    let headers = [httparse::Header { name: "Sec-WebSocket-Extensions", value: offers.as_bytes() }];
    let extensions = Extensions::parse(&headers).unwrap();
    let mut value = Vec::new();
    if let Some(agreement) = policy.agree(extensions.iter()) {
        agreement.emit(&mut value);
    }
    String::from_utf8(value).unwrap()
}

#[test]
fn a_permissive_policy_answers_each_offer() {
    let table = [
        ("permessage-deflate", "permessage-deflate"),
        // RFC 7692 §7.1.1.1: accepted by repeating it.
        (
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover",
        ),
        // RFC 7692 §7.1.1.2.
        (
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
        ),
        // RFC 7692 §7.1.2.1: the same or a smaller value.
        (
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=8",
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=15",
        ),
        // RFC 7692 §7.1.2.2: with or without a value.
        ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits=15", "permessage-deflate"),
        (
            "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=10",
        ),
        // RFC 6455 §9.1: a quoted value means the same.
        (
            "permessage-deflate; server_max_window_bits=\"10\"",
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_max_window_bits=\"1\\0\"",
            "permessage-deflate; server_max_window_bits=10",
        ),
        (
            "permessage-deflate ;\tclient_max_window_bits = 9 ; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
        ),
        // Other extensions are skipped; the first good offer wins.
        ("x-webkit-deflate-frame, permessage-deflate", "permessage-deflate"),
        ("permessage-bzip2; level=9", ""),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "permessage-deflate; server_max_window_bits=10",
        ),
        // RFC 7692 §5.1: if an offer is declined, the next is tried.
        ("permessage-deflate; mystery, permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate; server_max_window_bits=16, \
             permessage-deflate; server_max_window_bits=12",
            "permessage-deflate; server_max_window_bits=12",
        ),
    ];
    for (offers, response) in table {
        assert_eq!(answer(&open_policy(), offers), response, "to {offers}");
    }
}

// RFC 7692 §7.1: unknown, repeated or invalid parameters decline the offer.
#[test]
fn bad_parameters_decline_the_offer() {
    let parameters = [
        "mystery",
        "server_no_context_takeover=1",
        "server_no_context_takeover=\"true\"",
        "client_no_context_takeover=0",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=05",
        "server_max_window_bits=00",
        "server_max_window_bits=010",
        "server_max_window_bits=\"08\"",
        "server_max_window_bits=0",
        "server_max_window_bits=1",
        "server_max_window_bits=100",
        "server_max_window_bits=1a",
        "server_max_window_bits=+9",
        "server_max_window_bits=-9",
        "server_max_window_bits=9.0",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=09",
        "client_max_window_bits=x",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "Server_No_Context_Takeover",
    ];
    for parameter in parameters {
        let offers = format!("permessage-deflate; {parameter}");
        assert_eq!(answer(&open_policy(), &offers), "", "to {offers}");
        let offers = format!("{offers}, permessage-deflate; server_max_window_bits=11");
        let second = "permessage-deflate; server_max_window_bits=11";
        assert_eq!(answer(&open_policy(), &offers), second, "to {offers}");
    }
}

#[test]
fn a_policy_restricts_only_the_parameters_that_it_may() {
    let tight = Policy {
        server_window_bits_max: window(10),
        client_window_bits_max: window(11),
        ..Policy::default()
    };
    let no_takeover =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned();
    let table = [
        // RFC 7692 §7.1.2.1: the server may bound itself unasked; §7.1.2.2: it may not bound a
        // client that did not offer the parameter.
        ("", "; server_max_window_bits=10"),
        ("; server_max_window_bits=15", "; server_max_window_bits=10"),
        ("; server_max_window_bits=9", "; server_max_window_bits=9"),
        ("; client_max_window_bits", "; server_max_window_bits=10; client_max_window_bits=11"),
        ("; client_max_window_bits=15", "; server_max_window_bits=10; client_max_window_bits=11"),
        ("; client_max_window_bits=8", "; server_max_window_bits=10; client_max_window_bits=8"),
    ];
    for (parameters, response) in table {
        let offer = format!("permessage-deflate{parameters}");
        assert_eq!(answer(&tight, &offer), format!("{no_takeover}{response}"), "to {offer}");
    }
}

fn every_offer() -> Vec<Offer> {
    let windows: Vec<_> = (8..=15).map(window).collect();
    let mut offers = Vec::new();
    for flags in 0..4 {
        for server in [None].into_iter().chain(windows.iter().copied().map(Some)) {
            let at_most = windows.iter().copied().map(ClientWindow::AtMost);
            for client in [ClientWindow::Fixed, ClientWindow::Any].into_iter().chain(at_most) {
                offers.push(Offer {
                    server_no_context_takeover: flags & 1 != 0,
                    client_no_context_takeover: flags & 2 != 0,
                    server_max_window_bits: server,
                    client_max_window_bits: client,
                });
            }
        }
    }
    offers
}

// The client accepts our server's answers under all policies.
#[test]
fn a_client_accepts_every_answer_of_our_server() {
    let takeovers = [ContextTakeover::Allowed, ContextTakeover::Forbidden];
    for offer in every_offer() {
        let mut text = Vec::new();
        offer.emit(&mut text);
        let extension = Extension::parse(&text).unwrap();
        assert_eq!(Offer::parse(&extension), Some(offer));
        for (server, client) in [(8, 15), (15, 8), (12, 12), (15, 15)] {
            for takeover in takeovers {
                let policy = Policy {
                    server_context_takeover: takeover,
                    client_context_takeover: takeover,
                    server_window_bits_max: window(server),
                    client_window_bits_max: window(client),
                    ..Policy::default()
                };
                let agreement = policy.agree([extension]).unwrap();
                assert!(agreement.server_window_bits() <= window(server));
                let mut response = Vec::new();
                agreement.emit(&mut response);
                let response = Extension::parse(&response).unwrap();
                assert_eq!(Agreement::verify(&response, &[offer]), Ok(agreement));
            }
        }
    }
}

#[test]
fn a_client_refuses_what_it_did_not_offer() {
    let plain = Offer::default();
    let bounded = Offer {
        server_no_context_takeover: true,
        server_max_window_bits: Some(window(10)),
        client_max_window_bits: ClientWindow::AtMost(window(12)),
        ..plain
    };
    let table = [
        (plain, "permessage-bzip2"),
        (plain, "permessage-deflate; mystery"),
        (plain, "permessage-deflate; server_max_window_bits"),
        (plain, "permessage-deflate; server_max_window_bits=7"),
        (plain, "permessage-deflate; server_no_context_takeover=1"),
        // RFC 7692 §7.1.2.2: never without an offer, never larger, never without a value.
        (plain, "permessage-deflate; client_max_window_bits=10"),
        (
            bounded,
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits",
        ),
        (
            bounded,
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=13",
        ),
        // RFC 7692 §7.1.1.1 and §7.1.2.1: the server must grant what was asked.
        (bounded, "permessage-deflate; server_max_window_bits=10"),
        (bounded, "permessage-deflate; server_no_context_takeover"),
        (bounded, "permessage-deflate; server_no_context_takeover; server_max_window_bits=11"),
    ];
    for (offer, response) in table {
        let extension = Extension::parse(response.as_bytes()).unwrap();
        let verdict = Agreement::verify(&extension, &[offer]);
        assert_eq!(verdict, Err(Unacceptable), "{response}");
    }
    let response = Extension::parse(b"permessage-deflate").unwrap();
    assert_eq!(Agreement::verify(&response, &[]), Err(Unacceptable));
    assert_eq!(Agreement::verify(&response, &[bounded, plain]), Ok(Agreement::default()));
}
