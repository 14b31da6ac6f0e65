//! The OpenAPI description agrees with the router.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    config::{Config, settings::Settings},
    control::api::{
        problem::{Kind, TYPES},
        routes::{DESCRIPTION, ROUTES, router},
        server,
        tests::{
            Answer, api, ask,
            schema::{check, resolve},
        },
    },
    edge::{cors::Cors, response::Part},
    limits::{
        HISTORY_PAGE_EVENTS, HISTORY_PAGE_EVENTS_MAX, IDEMPOTENCY_AGE_MAX,
        IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEYS_MAX,
    },
    refusal::Refusal,
};

use ringway_http::{HttpError, KeepAlive};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const PROBLEM: &str = "application/problem+json";

/// The invalid line in each example of many events.
const WRONG_LINES: [&str; 2] = [r#"{"to":["bob"]}"#, r#"{"topic":"news"}"#];

fn document() -> Value {
    serde_json::from_str(DESCRIPTION).unwrap()
}

/// Path, method and description of each operation.
fn operations(document: &Value) -> impl Iterator<Item = (&String, Method, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| {
            (path, method.to_ascii_uppercase().parse().unwrap(), operation)
        })
    })
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The target of an operation, with the examples of its parameters.
fn target(path: &str, operation: &Value, document: &Value) -> String {
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let parameter = resolve(parameter, document);
        let (name, example) = (parameter["name"].as_str().unwrap(), &parameter["example"]);
        check(example, &parameter["schema"], document);
        let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        match parameter["in"].as_str().unwrap() {
            "path" => path = path.replace(&format!("{{{name}}}"), &text),
            "query" => query.push(format!("{name}={}", text.replace(' ', "%20"))),
            "header" => {}
            other => panic!("a parameter in {other}"),
        }
    }
    assert!(!path.contains('{'), "{path}");
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

