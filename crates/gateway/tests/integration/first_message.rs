//! A token in the first message of a WebSocket: until it has come, the client gets nothing and may do
//! nothing.

use serde_json::{Value, json};

use crate::support::{
    Application, Client, Engine, Gateway, Issuer, Member, Request, frames, has, on_each_engine,
    target,
};

on_each_engine!(
    a_token_in_the_first_message_begins_the_session,
    what_is_sent_before_the_token_is_not_delivered,
    another_first_message_ends_the_connection,
    a_client_that_shows_no_token_is_closed_in_time,
    a_client_that_may_not_come_is_told_so,
    the_parameter_is_for_websockets_where_it_is_allowed,
);

fn auth(token: &str) -> String {
    json!({"type": "auth", "token": token}).to_string()
}

fn says(socket: &mut Client, text: &str) {
    socket.sends(frames::frame(frames::FIN | frames::TEXT, text));
}

/// A WebSocket that has not shown its token.
#[track_caller]
fn opens(gateway: &Gateway, query: &[(&str, &str)]) -> Client {
    let mut socket = Client::connect(gateway);
    let query = [&[("auth", "message")], query].concat();
    socket.sends(Request::upgrade_of(&target("/ws", &query)).bytes());
    socket.is_upgraded();
    socket
}

#[track_caller]
fn receives(socket: &mut Client) -> Value {
    serde_json::from_slice(&socket.receives_frame().payload).unwrap()
}

fn a_token_in_the_first_message_begins_the_session(engine: Engine) {
    let issuer = Issuer::with("");
    let gateway = issuer.gateway(engine);
    let token = issuer.token("ann", json!({"subscribe": ["news"], "publish": ["news"]}));
    let mut socket = opens(&gateway, &[("topic", "news")]);
    // Commands may follow at once, even in the same segment.
    let publish = r#"{"type":"publish","id":"1","topic":"news","data":7}"#;
    let mut bytes = frames::frame(frames::FIN | frames::TEXT, auth(&token));
    bytes.extend(frames::frame(frames::FIN | frames::TEXT, publish));
    socket.sends(bytes);
    has(&receives(&mut socket), json!({"type": "welcome", "client": "ann"}));
    has(&receives(&mut socket), json!({"type": "ack", "id": "1"}));
    has(&receives(&mut socket), json!({"type": "event", "topic": "news", "data": 7}));
    gateway.serves(1, "websocket");
    // There is one first message.
    says(&mut socket, &auth(&token));
    has(&receives(&mut socket), json!({"type": "error", "code": "not_on_this_transport"}));
    // A token in the request counts, as without the parameter.
    let query = [("auth", "message"), ("token", &token)];
    assert_eq!(Member::comes(&gateway, &query).welcome["client"], "ann");
}

fn what_is_sent_before_the_token_is_not_delivered(engine: Engine) {
    let issuer = Issuer::with("");
    let gateway = issuer.gateway(engine);
    let mut application = Application::of(&gateway);
    let mut socket = opens(&gateway, &[("topic", "news"), ("client", "ann")]);
    for topic in ["news", "news"] {
        application.posts("/v1/publish", json!({"topic": topic, "data": "early"}).to_string());
    }
    application.posts("/v1/notify", json!({"to": ["ann"], "data": "kept"}).to_string());
    socket.receives_nothing_for(std::time::Duration::from_millis(200));
    says(&mut socket, &auth(&issuer.token("ann", json!({"subscribe": ["*"]}))));
    has(&receives(&mut socket), json!({"type": "welcome"}));
    // What was kept for the client, and nothing of a topic that it had not subscribed to.
    has(&receives(&mut socket), json!({"type": "event", "data": "kept"}));
    application.posts("/v1/publish", json!({"topic": "news", "data": "late"}).to_string());
    has(&receives(&mut socket), json!({"type": "event", "data": "late"}));
}

