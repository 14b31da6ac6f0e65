//! No secret is printed: not in the log at its most talkative, not in a metric or an answer, not when
//! the gateway refuses to start, and not by `check` or `doctor`.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    Certificates, Client, Engine, Gateway, Issuer, Launch, Member, Request, Secure, on_each_engine,
    ringway, seconds_from_now, target,
};

on_each_engine!(
    a_gateway_prints_no_token_and_no_secret,
    the_private_api_prints_no_key,
    a_gateway_with_tls_prints_no_key,
);

const QUERY: &str = "hunter2-of-a-query.in-three.parts";
const COOKIE: &str = "hunter2-of-a-cookie";
const FIELD: &str = "hunter2-of-a-field";
const COMMAND: &str = "hunter2-of-a-command";

#[track_caller]
fn hides(printed: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!printed.contains(secret), "{secret} is in {printed}");
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn text(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn a_gateway_prints_no_token_and_no_secret(engine: Engine) {
    let issuer = Issuer::with("cookie = \"session\"\nleeway = \"0s\"");
    let gateway = issuer.launch(engine).set(&["log.level=trace"]).start();
    let expired = issuer.signs(&json!({"sub": "ann", "exp": seconds_from_now(0) - 5}));
    let good = issuer.token("ann", json!({"publish": ["a"]}));
    let short = issuer.signs(&json!({"sub": "ann", "exp": seconds_from_now(2)}));
    let signatures = [&expired, &good, &short].map(|token| token.rsplit('.').next().unwrap());
    let secrets = [&[QUERY, COOKIE, FIELD, COMMAND, "the secret of the issuer"][..], &signatures];
    let mut printed = String::new();

    // Refused in each way, on each kind of route.
    for path in ["/ws", "/echo", "/sse", "/stream", "/poll", "/nothing"] {
        let of = |target: &str| match path {
            "/ws" | "/echo" => Request::upgrade_of(target),
            _ => Request::of(target),
        };
        let mut requests = vec![
            of(path).and("Authorization", &bearer(FIELD)),
            of(path).and("Cookie", &format!("session={COOKIE}")),
            of(path).and("Authorization", &bearer(&expired)),
            of(path).and("Authorization", &bearer(FIELD)).and("Authorization", &bearer(QUERY)),
            of(path).and("Authorization", &bearer(&good)).and("Host", "twice"),
        ];
        for query in [
            [("token", QUERY), ("client", "ann")],
            [("token", QUERY), ("token", &good)],
            [("tokn", QUERY), ("client", "ann")],
            [("token", &good), ("client", "bob")],
        ] {
            // An echo has no client, so the name is not compared.
            if (path, query[1].1) != ("/echo", "bob") {
                requests.push(of(&target(path, &query)));
            }
        }
        if matches!(path, "/ws" | "/echo") {
            let offered = format!("ringway.token.{FIELD}");
            requests.push(of(path).and("Sec-WebSocket-Protocol", &offered));
        }
        for request in requests {
            let response = Client::connect(&gateway).requests(&request);
            assert!((400..500).contains(&response.status), "{request:?}");
            printed += &response.head;
            printed += &String::from_utf8_lossy(&response.body);
        }
    }

    // On open connections, and at their end.
    let mut member = Member::comes(&gateway, &[("token", &good)]);
    for command in [
        json!({"type": "refresh", "id": "1", "token": COMMAND}),
        json!({"type": "refresh", "id": "1", "token": expired}),
        json!({"type": "refresh", "id": "1", "token": [COMMAND]}),
        json!({"type": "refresh", "id": "1", "tokn": COMMAND}),
        json!({"type": "ping", "token": COMMAND}),
    ] {
        member.says(&command);
        printed += &member.receives().to_string();
    }
    let send = Request::post(&target("/send", &[("token", &good)]), COMMAND);
    printed += &String::from_utf8_lossy(&Client::connect(&gateway).requests(&send).body);
    let mut expiring = Member::comes(&gateway, &[("token", &short)]);
    printed += &expiring.socket.receives_close(3000);
    member.socket.resets();
    gateway.logs("token_expired");
    gateway.logs("connection_lost");
    printed += &String::from_utf8_lossy(&gateway.api("/metrics").body);
    gateway.logs("an application's connection has ended");
    printed += &gateway.log().join("\n");
    assert!(printed.contains("token_invalid"));
    hides(&printed, &secrets.concat());
}

fn the_private_api_prints_no_key(engine: Engine) {
    const KEY: &str = "hunter2-0123456789abcdef0123456789abcdef";
    const UNKNOWN: &str = "hunter2-unknown-0123456789abcdef01234567";
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("key"), KEY).unwrap();
    let table = format!(
        "[[server.api_key]]\nname = \"all\"\nscopes = [\"publish\", \"read\", \"admin\"]\n\
         secret_file = {:?}\n",
        path("key")
    );
    fs::write(path("ringway.toml"), table).unwrap();
    let config = path("ringway.toml").display().to_string();
    let launch = Launch::on(engine).flags(&["--config", &config]);
    let gateway = launch.set(&["log.level=trace"]).start();
    let mut printed = String::new();
    let routes = [
        ("POST", "/v1/notify"),
        ("POST", "/v1/publish"),
        ("GET", "/v1/topics/news/history"),
        ("GET", "/v1/clients/ann"),
        ("DELETE", "/v1/clients/ann"),
        ("POST", "/v1/clients/ann/revoke"),
        ("GET", "/v1/openapi.json"),
        ("GET", "/problems/key-invalid"),
        ("GET", "/"),
        ("GET", "/dashboard.js"),
        ("GET", "/metrics"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("PUT", "/nothing"),
    ];
    for (method, path) in routes {
        let of = |target: &str| {
            Request::post(target, COMMAND)
                .with("Host", "localhost")
                .line(&format!("{method} {target} HTTP/1.1"))
        };
        let requests = [
            of(path).and("Authorization", &bearer(KEY)),
            of(path).and("Authorization", &bearer(KEY)).and("Cookie", COOKIE),
            of(&target(path, &[("token", UNKNOWN)])).and("Authorization", &bearer(KEY)),
            of(path).and("Authorization", &bearer(UNKNOWN)),
            of(path).and("Authorization", &bearer(KEY)).and("Authorization", &bearer(UNKNOWN)),
            of(path).and("Authorization", UNKNOWN).and("X-Api-Key", UNKNOWN),
            of(path).and("Authorization", &bearer(KEY)).and("Origin", "http://evil.example"),
            of(path).and("Authorization", &bearer(KEY)).with("Host", "evil.example"),
            of(path).and("Authorization", &bearer(KEY)).and("Host", "twice"),
        ];
        for request in requests {
            let response = Client::connect_to(gateway.api).requests(&request);
            printed += &response.head;
            printed += &String::from_utf8_lossy(&response.body);
        }
    }
    // A file that cannot be used is not quoted.
    fs::write(path("key"), "hunter2 hunter2").unwrap();
    gateway.signal("HUP");
    gateway.logs("the keys of the private API stay");
    for arguments in [&["check", &config][..], &["doctor", "--config", &config]] {
        let output = ringway(arguments).output().unwrap();
        assert!(text(&output).contains("the key must be 32 to 512"), "{}", text(&output));
        printed += &text(&output);
    }
    printed += &metrics(&gateway, KEY);
    printed += &gateway.log().join("\n");
    assert!(printed.contains("key_invalid"));
    hides(&printed, &["hunter2"]);
}

fn metrics(gateway: &Gateway, key: &str) -> String {
    let request = Request::of_api("/metrics").and("Authorization", &bearer(key));
    let response = Client::connect_to(gateway.api).requests(&request);
    assert_eq!(response.status, 200);
    String::from_utf8(response.body).unwrap()
}

/// The lines of a file with a secret that are long enough to be recognised.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let words = text.split_whitespace().filter(|word| word.len() >= 16 && !word.contains("-----"));
    words.map(str::to_owned).collect()
}

