//! A page of another origin can neither publish nor do anything else by the private API: requests as
//! a browser would send them.
//!
//! Chromium itself is tested by `cargo xtask browser`.

use crate::support::{Application, Client, Engine, Gateway, Request, Response, on_each_engine};

on_each_engine!(
    a_page_of_another_origin_cannot_publish,
    the_gateways_own_page_and_links_to_it_are_served,
);

const EVENT: &str = r#"{"topic":"news","data":1}"#;

#[track_caller]
fn answer(gateway: &Gateway, request: &Request) -> Response {
    Client::connect_to(gateway.api).requests(request)
}

fn post(target: &str, media: Option<&str>, body: &str) -> Request {
    let request = Request::post(target, body).with("Host", "127.0.0.1:8081");
    match media {
        Some(media) => request.with("Content-Type", media),
        None => request.without("Content-Type"),
    }
}

fn a_page_of_another_origin_cannot_publish(engine: Engine) {
    let gateway = Gateway::start(engine);
    // What a page may send without asking first (Fetch §2.2.2), and what it may not.
    let media = [
        Some("text/plain;charset=UTF-8"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=a"),
        None,
        Some("application/json"),
        Some("application/x-ndjson"),
    ];
    let by_form = format!("{}=\"}}", EVENT.replace("1}", "\""));
    let targets = ["/v1/publish", "/v1/notify", "/v1/clients/ann/revoke?until=9999999999999"];
    for target in targets {
        for media in media {
            for body in [EVENT, &by_form, r#"{"to":["ann"],"data":1}"#] {
                let sent = || post(target, media, body);
                for request in [
                    sent().and("Origin", "http://evil.example"),
                    sent()
                        .and("Origin", "http://127.0.0.1:9999")
                        .and("Sec-Fetch-Site", "same-site"),
                    // A sandboxed frame, a page from a file, a redirect.
                    sent().and("Origin", "null"),
                    // Without an Origin, as some browsers send forms.
                    sent().and("Sec-Fetch-Site", "cross-site"),
                ] {
                    let refused = answer(&gateway, &request);
                    assert_eq!(refused.status, 403, "{request:?}");
                    assert_eq!(refused.json()["code"], "foreign_origin");
                    assert_eq!(refused.field("Access-Control-Allow-Origin"), None);
                }
                // DNS rebinding: the page's own origin is the gateway's address.
                let rebound = sent().with("Host", "evil.example:8081");
                for request in [
                    rebound.clone().and("Origin", "http://evil.example:8081"),
                    rebound.and("Sec-Fetch-Site", "same-origin"),
                ] {
                    let refused = answer(&gateway, &request);
                    assert_eq!(refused.status, 421, "{request:?}");
                    assert_eq!(refused.json()["code"], "foreign_host");
                }
            }
        }
    }
    // The preflight of a JSON body is refused, too, and allows nothing.
    let preflight = Request::of_api("/v1/publish")
        .line("OPTIONS /v1/publish HTTP/1.1")
        .and("Origin", "http://evil.example")
        .and("Access-Control-Request-Method", "POST")
        .and("Access-Control-Request-Headers", "content-type");
    let refused = answer(&gateway, &preflight);
    assert_eq!(refused.status, 403);
    assert!(!refused.head.to_ascii_lowercase().contains("access-control"), "{}", refused.head);
    // A page cannot read either.
    let reads = Request::of_api("/v1/clients/ann").and("Origin", "http://evil.example");
    assert_eq!(answer(&gateway, &reads).status, 403);
    assert_eq!(gateway.metric("ringway_events_total"), 0, "nothing was published");
    gateway.logs("reason=\"origin\" status=403");
}

fn the_gateways_own_page_and_links_to_it_are_served(engine: Engine) {
    let gateway = Gateway::start(engine);
    let own = post("/v1/publish", Some("application/json"), EVENT);
    let own = own.and("Origin", "http://127.0.0.1:8081").and("Sec-Fetch-Site", "same-origin");
    assert_eq!(answer(&gateway, &own).status, 200);
    assert_eq!(Application::of(&gateway).posts("/v1/publish", EVENT).status, 200);
    let link = Request::of_api("/").and("Sec-Fetch-Site", "cross-site");
    assert_eq!(answer(&gateway, &link.and("Sec-Fetch-Mode", "navigate")).status, 200);
    assert_eq!(gateway.metric("ringway_events_total"), 2);
}
