//! Clients with tokens: who they are, and what they may do, on every transport.
//!
//! What makes a token valid is tested with its parser.

use serde_json::{Value, json};

use crate::support::{
    Answer, Application, Client, Engine, Gateway, Issuer, Member, Request, Response, Stream, has,
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
    an_expired_token_ends_the_session_on_every_transport,
    a_refresh_renews_a_websocket_and_a_stream,
    a_refresh_with_a_bad_token_changes_nothing,
    a_revoked_client_is_closed_and_stays_out_on_every_route,
    an_anonymous_client_is_never_the_client_of_a_token,
    a_revoked_token_is_good_again_after_the_time,
    what_a_token_says_for_the_application_is_shown,
    a_token_that_expires_earlier_ends_the_session_earlier,
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

/// A token that is valid for this long.
fn lasting(issuer: &Issuer, client: &str, seconds: u64, ringway: &Value) -> String {
    let exp = seconds_from_now(seconds);
    issuer.signs(&json!({"sub": client, "exp": exp, "ringway": ringway}))
}

fn an_expired_token_ends_the_session_on_every_transport(engine: Engine) {
    let issuer = Issuer::with("leeway = \"0s\"");
    let gateway = issuer.gateway(engine);
    let token = lasting(&issuer, "ann", 2, &json!({}));
    let query = [("token", &*token)];
    let mut member = Member::comes(&gateway, &query);
    let mut stream = Stream::opens(&gateway, &target("/stream", &query));
    let mut echo = Client::connect(&gateway);
    echo.sends(Request::upgrade_of(&target("/echo", &query)).bytes());
    echo.is_upgraded();
    let mut poll = Client::connect(&gateway);
    let waits = Request::of(&target("/poll", &[query[0], ("wait", "50")]));
    poll.sends(waits.bytes());
    assert_eq!(member.socket.receives_close(3000), "the token has expired");
    assert_eq!(echo.receives_close(3000), "the token has expired");
    has(&stream.receives_object(), json!({"type": "welcome"}));
    assert_eq!(stream.receives_object_or_end(), None);
    assert_eq!(Answer::of(poll.receives_response()).events, [Value::Null; 0]);
    let response = poll.requests(&waits);
    assert_eq!((response.status, &response.json()["code"]), (401, &json!("token_expired")));
    gateway.logs("token_expired");
}

fn a_refresh_renews_a_websocket_and_a_stream(engine: Engine) {
    let issuer = Issuer::with("leeway = \"0s\"");
    let gateway = issuer.gateway(engine);
    let lists = json!({"subscribe": ["news", "chat"]});
    let first = lasting(&issuer, "ann", 2, &lists);
    let query = [("token", &*first), ("topic", "news"), ("topic", "chat")];
    let mut member = Member::comes(&gateway, &query);
    let mut stream = Stream::opens(&gateway, &target("/stream", &query));
    let connection = stream.receives_object()["connection"].clone();
    // The second token grants one of the topics no longer.
    let second = issuer.token("ann", json!({"subscribe": ["news"]}));
    let ack = member.asks(&json!({"type": "refresh", "id": "1", "token": second}));
    has(&ack, json!({"type": "ack", "id": "1"}));
    let refresh = json!({"type": "refresh", "id": "2", "connection": connection});
    let send = Request::post(&target("/send", &[("token", &second)]), &refresh.to_string());
    assert_eq!(Client::connect(&gateway).requests(&send).status, 200);
    std::thread::sleep(std::time::Duration::from_millis(3_500));
    let publisher = issuer.token("app", json!({"publish": ["*"]}));
    let mut publisher = Member::comes(&gateway, &[("token", &publisher)]);
    publisher.publishes("1", "chat", "lost");
    publisher.publishes("2", "news", "rain");
    member.receives_event("rain");
    has(&stream.receives_object(), json!({"topic": "news", "data": "rain"}));
}

fn a_refresh_with_a_bad_token_changes_nothing(engine: Engine) {
    let issuer = Issuer::with("leeway = \"0s\"");
    let gateway = issuer.gateway(engine);
    let token = lasting(&issuer, "ann", 3, &json!({"subscribe": ["news"]}));
    let mut member = Member::comes(&gateway, &[("token", &token)]);
    let expired = issuer.signs(&json!({"sub": "ann", "exp": seconds_from_now(0) - 5}));
    for (token, code) in [
        (json!(issuer.token("bob", json!({}))), "token_refused"),
        (json!(expired), "token_refused"),
        (json!("a.b.c"), "token_refused"),
        (json!(7), "wrong_type"),
        (Value::Null, "missing_field"),
    ] {
        let refresh = json!({"type": "refresh", "id": "1", "token": token});
        let error = member.is_refused(&refresh, code);
        assert!(!error.to_string().contains("a.b.c"), "{error}");
    }
    member.subscribes("news");
    assert_eq!(member.socket.receives_close(3000), "the token has expired");
    // Without keys there is nothing to refresh.
    let gateway = Gateway::start(engine);
    let refresh = json!({"type": "refresh", "id": "1", "token": "a.b.c"});
    Member::joins(&gateway, "ann").is_refused(&refresh, "token_refused");
}

fn a_revoked_client_is_closed_and_stays_out_on_every_route(engine: Engine) {
    let gateway = Gateway::start(engine);
    let mut application = Application::of(&gateway);
    let mut ann = Member::joins(&gateway, "ann");
    let mut bob = Member::joins(&gateway, "bob");
    let mut stream = Stream::opens(&gateway, "/stream?client=ann");
    stream.receives_object();
    let until = seconds_from_now(60) * 1000;
    let revoke = |until: u64| format!("/v1/clients/ann/revoke?until={until}&reason=signed+out");
    let answer = application.posts(&revoke(until), "");
    assert_eq!((answer.status, answer.json()), (200, json!({"closed": 2, "until": until})));
    assert_eq!(ann.socket.receives_close(3003), "signed out");
    assert_eq!(stream.receives_object_or_end(), None);
    for request in requests(&[("client", "ann")]).iter().skip(1) {
        let (response, problem) = refused(&gateway, request);
        assert_eq!((response.status, &problem["code"]), (403, &json!("revoked")), "{request:?}");
    }
    bob.notifies("1", &["bob"], "others go on");
    bob.receives_event("others go on");
    for wrong in ["", "?until=", "?until=-1", "?until=soon", "?until=1&until=2"] {
        application
            .posts(&format!("/v1/clients/ann/revoke{wrong}"), "")
            .is_problem(400, "bad-parameter");
    }
    let answer = application.posts(&revoke(0), "");
    assert_eq!(answer.json(), json!({"closed": 0, "until": 0}));
    assert_eq!(Member::joins(&gateway, "ann").welcome["client"], "ann");
    // Whether a client may come back is its close code.
    let mut ann = Member::joins(&gateway, "ann");
    application.asks("DELETE /v1/clients/ann?reconnect=yes");
    ann.socket.receives_close(1012);
    application
        .asks("DELETE /v1/clients/ann?reconnect=yes&code=4000")
        .is_problem(400, "bad-parameter");
}

fn an_anonymous_client_is_never_the_client_of_a_token(engine: Engine) {
    let issuer = Issuer::with("anonymous = true");
    let gateway = issuer.gateway(engine);
    let mut ann =
        Member::comes(&gateway, &[("token", &issuer.token("ann", json!({"notify": ["*"]})))]);
    let query = [("client", "ann")];
    let mut anonymous = Member::comes(&gateway, &query);
    assert_eq!(anonymous.welcome["client"], "anon-ann");
    let mut streams: Vec<_> = ["/stream", "/sse"]
        .map(|path| Stream::opens(&gateway, &target(path, &query)))
        .into_iter()
        .collect();
    has(&streams[0].receives_object(), json!({"client": "anon-ann"}));
    streams[1].receives_block();
    let welcome = streams[1].receives_block().object();
    has(&welcome, json!({"client": "anon-ann"}));
    ann.notifies("1", &["ann"], "private");
    ann.receives_event("private");
    let request = Request::of(&target("/poll", &[("client", "ann"), ("wait", "0")]));
    let polled = Client::connect(&gateway).requests(&request).json();
    assert_eq!(polled["events"], json!([]));
    // What it sends is in its own name, by request and by command.
    let notify = json!({"type": "notify", "id": "1", "to": ["ann"], "data": "hello"});
    let send = Request::post(&target("/send", &query), &notify.to_string());
    assert_eq!(Client::connect(&gateway).requests(&send).status, 200);
    assert_eq!(ann.receives_event("hello")["from"], "anon-ann");
    anonymous.notifies("2", &["ann"], "again");
    assert_eq!(ann.receives_event("again")["from"], "anon-ann");
    // And it cannot change the subscriptions of the other's connection.
    let subscribe = json!({
        "type": "subscribe", "id": "3", "topic": "news", "connection": ann.connection(),
    });
    let send = Request::post(&target("/send", &query), &subscribe.to_string());
    Client::connect(&gateway).requests(&send);
    anonymous.publishes("4", "news", "rain");
    ann.has_received_all();
    anonymous.has_received_all();
    // A name that a token may have is not in the namespace, whatever a client calls itself.
    for name in ["anon-ann", "anon-", "ann"] {
        let client = Member::joins(&gateway, name).welcome["client"].clone();
        assert!(client.as_str().unwrap().starts_with("anon-"), "{name}: {client}");
    }
}

fn a_revoked_token_is_good_again_after_the_time(engine: Engine) {
    let issuer = Issuer::with("");
    let gateway = issuer.gateway(engine);
    let token = issuer.token("ann", json!({}));
    let query = [("token", &*token)];
    let mut echo = Client::connect(&gateway);
    echo.sends(Request::upgrade_of(&target("/echo", &query)).bytes());
    echo.is_upgraded();
    let until = seconds_from_now(2) * 1000;
    Application::of(&gateway).posts(&format!("/v1/clients/ann/revoke?until={until}"), "");
    for request in requests(&query) {
        let (response, problem) = refused(&gateway, &request);
        assert_eq!((response.status, &problem["code"]), (403, &json!("revoked")), "{request:?}");
    }
    crate::support::eventually("the revocation has ended", || {
        head(&gateway, &Request::of(&target("/poll", &[query[0], ("wait", "0")]))).status == 200
    });
    assert!(seconds_from_now(1) * 1000 > until, "not before the time");
    for request in requests(&query) {
        assert!(matches!(head(&gateway, &request).status, 101 | 200), "{request:?}");
    }
}

fn what_a_token_says_for_the_application_is_shown(engine: Engine) {
    let issuer = Issuer::with("");
    let gateway = issuer.gateway(engine);
    let meta = json!({"plan": "gold", "seats": [1, 2.5], "name": "Zo\u{eb}"});
    let token = issuer.token("ann", json!({"meta": meta}));
    let member = Member::comes(&gateway, &[("token", &token)]);
    let mut stream = Stream::opens(&gateway, &target("/stream", &[("token", &token)]));
    stream.receives_object();
    let mut shown = gateway.api("/v1/clients/ann").json();
    let sessions = shown["sessions"].as_array_mut().unwrap();
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    sessions.sort_by_key(|session| session["transport"].to_string());
    for (session, transport) in sessions.iter().zip(["stream", "websocket"]) {
        has(session, json!({"transport": transport, "meta": meta}));
        assert!(session["expires_at"].as_u64().unwrap() > seconds_from_now(30) * 1000);
    }
    assert_eq!(sessions[1]["connection"], member.connection());
    // A longer one is refused.
    let token = issuer.token("ann", json!({"meta": "x".repeat(1023)}));
    let (response, problem) =
        refused(&gateway, &Request::of(&target("/sse", &[("token", &token)])));
    assert_eq!(response.status, 401, "{problem}");
    let token = issuer.token("ann", json!({"meta": "x".repeat(1022)}));
    assert_eq!(Member::comes(&gateway, &[("token", &token)]).welcome["client"], "ann");
}

fn a_token_that_expires_earlier_ends_the_session_earlier(engine: Engine) {
    let issuer = Issuer::with("leeway = \"0s\"");
    let gateway = issuer.gateway(engine);
    let mut member = Member::comes(&gateway, &[("token", &issuer.token("ann", json!({})))]);
    let sooner = lasting(&issuer, "ann", 2, &json!({}));
    let ack = member.asks(&json!({"type": "refresh", "id": "1", "token": sooner}));
    assert!(ack["expires_at"].as_u64().unwrap() <= seconds_from_now(2) * 1000, "{ack}");
    assert_eq!(member.socket.receives_close(3000), "the token has expired");
}
