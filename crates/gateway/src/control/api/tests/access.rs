//! Every route asks for a key with its scope, as the description says.

use axum::http::Method;
use serde_json::Value;

use crate::control::api::{
    access::Access,
    routes::{DESCRIPTION, ROUTES, router},
    tests::{Answer, api, api_with_keys, ask, key_of},
};

const SCOPES: [&str; 3] = ["publish", "read", "admin"];

fn target(path: &str) -> String {
    let code = path.replace("{code}", "not-found").replace("{topic}", "news");
    let target = code.replace("{client}", "ann");
    if path.ends_with("/revoke") { format!("{target}?until=0") } else { target }
}

fn body(path: &str) -> &'static str {
    match path {
        "/v1/notify" => r#"{"to":["ann"],"data":1}"#,
        "/v1/publish" => r#"{"topic":"news","data":1}"#,
        _ => "",
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, kind: &str, challenge: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.media(), "application/problem+json");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["type"], format!("/problems/{kind}"));
    assert_eq!(answer.fields["www-authenticate"], challenge);
    assert!(!answer.fields.contains_key("ringway-cursor"));
}

#[tokio::test]
async fn every_route_is_for_keys_with_its_scope() {
    let router = router(api_with_keys());
    let ask_with = async |method: &Method, path: &str, authorization: Option<&str>| {
        let json = ("content-type", "application/json");
        let fields: Vec<_> =
            authorization.map(|value| ("authorization", value)).into_iter().collect();
        ask(&router, method, &target(path), &[&[json][..], &fields].concat(), body(path)).await
    };
    let (mut open, mut guarded) = (0, 0);
    for route in &ROUTES {
        let (method, path) = (&route.method, route.path);
        let Access::Scope(scope) = route.access else {
            open += 1;
            assert_eq!(ask_with(method, path, None).await.status, 200, "{path}");
            continue;
        };
        guarded += 1;
        let scope = scope.as_str();
        refused(&ask_with(method, path, None).await, 401, "key-missing", "Bearer");
        for other in ["Basic YTpi", "Bearer", &key_of(scope)] {
            let answer = ask_with(method, path, Some(other)).await;
            refused(&answer, 401, "key-missing", "Bearer");
        }
        for wrong in
            [key_of("wrong"), key_of(scope).to_uppercase(), key_of(scope) + "x", String::new()]
        {
            let answer = ask_with(method, path, Some(&format!("Bearer {wrong}"))).await;
            refused(&answer, 401, "key-invalid", "Bearer error=\"invalid_token\"");
        }
        for given in SCOPES {
            let answer = ask_with(method, path, Some(&format!("bearer {}", key_of(given)))).await;
            if given == scope {
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
                assert!(answer.fields.contains_key("ringway-cursor"), "{path}");
                continue;
            }
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            refused(&answer, 403, "scope-missing", &challenge);
        }
    }
    assert_eq!((open, guarded), (6, 8));
}

/// An event that is appended while the request is performed must not count as part of a state that was
/// read before.
#[tokio::test]
async fn the_cursor_of_an_answer_is_where_the_log_was_when_the_request_arrived() {
    let router = router(api());
    let cursor = |sequence| format!("0193c5f2a1b4-{sequence:016}");
    for before in 0..3 {
        let fields = [("content-type", "application/json")];
        let answer = ask(&router, &Method::POST, "/v1/publish", &fields, body("/v1/publish")).await;
        assert_eq!(answer.fields["ringway-cursor"], cursor(before));
        assert_eq!(answer.body, format!("{{\"cursor\":\"{}\"}}", cursor(before + 1)));
    }
    let answer = ask(&router, &Method::GET, "/v1/clients/nobody", &[], "").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.fields["ringway-cursor"], cursor(3));
}

#[tokio::test]
async fn two_keys_in_one_request_are_refused() {
    let router = router(api_with_keys());
    let keys = ["read", "read"].map(|scope| format!("Bearer {}", key_of(scope)));
    let fields = [("authorization", &*keys[0]), ("authorization", &*keys[1])];
    let answer = ask(&router, &Method::GET, "/metrics", &fields, "").await;
    refused(&answer, 401, "key-invalid", "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn without_a_key_nobody_learns_which_routes_there_are() {
    let router = router(api_with_keys());
    let key = format!("Bearer {}", key_of("publish"));
    for (method, target, status) in [
        (Method::GET, "/none", 404),
        (Method::PUT, "/metrics", 405),
        (Method::OPTIONS, "/v1/publish", 405),
    ] {
        let answer = ask(&router, &method, target, &[], "").await;
        refused(&answer, 401, "key-missing", "Bearer");
        let answer = ask(&router, &method, target, &[("authorization", &key)], "").await;
        assert_eq!(answer.status, status, "{target}");
    }
}

#[tokio::test]
async fn a_gateway_without_keys_asks_for_none() {
    let router = router(api());
    for route in &ROUTES {
        let fields = [("content-type", "application/json"), ("authorization", "Bearer unknown")];
        let answer =
            ask(&router, &route.method, &target(route.path), &fields, body(route.path)).await;
        assert_eq!(answer.status, 200, "{}: {}", route.path, answer.body);
    }
}

#[test]
fn the_description_names_the_scope_of_every_route() {
    let document: Value = serde_json::from_str(DESCRIPTION).unwrap();
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    for route in &ROUTES {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        let wanted = match route.access {
            Access::Open => serde_json::json!([]),
            Access::Scope(scope) => serde_json::json!([{ "key": [scope.as_str()] }, {}]),
        };
        assert_eq!(operation["security"], wanted, "{}", route.path);
        assert_eq!(operation["responses"]["401"].is_null(), route.access == Access::Open);
        assert!(!operation["responses"]["403"].is_null());
    }
}