fn a_gateway_with_tls_prints_no_key(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let tickets = certificates.path("tickets").display().to_string();
    let settings = ["log.level=trace", &format!("tls.ticket_key_file={tickets}")];
    let gateway = certificates.start(engine, &["one"], &settings);
    let mut secrets = lines(&certificates.path("one.key"));
    secrets.extend(lines(Path::new(&tickets)));
    assert!(secrets.len() > 2, "{secrets:?}");
    // Handshakes that succeed, with and without a ticket, and one that fails.
    let client = certificates.client("localhost");
    for _ in 0..2 {
        let mut secure = Secure::connect(gateway.address, &client).unwrap();
        secure.sends(&Request::of("/").and("Cookie", COOKIE).bytes());
    }
    Client::connect(&gateway).sends_what_is_taken("\x16\x03\x01\0\x05hello");
    // A key that fits no certificate changes nothing.
    certificates.issue("other", "localhost", 90);
    secrets.extend(lines(&certificates.path("other.key")));
    fs::copy(certificates.path("other.key"), certificates.path("one.key")).unwrap();
    gateway.signal("HUP");
    gateway.logs("the certificates in use stay");
    let config = certificates.path("ringway.toml").display().to_string();
    let mut printed = String::new();
    for arguments in [&["check", &config][..], &["doctor", "--config", &config]] {
        let output = ringway(arguments).output().unwrap();
        assert!(text(&output).contains("one.key") || text(&output).contains("one.pem"));
        printed += &text(&output);
    }
    // Neither is a file that holds something else.
    for content in ["hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"]
    {
        fs::write(certificates.path("one.key"), content).unwrap();
        for arguments in [&["check", &config][..], &["doctor", "--config", &config]] {
            printed += &text(&ringway(arguments).output().unwrap());
        }
    }
    let of_tickets = format!("{tickets}-wrong");
    fs::write(&of_tickets, "hunter2").unwrap();
    let mode = Command::new("chmod").args(["600", &of_tickets]).status().unwrap();
    assert!(mode.success());
    certificates.issue("one", "localhost", 90);
    let start = ringway(&["--config", &config, "--listen", "127.0.0.1:0"])
        .args(["--api-listen", "127.0.0.1:0", "--set", "listener.speaks_tls=true"])
        .args(["--set", &format!("tls.ticket_key_file={of_tickets}")])
        .output()
        .unwrap();
    assert!(text(&start).contains(&of_tickets), "{}", text(&start));
    printed += &text(&start);
    printed += &String::from_utf8_lossy(&gateway.api("/metrics").body);
    printed += &gateway.log().join("\n");
    let secrets: Vec<_> = secrets.iter().map(String::as_str).chain(["hunter2"]).collect();
    hides(&printed, &secrets);
}

