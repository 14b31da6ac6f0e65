//! The message to a client that reaches a limit: it has the limit's value and configuration key, in
//! the text for people and in fields for programs, on every transport.
//!
//! The tests of refusals check that none is missing here.

use serde_json::{Value, json};

use crate::support::{
    Application, Client, Engine, Gateway, Member, Request,
    application::{is_problem, post},
    frames::{FIN, TEXT, frame},
    on_each_engine,
};

on_each_engine!(
    refused_requests_name_their_limit,
    refused_connections_name_their_limit,
    refused_commands_name_their_limit,
    closed_sockets_name_their_limit,
    the_private_api_names_its_limits,
);

/// The text, key and value of a limit, from an object that has all of them.
#[track_caller]
fn states(object: &Value, text_in: &str, key: &str, limit: &Value) {
    assert_eq!((&object["key"], &object["limit"]), (&json!(key), limit), "{object}");
    let text = object[text_in].as_str().unwrap();
    assert!(text.contains(&format!("at most {limit} ")), "{object}");
    assert!(text.contains(&format!("({key})")), "{object}");
}

fn refused_requests_name_their_limit(engine: Engine) {
    let settings = [
        "clients.subscriptions_max=2",
        "websocket.message_bytes_max=200",
        "limits.target_bytes_max=300",
        "limits.header_bytes_max=2000",
        "limits.header_fields_max=16",
        "limits.handshake_timeout=250ms",
        "cors.allowed_origins=[\"https://shop.example\"]",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let many = "x".repeat(3000);
    let fields = (0..20).fold(Request::of("/poll"), |request, _| request.and("A", "b"));
    for (request, key, limit) in [
        (Request::of("/sse?topic=a&topic=b&topic=c"), "clients.subscriptions_max", json!(2)),
        (Request::of("/poll?topic=a&topic=b&topic=c"), "clients.subscriptions_max", json!(2)),
        (Request::upgrade_of("/ws?topic=a&topic=b&topic=c"), "clients.subscriptions_max", json!(2)),
        (Request::post("/send", &many), "websocket.message_bytes_max", json!(200)),
        (Request::of(&format!("/?{}", &many[..400])), "limits.target_bytes_max", json!(300)),
        (Request::of("/").and("B", &many), "limits.header_bytes_max", json!(2000)),
        (fields, "limits.header_fields_max", json!(16)),
    ] {
        let request = request.and("Origin", "https://shop.example");
        let response = Client::connect(&gateway).requests(&request);
        states(&response.json(), "detail", key, &limit);
        let reader = response.field("Access-Control-Allow-Origin");
        assert!(reader.is_some(), "a page of another origin can read it: {}", response.head);
    }
    let mut slow = Client::connect(&gateway);
    slow.sends("GET / HTTP/1.1\r\n");
    states(&slow.receives_response().json(), "detail", "limits.handshake_timeout", &json!(0.25));
}

fn refused_connections_name_their_limit(engine: Engine) {
    let exempt = "limits.connections_per_address_exempt=[]";
    for key in ["limits.connections_max", "limits.connections_per_address_max"] {
        let gateway = Gateway::start_with(engine, &[exempt, &format!("{key}=2")]);
        let _clients = [Client::upgrade(&gateway), Client::upgrade(&gateway)];
        let refused = Client::connect(&gateway).receives_response();
        states(&refused.json(), "detail", key, &json!(2));
    }
}

fn refused_commands_name_their_limit(engine: Engine) {
    let settings = [
        "clients.recipients_max=2",
        "clients.subscriptions_max=1",
        "clients.data_depth_max=3",
        "clients.may_publish=[\"open\"]",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let mut ann = Member::comes(&gateway, &[("client", "ann"), ("topic", "a")]);
    let too_many = json!({"type": "notify", "id": "1", "to": ["a", "b", "c"], "data": 1});
    let too_deep = json!({"type": "publish", "id": "1", "topic": "open", "data": [[[[1]]]]});
    let subscription = json!({"type": "subscribe", "id": "1", "topic": "b"});
    for (command, key, limit) in [
        (&too_many, "clients.recipients_max", 2),
        (&too_deep, "clients.data_depth_max", 3),
        (&subscription, "clients.subscriptions_max", 1),
    ] {
        ann.says(command);
        states(&ann.receives(), "message", key, &json!(limit));
    }
    for (command, key, limit) in
        [(&too_many, "clients.recipients_max", 2), (&too_deep, "clients.data_depth_max", 3)]
    {
        let request = Request::post("/send?client=ann", &command.to_string());
        let response = Client::connect(&gateway).requests(&request);
        assert_eq!(response.status, 400);
        states(&response.json(), "message", key, &json!(limit));
    }
    // The message has no value for a limit that is a list.
    ann.says(json!({"type": "publish", "id": "1", "topic": "closed", "data": 1}));
    let refused = ann.receives();
    assert_eq!((&refused["key"], refused.get("limit")), (&json!("clients.may_publish"), None));
}

fn closed_sockets_name_their_limit(engine: Engine) {
    let settings = [
        "websocket.message_bytes_max=1000",
        "websocket.echo_message_bytes_max=2000",
        "websocket.message_timeout=1s",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let framed = Gateway::start_with(engine, &["websocket.frame_bytes_max=500"]);
    let unfinished = || frame(TEXT, "x");
    for (gateway, path, bytes, code, says) in [
        (
            &gateway,
            "/ws",
            frame(FIN | TEXT, "x".repeat(1001)),
            1009,
            "at most 1000 bytes (websocket.message_bytes_max)",
        ),
        (
            &gateway,
            "/echo",
            frame(FIN | TEXT, "x".repeat(2001)),
            1009,
            "at most 2000 bytes (websocket.echo_message_bytes_max)",
        ),
        (
            &framed,
            "/echo",
            frame(TEXT, "x".repeat(501)),
            1009,
            "at most 500 bytes (websocket.frame_bytes_max)",
        ),
        (&gateway, "/echo", unfinished(), 1008, "at most 1 s (websocket.message_timeout)"),
    ] {
        let mut client = Client::connect(gateway);
        client.sends(Request::upgrade_of(path).bytes());
        client.is_upgraded();
        if path == "/ws" {
            client.receives_frame(); // the welcome
        }
        client.sends(bytes);
        let reason = client.receives_close(code);
        assert!(reason.ends_with(says), "{reason}");
    }
}

fn the_private_api_names_its_limits(engine: Engine) {
    let settings = [
        "clients.recipients_max=2",
        "clients.data_depth_max=3",
        "websocket.message_bytes_max=200",
        "limits.target_bytes_max=300",
        "limits.header_bytes_max=2000",
    ];
    let gateway = Gateway::start_with(engine, &settings);
    let mut application = Application::of(&gateway);
    let long = json!({"topic": "a", "data": "x".repeat(300)}).to_string();
    for (path, body, kind, key, limit) in [
        (
            "/v1/notify",
            r#"{"to":["a","b","c"],"data":1}"#,
            "too-many-recipients",
            "clients.recipients_max",
            2,
        ),
        (
            "/v1/publish",
            r#"{"topic":"a","data":[[[[1]]]]}"#,
            "wrong-type",
            "clients.data_depth_max",
            3,
        ),
        ("/v1/publish", &long, "body-too-large", "websocket.message_bytes_max", 200),
    ] {
        let problem = application.posts(path, body).json();
        assert_eq!(problem["type"], format!("/problems/{kind}"));
        states(&problem, "detail", key, &json!(limit));
    }
    let lines = Application::of(&gateway).posts_lines("/v1/publish", format!("{long}\n"));
    is_problem(&lines[0]["error"], 413, "line-too-long");
    states(&lines[0]["error"], "detail", "websocket.message_bytes_max", &json!(200));
    let head = post("/v1/publish", &[("B", &"x".repeat(3000))]);
    let refused = Client::connect_to(gateway.api).requests(&head);
    states(&refused.json(), "detail", "limits.header_bytes_max", &json!(2000));
}
