//! Clients with tokens: who they are, and what they may do, on every transport.
//!
//! What makes a token valid is tested with its parser.

use serde_json::{Value, json};

use crate::support::{
    Answer, Client, Engine, Gateway, Issuer, Member, Request, Response, Stream, has,
    on_each_engine, seconds_from_now, target,
};

on_each_engine!(
    a_token_is_read_from_each_place,
    a_client_without_a_valid_token_is_refused_on_every_route,
    a_token_grants_what_it_lists_on_every_transport,
    a_token_subscribes_its_client,
    anonymous_clients_have_names_of_their_own,
    a_gateway_without_keys_reads_no_tokens,
    a_cookie_counts_for_pages_of_the_own_site_alone,
);

/// A request for each route that has clients, with this query.
fn requests(query: &[(&str, &str)]) -> Vec<Request> {
    vec![
        Request::upgrade_of(&target("/echo", query)),
        Request::upgrade_of(&target("/ws", query)),
        Request::of(&target("/sse", query)),
        Request::of(&target("/stream", query)),
        Request::of(&target("/stream", &[query, &[("format", "iframe")]].concat())),
        Request::of(&target("/poll", &[query, &[("wait", "0")]].concat())),
        Request::post(&target("/send", query), r#"{"type":"ping"}"#),
    ]
}

#[track_caller]
fn head(gateway: &Gateway, request: &Request) -> Response {
    let mut client = Client::connect(gateway);
    client.sends(request.bytes());
    client.receives_head()
}

#[track_caller]
fn refused(gateway: &Gateway, request: &Request) -> (Response, Value) {
    let response = Client::connect(gateway).requests(request);
    let problem = serde_json::from_slice(&response.body).unwrap();
    (response, problem)
}

fn a_token_is_read_from_each_place(engine: Engine) {
    let issuer = Issuer::with("cookie = \"session\"");
    let (gateway, token) = (issuer.gateway(engine), issuer.token("ann", json!({})));
    let offered = format!("ringway.v1.json, ringway.token.{token}");
    for request in [
        Request::upgrade_of("/ws").and("Authorization", &format!("Bearer {token}")),
        Request::upgrade_of(&target("/ws", &[("token", &token)])),
        Request::upgrade_of(&target("/ws", &[("token", &token), ("client", "ann")])),
        Request::upgrade_of("/ws").and("Sec-WebSocket-Protocol", &offered),
        Request::upgrade_of("/ws").and("Cookie", &format!("a=b; session={token}")),
    ] {
        let member = Member::upgrades(&gateway, &request);
        assert_eq!(member.welcome["client"], "ann");
    }
    let response =
        head(&gateway, &Request::upgrade_of("/ws").and("Sec-WebSocket-Protocol", &offered));
    assert_eq!(response.field("Sec-WebSocket-Protocol"), Some("ringway.v1.json"));
    assert!(!response.head.contains("token"), "{}", response.head);
}

fn a_client_without_a_valid_token_is_refused_on_every_route(engine: Engine) {
    let issuer = Issuer::with("");
    let gateway = issuer.gateway(engine);
    let expired = issuer.signs(&json!({"sub": "ann", "exp": seconds_from_now(0) - 31}));
    let other = Issuer::with("").token("ann", json!({})).replace('.', ".A");
    for (token, code, challenge) in [
        (None, "token_missing", "Bearer"),
        (Some(&*expired), "token_expired", "Bearer error=\"invalid_token\""),
        (Some(&*other), "token_invalid", "Bearer error=\"invalid_token\""),
        (Some("a.b.c"), "token_invalid", "Bearer error=\"invalid_token\""),
    ] {
        let query: Vec<_> = token.map(|token| ("token", token)).into_iter().collect();
        for request in requests(&query) {
            let (response, problem) = refused(&gateway, &request);
            assert_eq!((response.status, &problem["code"]), (401, &json!(code)), "{request:?}");
            assert_eq!(response.field("WWW-Authenticate"), Some(challenge));
            assert!(token.is_none_or(|token| !problem.to_string().contains(token)));
        }
    }
    assert_eq!(gateway.metric("ringway_refused_requests_total{reason=\"identity\"}"), 28);
    // Pages need no token.
    assert_eq!(Client::connect(&gateway).requests(&Request::of("/ringway.js")).status, 200);
    let (_, problem) = refused(
        &gateway,
        &Request::of(&target(
            "/sse",
            &[("token", &issuer.token("ann", json!({}))), ("client", "bob")],
        )),
    );
    assert_eq!(problem["code"], "token_invalid", "{problem}");
}

fn a_token_grants_what_it_lists_on_every_transport(engine: Engine) {
    let issuer = Issuer::with("");
    let gateway = issuer.gateway(engine);
    let lists = json!({"subscribe": ["news", "chat.*"], "publish": ["chat.*"], "notify": ["bob"]});
    let token = issuer.token("ann", lists);
    let mut ann = Member::comes(&gateway, &[("token", &token), ("topic", "chat.1")]);
    ann.publishes("1", "chat.1", "hello");
    ann.receives_event("hello");
    ann.subscribes("news");
    for (number, command) in [
        json!({"type": "publish", "topic": "news", "data": 1}),
        json!({"type": "subscribe", "topic": "sport"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut command = command;
        command["id"] = json!(format!("no {number}"));
        let error = ann.is_refused(&command, "not_allowed");
        assert!(error.get("key").is_none(), "the token denies it, and no setting: {error}");
    }
    let ack = ann.notifies("2", &["bob", "carl"], 1);
    has(&ack, json!({"outcome": {"bob": "queued", "carl": "denied"}}));

    // By request.
    let send = |command: Value| {
        let target = target("/send", &[("token", &token)]);
        let request = Request::post(&target, &command.to_string());
        Client::connect(&gateway).requests(&request).status
    };
    let publish =
        |id: &str, topic: &str| json!({"type": "publish", "id": id, "topic": topic, "data": 1});
    assert_eq!(send(publish("3", "chat.1")), 200);
    assert_eq!(send(publish("4", "news")), 400);

    // A topic in the query of each transport.
    for (topic, is_granted) in [("news", true), ("sport", false)] {
        let query = [("token", &*token), ("topic", topic)];
        for request in requests(&query).iter().skip(1).take(5) {
            let status = head(&gateway, request).status;
            let is_open = matches!(status, 101 | 200);
            assert_eq!((is_open, status == 403), (is_granted, !is_granted), "{request:?}");
        }
    }
}

fn a_token_subscribes_its_client(engine: Engine) {
    let issuer = Issuer::with("");
    let gateway = issuer.gateway(engine);
    let token = issuer.token("ann", json!({"topics": ["news"]}));
    let query = [("token", &*token)];
    let mut stream = Stream::opens(&gateway, &target("/stream", &query));
    has(&stream.receives_object(), json!({"type": "welcome", "client": "ann"}));
    let mut member = Member::comes(&gateway, &query);
    let publisher = issuer.token("app", json!({"publish": ["*"]}));
    Member::comes(&gateway, &[("token", &publisher)]).publishes("1", "news", "rain");
    has(&stream.receives_object(), json!({"topic": "news", "data": "rain"}));
    member.receives_event("rain");
    let cursor = member.cursor.clone();
    Member::comes(&gateway, &[("token", &publisher)]).publishes("2", "news", "sun");
    let request = Request::of(&target("/poll", &[("token", &token), ("cursor", &cursor)]));
    let answer = Answer::of(Client::connect(&gateway).requests(&request));
    assert_eq!(answer.data(), [&json!("sun")]);
}

fn anonymous_clients_have_names_of_their_own(engine: Engine) {
    let issuer = Issuer::with("anonymous = true");
    let set = "clients.may_subscribe=[\"news\"]";
    let gateway = issuer.launch(engine).set(&[set]).start();
    let mut named = Member::joins(&gateway, "ann");
    assert_eq!(named.welcome["client"], "anon-ann");
    let unnamed = Member::comes(&gateway, &[("topic", "news")]);
    assert!(unnamed.welcome["client"].as_str().unwrap().starts_with("anon-"));
    // Its grants are those of the configuration.
    let refused = json!({"type": "subscribe", "id": "1", "topic": "sport"});
    has(&named.is_refused(&refused, "not_allowed"), json!({"key": "clients.may_subscribe"}));
    // What is for the client with a token does not reach it.
    let mut ann =
        Member::comes(&gateway, &[("token", &issuer.token("ann", json!({"notify": ["*"]})))]);
    assert_eq!(ann.welcome["client"], "ann");
    ann.notifies("1", &["ann"], "private");
    ann.receives_event("private");
    ann.notifies("2", &["anon-ann"], "public");
    named.receives_event("public");
}

fn a_gateway_without_keys_reads_no_tokens(engine: Engine) {
    let gateway = Gateway::start(engine);
    let request = Request::of("/sse?client=ann&token=a.b.c");
    let (response, problem) = refused(&gateway, &request);
    assert_eq!((response.status, &problem["code"]), (400, &json!("query")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("no key"), "{problem}");
    let request = Request::upgrade_of("/ws?client=ann").and("Authorization", "Bearer a.b.c");
    assert_eq!(Member::upgrades(&gateway, &request).welcome["client"], "ann");
}

fn a_cookie_counts_for_pages_of_the_own_site_alone(engine: Engine) {
    let issuer = Issuer::with("cookie = \"session\"");
    let set = "cors.allowed_origins=[\"https://shop.example\"]";
    let gateway = issuer.launch(engine).set(&[set]).start();
    let cookie = format!("session={}", issuer.token("ann", json!({})));
    for (origin, status) in [("http://a", 101), ("https://shop.example", 401), ("https://x", 403)] {
        let request = Request::upgrade_of("/ws").and("Cookie", &cookie).and("Origin", origin);
        assert_eq!(head(&gateway, &request).status, status, "{origin}");
    }
}