/// The bodies to try, each with its media type; one without both if there is no body.
fn bodies(operation: &Value) -> Vec<(&str, String)> {
    let content = &operation["requestBody"]["content"];
    let examples = members(content).flat_map(|(media, content)| {
        members(&content["examples"]).map(move |(_, example)| {
            let value = &example["value"];
            (&**media, value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
    });
    let bodies: Vec<_> = examples.collect();
    if bodies.is_empty() { vec![("", String::new())] } else { bodies }
}

/// Checks text against the description of its media type.
#[track_caller]
fn check_text(text: &str, media: &str, content: &Value, document: &Value) {
    match media {
        JSON | PROBLEM => {
            check(&serde_json::from_str(text).unwrap(), &content["schema"], document);
        }
        LINES => {
            assert!(text.ends_with('\n'));
            for line in text.lines().filter(|line| !WRONG_LINES.contains(line)) {
                check(&serde_json::from_str(line).unwrap(), &content["x-line-schema"], document);
            }
        }
        "text/plain" | "text/html" | "text/css" | "text/javascript" => {
            assert!(text.ends_with('\n'), "{text:?}")
        }
        other => panic!("{other}"),
    }
}

#[track_caller]
fn is_as_described(answer: &Answer, operation: &Value, document: &Value) {
    let said = &operation["responses"][answer.status.as_str()];
    assert!(!said.is_null(), "{} is not described: {}", answer.status, answer.body);
    let content = &resolve(said, document)["content"][answer.media()];
    assert!(!content.is_null(), "{:?} is not described", answer.media());
    check_text(&answer.body, answer.media(), content, document);
}

#[test]
fn exactly_the_existing_routes_are_described() {
    let document = document();
    let described: BTreeSet<_> =
        operations(&document).map(|(path, method, _)| (path.clone(), method.to_string())).collect();
    let routed: BTreeSet<_> =
        ROUTES.iter().map(|route| (route.path.to_owned(), route.method.to_string())).collect();
    assert_eq!(described, routed);
}

#[tokio::test]
async fn every_route_answers_as_described() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let router = router(api());
        let target = target(path, operation, &document);
        for (media, body) in bodies(operation) {
            let fields = [("content-type", media)];
            let answer = ask(&router, &method, &target, &fields, body).await;
            assert_eq!(answer.status, 200, "{method} {target}: {}", answer.body);
            is_as_described(&answer, operation, &document);
        }
        // Each problem that does not come from a body.
        for target in [target.replace("news", "%00"), target.replace("ann", "%ff")] {
            let answer = ask(&router, &method, &target, &[("content-type", JSON)], "").await;
            is_as_described(&answer, operation, &document);
        }
    }
}

#[tokio::test]
async fn a_repeated_request_is_answered_as_described() {
    let document = document();
    let key = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    for path in ["/v1/notify", "/v1/publish"] {
        let operation = &document["paths"][path]["post"];
        let bodies = bodies(operation);
        let bodies: Vec<_> = bodies.iter().filter(|(media, _)| *media == JSON).collect();
        let router = router(api());
        let fields = [("content-type", JSON), ("idempotency-key", key)];
        let [first, again, other] = [&bodies[0].1, &bodies[0].1, &bodies[1].1].map(String::as_str);
        let first = ask(&router, &Method::POST, path, &fields, first.to_owned()).await;
        let again = ask(&router, &Method::POST, path, &fields, again.to_owned()).await;
        let other = ask(&router, &Method::POST, path, &fields, other.to_owned()).await;
        assert_eq!([first.status.as_u16(), again.status.as_u16()], [200; 2]);
        assert_eq!(first.body, again.body);
        assert_eq!(first.fields.get("idempotency-replayed"), None);
        assert_eq!(again.fields["idempotency-replayed"], "true");
        assert_eq!(other.status, 422, "{}", other.body);
        [first, again, other].iter().for_each(|one| is_as_described(one, operation, &document));
    }
}

#[test]
fn examples_fit_their_schemas() {
    let document = document();
    let components = members(&document["components"]["responses"]).map(|(_, response)| response);
    let answers = operations(&document).flat_map(|(_, _, operation)| {
        let answers = members(&operation["responses"]).map(|(_, response)| response);
        answers.chain([&operation["requestBody"]])
    });
    let mut count = 0;
    for said in answers.chain(components) {
        for (media, content) in members(&resolve(said, &document)["content"]) {
            for (_, example) in members(&content["examples"]) {
                let value = &example["value"];
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                check_text(&text, media, content, &document);
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count} examples");
}

#[test]
fn limits_and_types_agree_with_the_code() {
    let document = document();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let schemas = &document["components"]["schemas"];
    let types = Kind::ALL.into_iter().map(|kind| format!("{TYPES}{}", kind.code()));
    let types: Vec<String> = ["about:blank".to_owned()].into_iter().chain(types).collect();
    assert_eq!(schemas["Problem"]["properties"]["type"]["enum"], Value::from(types));
    assert_eq!(schemas["IdempotencyKey"]["maxLength"], IDEMPOTENCY_KEY_BYTES_MAX);
    assert_eq!(schemas["History"]["properties"]["events"]["maxItems"], HISTORY_PAGE_EVENTS_MAX);
    let limit = &document["paths"]["/v1/topics/{topic}/history"]["get"]["parameters"][2]["schema"];
    assert_eq!(limit["default"], HISTORY_PAGE_EVENTS);
    assert_eq!(limit["maximum"], HISTORY_PAGE_EVENTS_MAX);
    let code = &document["paths"]["/v1/clients/{client}"]["delete"]["parameters"][1]["schema"];
    assert_eq!(code["anyOf"][1], json!({"minimum": 3000, "maximum": 4999}));
    let key = &document["components"]["parameters"]["IdempotencyKey"]["description"];
    assert!(key.as_str().unwrap().contains("within 10 minutes"));
    assert!(key.as_str().unwrap().contains("The last 16,384 keys"));
    assert_eq!((IDEMPOTENCY_AGE_MAX.as_secs(), IDEMPOTENCY_KEYS_MAX), (600, 16_384));
}

/// The refusals of the listener before a request reaches a route.
const OF_LISTENER: [Refusal; 14] = [
    Refusal::Http(HttpError::Malformed),
    Refusal::Http(HttpError::Host),
    Refusal::Http(HttpError::Framing),
    Refusal::Timeout,
    Refusal::Http(HttpError::BodyTooLarge),
    Refusal::Http(HttpError::TargetTooLong),
    Refusal::Http(HttpError::Expectation),
    Refusal::ForeignOrigin,
    Refusal::ForeignHost,
    Refusal::Http(HttpError::HeadTooLarge),
    Refusal::Http(HttpError::TooManyFields),
    Refusal::Http(HttpError::Coding),
    Refusal::Full,
    Refusal::Http(HttpError::Version),
];

#[test]
fn each_route_describes_the_refusals_of_the_listener() {
    let document = document();
    let settings = Settings::from_config(&Config::default());
    for refusal in OF_LISTENER {
        let mut out = Vec::new();
        server::refused(refusal, &settings).write(
            &mut out,
            &Cors::Silent,
            Part::Whole,
            KeepAlive::Close,
        );
        let text = String::from_utf8(out).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        let problem: Value = serde_json::from_str(body).unwrap();
        let schema = &document["components"]["schemas"]["Problem"];
        for (name, _) in members(&problem) {
            assert!(!schema["properties"][name].is_null(), "{name} is not described");
        }
        for (path, method, operation) in operations(&document) {
            let said = &operation["responses"][refusal.status().to_string()];
            let content = &resolve(said, &document)["content"][PROBLEM];
            assert!(!content.is_null(), "{method} {path}: {refusal:?} is not described");
            check_text(body, PROBLEM, content, &document);
            let examples = members(&content["examples"]).map(|(_, example)| &example["value"]);
            for example in examples.filter(|example| example["code"] == problem["code"]) {
                for name in ["title", "temporary", "key", "detail"] {
                    assert_eq!(example.get(name), problem.get(name), "{refusal:?}");
                }
            }
        }
    }
}

/// Every example of a problem agrees with the code for its type.
#[test]
fn examples_of_problems_are_real_answers() {
    fn each(value: &Value, found: &mut Vec<Value>) {
        if value["type"].as_str().is_some_and(|kind| kind.starts_with(TYPES)) {
            found.push(value.clone());
        }
        match value {
            Value::Object(members) => members.values().for_each(|value| each(value, found)),
            Value::Array(items) => items.iter().for_each(|value| each(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    each(&document(), &mut found);
    assert!(found.len() >= 8);
    for problem in found {
        let code = problem["type"].as_str().unwrap().strip_prefix(TYPES).unwrap();
        let kind = Kind::of_code(code).unwrap();
        assert_eq!(problem["title"], kind.title());
        assert_eq!(problem["status"], kind.status().as_u16());
    }
}

#[tokio::test]
async fn an_unknown_path_or_method_is_a_problem_too() {
    let router = router(api());
    for (method, target, status, kind, allow) in [
        (Method::GET, "/v1", 404, Kind::NotFound, None),
        (Method::GET, "/v1/clients/", 404, Kind::NotFound, None),
        (Method::GET, "/v1/clients/a/b", 404, Kind::NotFound, None),
        (Method::GET, "/v1/clients/bob", 404, Kind::UnknownClient, None),
        (Method::GET, "/problems/none", 404, Kind::NotFound, None),
        (Method::POST, "/echo", 404, Kind::NotFound, None),
        (Method::GET, "/v1/notify", 405, Kind::MethodNotAllowed, Some("POST")),
        (Method::POST, "/v1/clients/ann", 405, Kind::MethodNotAllowed, Some("GET,HEAD,DELETE")),
        (Method::PUT, "/metrics", 405, Kind::MethodNotAllowed, Some("GET,HEAD")),
    ] {
        let answer = ask(&router, &method, target, &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.media()), (status, PROBLEM), "{target}");
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["type"], format!("{TYPES}{}", kind.code()), "{target}");
        // RFC 9110 §15.5.6
        let allowed = answer.fields.get("allow").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, allow, "{target}");
    }
}