/// A key that is refused at the start is named by its place, and never shown.
#[test]
fn a_start_that_fails_shows_no_secret() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let quoted = |name: &str| format!("{:?}", path(name));
    fs::write(path("secret"), "hunter2").unwrap();
    let jwks = r#"{"keys":[{"kty":"oct","k":"aHVudGVyMg"}],"x":"hunter2"}"#;
    fs::write(path("jwks"), jwks).unwrap();
    let token = "[[auth.key]]\nalgorithms = [\"HS256\"]\n";
    let api = "[[server.api_key]]\nname = \"a\"\nscopes = [\"read\"]\n";
    // Secrets that are too weak, of another form, or written where none may be.
    for (section, source) in [
        (token, format!("secret_file = {}", quoted("secret"))),
        (token, format!("pem_file = {}", quoted("secret"))),
        (token, format!("jwks_file = {}", quoted("secret"))),
        (token, format!("jwks_file = {}", quoted("jwks"))),
        (token, "secret_env = \"WEAK\"".to_owned()),
        (token, "secret_env = \"hunter2\"".to_owned()),
        (token, "secret = \"hunter2\"".to_owned()),
        (token, "secret = hunter2".to_owned()),
        (api, format!("secret_file = {}", quoted("secret"))),
        (api, "secret_env = \"WEAK\"".to_owned()),
        (api, "secret_env = \"hunter2\"".to_owned()),
        (api, "secret = \"hunter2\"".to_owned()),
        (api, "secret = hunter2".to_owned()),
        (api, "secret_file = \"a\"\nsecret_file = \"hunter2\"".to_owned()),
    ] {
        let file = path("ringway.toml");
        let listen =
            "server.api_listen = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
        fs::write(&file, format!("{listen}{section}{source}\n")).unwrap();
        let file = file.to_str().unwrap();
        for arguments in [&["--config", file][..], &["check", file], &["doctor", "--config", file]]
        {
            let output = ringway(arguments).env("WEAK", "hunter2").output().unwrap();
            let printed = text(&output);
            assert!(
                matches!(output.status.code(), Some(1 | 2)),
                "{arguments:?} {source}: {printed}"
            );
            assert!(
                printed.contains("_key]]")
                    || printed.contains(".key]]")
                    || printed.contains("ringway.toml:"),
                "{printed}"
            );
            // `check` quotes the configuration only if it is right.
            hides(&printed, &["hunter2", "aHVudGVyMg"]);
        }
    }
    // A secret on the command line or in the wrong variable.
    for (arguments, variable) in [
        (&["--set", "server.api_key.secret=hunter2"][..], "PATH"),
        (&["--set", "auth.key.secret_env=hunter2"], "PATH"),
        (&[], "RINGWAY_SERVER_API_KEY"),
        (&[], "RINGWAY_AUTH_KEY_SECRET"),
    ] {
        let mut command = ringway(arguments);
        if variable != "PATH" {
            command.env(variable, "hunter2");
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        hides(&text(&output), &["hunter2"]);
    }
}
