//! The application decides who may connect: before a 101 or a 200, on each transport, and whether it
//! is slow, dead or wrong.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    AskedServer, Client, Engine, Gateway, Issuer, Member, Request, Response, Said, Stream,
    eventually, has, on_each_engine, target,
};

on_each_engine!(
    a_client_is_who_the_application_says,
    the_application_refuses_with_a_status_and_a_reason,
    the_application_decides_about_a_client_with_a_token,
    a_slow_application_delays_only_the_clients_that_it_is_asked_about,
    a_dead_application_refuses_or_is_passed_over,
    an_answer_that_is_none_is_a_failure,
    an_application_may_be_behind_a_unix_socket,
    an_answer_counts_for_its_time,
);

#[track_caller]
fn refused(gateway: &Gateway, request: &Request) -> (Response, Value) {
    let response = Client::connect(gateway).requests(request);
    let problem = serde_json::from_slice(&response.body).unwrap();
    (response, problem)
}

fn ann() -> Said {
    Said::Json(json!({
        "client": "ann",
        "grants": {"subscribe": ["news"], "publish": ["chat.*"]},
        "topics": ["news"],
        "meta": {"plan": "a"},
    }))
}

fn a_client_is_who_the_application_says(engine: Engine) {
    let server = AskedServer::start(|_| ann());
    let gateway = server.gateway(engine, &["connect"], "headers = [\"cookie\"]");
    let query = [("client", "bob"), ("topic", "news")];
    let request = Request::upgrade_of(&target("/ws", &query)).and("Cookie", "a=b");
    let mut member = Member::upgrades(&gateway, &request.and("Cookie", "c=d").and("X-A", "b"));
    assert_eq!(member.welcome["client"], "ann");
    let question = server.is_asked();
    has(
        &question,
        json!({
            "event": "connect", "client": "bob", "transport": "websocket", "address": "127.0.0.1",
            "topics": ["news"], "headers": {"cookie": "a=b, c=d"},
            "connection": member.connection(),
        }),
    );
    // Its grants, and its topics.
    member.is_refused(r#"{"type":"publish","id":"1","topic":"news","data":1}"#, "not_allowed");
    let publish = r#"{"topic":"news","data":7}"#;
    let mut api = Client::connect_to(gateway.api);
    let post = Request::post("/v1/publish", publish).with("Host", "localhost");
    assert_eq!(api.requests(&post).status, 200);
    member.receives_event(7);

    let mut stream = Stream::opens(&gateway, "/sse");
    stream.receives_block();
    assert_eq!(stream.receives_block().object()["client"], "ann");
    has(&server.is_asked(), json!({"event": "connect", "transport": "sse"}));
    let send = r#"{"type":"publish","id":"2","topic":"chat.a","data":1}"#;
    let response = Client::connect(&gateway).requests(&Request::post("/send", send));
    assert_eq!(response.status, 200, "{response:?}");
    has(&server.is_asked(), json!({"event": "connect", "transport": "send"}));
    let response = Client::connect(&gateway).requests(&Request::of("/poll?wait=0"));
    assert_eq!(response.status, 200, "{response:?}");
    has(&server.is_asked(), json!({"event": "connect", "transport": "poll"}));
    let described = gateway.api("/v1/clients/ann");
    let described: Value = serde_json::from_slice(&described.body).unwrap();
    assert_eq!(described["sessions"][0]["meta"], json!({"plan": "a"}), "{described}");
    assert_eq!(
        gateway.metric("ringway_hook_answers_total{event=\"connect\",answer=\"allowed\"}"),
        4
    );
}

fn the_application_refuses_with_a_status_and_a_reason(engine: Engine) {
    let refuse = json!({"refuse": {"status": 429, "reason": "too early"}});
    let server = AskedServer::start(move |_| Said::Json(refuse.clone()));
    let gateway = server.gateway(engine, &["connect"], "");
    for request in [
        Request::upgrade_of("/ws"),
        Request::of("/sse"),
        Request::of("/poll"),
        Request::post("/send", r#"{"type":"ping"}"#),
    ] {
        let (response, problem) = refused(&gateway, &request);
        assert_eq!(response.status, 429);
        has(&problem, json!({"code": "refused", "detail": "too early", "temporary": true}));
    }
    server.answers(|_| Said::Raw(403, "", "<html>".to_owned()));
    let (response, problem) = refused(&gateway, &Request::upgrade_of("/ws"));
    assert_eq!(response.status, 403);
    has(&problem, json!({"code": "refused", "temporary": false}));
}

fn the_application_decides_about_a_client_with_a_token(engine: Engine) {
    let issuer = Issuer::with("");
    let server = AskedServer::start(|_| Said::Json(json!({"meta": [1]})));
    let gateway = server.launch(engine, &["connect"], "", issuer.text()).start();
    let token = issuer.token("bob", json!({"publish": ["a"]}));
    let request = Request::upgrade_of(&target("/ws", &[("token", &token)]));
    let mut member = Member::upgrades(&gateway, &request);
    assert_eq!(member.welcome["client"], "bob");
    let question = server.is_asked();
    assert_eq!(question["client"], "bob");
    assert!(!question.to_string().contains(&token), "{question}");
    member.publishes("1", "a", 1);
    // Without a valid token nobody is asked.
    assert_eq!(Client::connect(&gateway).requests(&Request::upgrade_of("/ws")).status, 401);
    assert!(server.is_asked_nothing());
    // A token in the first message.
    server.answers(|_| Said::Json(json!({"refuse": {"reason": "banned"}})));
    let mut socket = Client::connect(&gateway);
    socket.sends(Request::upgrade_of("/ws?auth=message").bytes());
    socket.is_upgraded();
    let auth = json!({"type": "auth", "token": token}).to_string();
    let text = crate::support::frames::FIN | crate::support::frames::TEXT;
    socket.sends(crate::support::frames::frame(text, auth));
    assert_eq!(socket.receives_close(3003), "refused: banned");
}

fn a_slow_application_delays_only_the_clients_that_it_is_asked_about(engine: Engine) {
    let server = AskedServer::start(|_| Said::Json(json!({})));
    let gateway = server.gateway(engine, &["connect"], "timeout = \"5s\"");
    let mut member = Member::joins(&gateway, "ann");
    let time = Duration::from_millis(300);
    server.answers(move |_| Said::Late(time, json!({})));
    let begun = Instant::now();
    let mut waiting: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = Client::connect(&gateway);
            client.sends(Request::upgrade_of("/ws").bytes());
            client
        })
        .collect();
    // It leaves while it waits.
    waiting.pop().unwrap().resets();
    for _ in 0..50 {
        member.has_received_all();
    }
    assert!(begun.elapsed() < time, "others were served meanwhile");
    for client in &mut waiting {
        client.is_upgraded();
    }
    assert!(begun.elapsed() >= time);
    gateway.holds(40);
}