fn another_first_message_ends_the_connection(engine: Engine) {
    // It never becomes anonymous.
    let issuer = Issuer::with("anonymous = true\nleeway = \"0s\"");
    let gateway = issuer.gateway(engine);
    let expired = issuer.signs(&json!({"sub": "ann", "exp": 1_000_000_000}));
    let good = issuer.token("ann", json!({}));
    for (message, reason) in [
        ("no JSON", "token_missing"),
        (r#"{"type":"subscribe","id":"1","topic":"news"}"#, "token_missing"),
        (r#"{"type":"ping"}"#, "token_missing"),
        (r#"{"type":"auth"}"#, "token_missing"),
        (r#"{"type":"auth","token":7}"#, "token_missing"),
        (&*auth("a.b.c"), "token_invalid"),
        (&*auth(&expired), "token_expired"),
    ] {
        let mut socket = opens(&gateway, &[]);
        says(&mut socket, message);
        let told = socket.receives_close(3000);
        assert!(told.starts_with(reason), "{message}: {told}");
    }
    let mut socket = opens(&gateway, &[("client", "bob")]);
    says(&mut socket, &auth(&good));
    assert!(socket.receives_close(3000).starts_with("token_invalid"), "for another client");
    let mut socket = opens(&gateway, &[]);
    socket.sends(frames::frame(frames::FIN | frames::BINARY, auth(&good)));
    assert!(socket.receives_close(3000).starts_with("token_missing"), "not a text");
    // A token that is too long is not read to its end.
    let mut socket = opens(&gateway, &[]);
    says(&mut socket, &auth(&"a".repeat(20_000)));
    socket.receives_close(1009);
    gateway.serves(0, "websocket");
}

fn a_client_that_shows_no_token_is_closed_in_time(engine: Engine) {
    let issuer = Issuer::with("first_message_timeout = \"300ms\"");
    let gateway = issuer.gateway(engine);
    let mut socket = opens(&gateway, &[]);
    // A Ping is answered, and gives no more time; nor does a message without an end.
    socket.sends(frames::frame(frames::FIN | frames::PING, "x"));
    socket.receives_pong("x");
    socket.sends(&frames::frame(frames::FIN | frames::TEXT, auth("a.b.c"))[..5]);
    assert!(socket.receives_close(3000).starts_with("token_missing"));
    // The end of the stream is the end of it.
    let mut socket = opens(&gateway, &[]);
    socket.finishes();
    socket.receives_end();
    gateway.holds(0);
}

fn a_client_that_may_not_come_is_told_so(engine: Engine) {
    let issuer = Issuer::with("");
    let gateway = issuer.gateway(engine);
    let token = issuer.token("ann", json!({"subscribe": ["news"]}));
    let mut socket = opens(&gateway, &[("topic", "sport")]);
    says(&mut socket, &auth(&token));
    assert!(socket.receives_close(3003).starts_with("not_allowed"));
    let until = crate::support::seconds_from_now(60) * 1000;
    Application::of(&gateway).posts(&format!("/v1/clients/ann/revoke?until={until}"), "");
    let mut socket = opens(&gateway, &[]);
    says(&mut socket, &auth(&token));
    assert!(socket.receives_close(3003).starts_with("revoked"));
}

fn the_parameter_is_for_websockets_where_it_is_allowed(engine: Engine) {
    let issuer = Issuer::with("");
    let gateway = issuer.gateway(engine);
    let status = |gateway: &Gateway, request: &Request| {
        let mut client = Client::connect(gateway);
        client.sends(request.bytes());
        client.receives_head().status
    };
    for path in ["/sse", "/stream", "/poll"] {
        assert_eq!(status(&gateway, &Request::of(&format!("{path}?auth=message"))), 400, "{path}");
    }
    assert_eq!(status(&gateway, &Request::upgrade_of("/ws?auth=later")), 400);
    assert_eq!(status(&gateway, &Request::upgrade_of("/ws")), 401);
    let gateway = Issuer::with("first_message = false").gateway(engine);
    assert_eq!(status(&gateway, &Request::upgrade_of("/ws?auth=message")), 400);
}