fn a_dead_application_refuses_or_is_passed_over(engine: Engine) {
    let server = AskedServer::start(|_| Said::Never);
    let gateway = server.gateway(engine, &["connect"], "timeout = \"100ms\"\nin_flight_max = 2");
    let begun = Instant::now();
    let mut waiting: Vec<Client> = (0..8).map(|_| Client::connect(&gateway)).collect();
    waiting.iter_mut().for_each(|client| client.sends(Request::of("/poll").bytes()));
    for client in &mut waiting {
        let response = client.receives_response();
        let problem: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(response.status, 504);
        has(&problem, json!({"code": "application_unavailable", "temporary": true}));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "all of them wait for one time-out");
    let timeouts = "ringway_hook_answers_total{event=\"connect\",answer=\"timeout\"}";
    eventually("all are counted", || gateway.metric(timeouts) == 8);
    gateway.logs("the application does not answer as it should");
    drop(gateway);

    let gateway =
        server.gateway(engine, &["connect"], "timeout = \"100ms\"\non_failure = \"allow\"");
    assert_eq!(Member::joins(&gateway, "ann").welcome["client"], "ann");
}

fn an_answer_that_is_none_is_a_failure(engine: Engine) {
    let server = AskedServer::start(|_| Said::Never);
    let gateway = server.gateway(engine, &["connect"], "");
    let answers = "ringway_hook_answers_total{event=\"connect\",answer=";
    for (word, said) in [
        ("status", Said::Raw(500, "", String::new())),
        ("status", Said::Raw(302, "Location: /other\r\n", String::new())),
        ("invalid", Said::Raw(200, "", "hello".to_owned())),
        ("invalid", Said::Json(json!({"clients": "ann"}))),
        ("too_large", Said::Raw(200, "", " ".repeat(2 << 20))),
        ("broken", Said::Raw(200, "Content-Length: 9\r\n", "{}".to_owned())),
    ] {
        let metric = format!("{answers}\"{word}\"}}");
        let before = gateway.metric(&metric);
        server.answers(move |_| said.clone());
        let (response, problem) = refused(&gateway, &Request::upgrade_of("/ws"));
        assert_eq!((response.status, &problem["code"]), (504, &"application_unavailable".into()));
        assert_eq!(gateway.metric(&metric), before + 1, "{word}");
    }
}

fn an_application_may_be_behind_a_unix_socket(engine: Engine) {
    let server = AskedServer::on_socket(|_| ann());
    let gateway = server.gateway(engine, &["connect"], "");
    for _ in 0..3 {
        assert_eq!(Member::joins(&gateway, "bob").welcome["client"], "ann");
        assert_eq!(server.is_asked()["client"], "bob");
    }
}

fn an_answer_counts_for_its_time(engine: Engine) {
    let server = AskedServer::start(|_| Said::Json(json!({"client": "ann", "cache": 60})));
    let gateway = server.gateway(engine, &["connect"], "");
    for _ in 0..3 {
        assert_eq!(Member::joins(&gateway, "bob").welcome["client"], "ann");
    }
    server.is_asked();
    assert!(server.is_asked_nothing());
    Member::joins(&gateway, "eve");
    assert_eq!(server.is_asked()["client"], "eve");
    let remembered = "ringway_hook_answers_total{event=\"connect\",answer=\"remembered\"}";
    assert_eq!(gateway.metric(remembered), 2);
}
