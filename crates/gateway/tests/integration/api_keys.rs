//! The keys of the private API on a running gateway: scopes, rotation, and when it starts without.
//!
//! Every route is tested with the router.

use std::{fs, path::PathBuf, process::Command};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    Application, Client, Engine, Gateway, Launch, PATIENCE, Request, Response, eventually,
    on_each_engine, ringway,
};

on_each_engine!(
    a_key_does_what_its_scopes_say,
    a_key_is_changed_without_a_pause,
    a_public_api_without_a_key_is_refused_at_the_start,
);

const PUBLISHER: &str = "publisher-0123456789abcdef0123456789abcdef";
const READER: &str = "reader-0123456789abcdef0123456789abcdef";

/// A directory with keys, and a configuration that names them.
struct Keys {
    directory: TempDir,
}

impl Keys {
    fn new() -> Self {
        let keys = Self { directory: TempDir::new().unwrap() };
        fs::write(keys.path("publisher"), format!("{PUBLISHER}\n")).unwrap();
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration file: a key that publishes, in a file, and one that reads, in a variable.
    fn file(&self, more: &str) -> String {
        let path = self.path("ringway.toml");
        let key = |name, scopes, source| {
            format!("[[server.api_key]]\nname = \"{name}\"\nscopes = [{scopes}]\n{source}\n")
        };
        let publisher = format!("secret_file = {:?}", self.path("publisher"));
        let text = key("shop", "\"publish\"", publisher)
            + &key("metrics", "\"read\"", "secret_env = \"READER\"".to_owned());
        fs::write(&path, text + more).unwrap();
        path.display().to_string()
    }

    fn launch(&self, engine: Engine) -> Launch {
        Launch::on(engine).flags(&["--config", &self.file("")]).variable("READER", READER)
    }
}

#[track_caller]
fn asks(gateway: &Gateway, request: Request, key: &str) -> Response {
    let bearer = format!("Bearer {key}");
    let request = request.with("Host", "localhost").and("Authorization", &bearer);
    Client::connect_to(gateway.api).requests(&request)
}

fn publish() -> Request {
    Request::post("/v1/publish", r#"{"topic":"news","data":1}"#)
}

fn a_key_does_what_its_scopes_say(engine: Engine) {
    let keys = Keys::new();
    let gateway = keys.launch(engine).start();
    assert_eq!(asks(&gateway, publish(), PUBLISHER).status, 200);
    assert_eq!(asks(&gateway, Request::of("/v1/topics/news/history"), READER).status, 200);
    let mut application = Application::of(&gateway);
    let refused = application.posts("/v1/publish", r#"{"topic":"news","data":1}"#);
    refused.is_problem(401, "key-missing");
    assert_eq!(refused.field("WWW-Authenticate"), Some("Bearer"));
    // The connection stays open, also after a body that was not asked for.
    assert_eq!(application.asks("/readyz").status, 200);
    asks(&gateway, publish(), "unknown").is_problem(401, "key-invalid");
    let refused = asks(&gateway, publish(), READER);
    refused.is_problem(403, "scope-missing");
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"publish\"";
    assert_eq!(refused.field("WWW-Authenticate"), Some(challenge));
    asks(&gateway, Request::of("/v1/openapi.json"), PUBLISHER).is_problem(403, "scope-missing");
    let described = asks(&gateway, Request::of("/v1/openapi.json"), READER).json();
    assert_eq!(
        described["paths"]["/v1/publish"]["post"]["security"][0],
        json!({"key": ["publish"]})
    );
    // RFC 9110 §10.1.1: a client that waits for a 100 is refused before it sends its body.
    let waiting = publish().with("Host", "localhost").and("Expect", "100-continue");
    let mut client = Client::connect_to(gateway.api);
    client.sends(String::from_utf8(waiting.bytes()).unwrap().split_once('{').unwrap().0);
    assert_eq!(client.receives_response().status, 401);
    let metrics = String::from_utf8(asks(&gateway, Request::of("/metrics"), READER).body).unwrap();
    for line in [
        "ringway_private_refused_total{reason=\"key_missing\"} 2",
        "ringway_private_refused_total{reason=\"key_invalid\"} 1",
        "ringway_private_refused_total{reason=\"scope_missing\"} 2",
        "ringway_private_requests_total{key=\"shop\"} 1",
        "ringway_private_requests_total{key=\"metrics\"} 3",
    ] {
        assert!(metrics.lines().any(|other| other == line), "no {line} in {metrics}");
    }
    gateway.logs("reason=\"key_missing\" status=401");
}

/// Two keys at once; then a file is replaced, and a bad one changes nothing.
fn a_key_is_changed_without_a_pause(engine: Engine) {
    const NEXT: &str = "next-0123456789abcdef0123456789abcdef";
    let keys = Keys::new();
    let gateway = keys.launch(engine).start();
    let is_taken = |key: &str| asks(&gateway, publish(), key).status == 200;
    assert!(is_taken(PUBLISHER) && !is_taken(NEXT));
    fs::write(keys.path("publisher"), "too-short").unwrap();
    gateway.signal("HUP");
    let line = gateway.logs("the keys of the private API stay");
    assert!(line.contains("secret_file: the key must be 32 to 512"), "{line}");
    assert!(is_taken(PUBLISHER));
    fs::write(keys.path("publisher"), NEXT).unwrap();
    gateway.signal("HUP");
    eventually("the key is read at SIGHUP", || is_taken(NEXT));
    assert!(!is_taken(PUBLISHER));
    gateway.logs("keys=\"shop\"");
    // Without a signal, once the file has stayed the same for a moment.
    fs::write(keys.path("publisher"), format!("{PUBLISHER}\n")).unwrap();
    eventually("the key is read by itself", || is_taken(PUBLISHER));
    assert!(!is_taken(NEXT));
    assert_eq!(asks(&gateway, Request::of("/metrics"), READER).status, 200);
}

fn a_public_api_without_a_key_is_refused_at_the_start(engine: Engine) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ringway.toml");
    fs::write(&path, "[server]\napi_listen = \"0.0.0.0:0\"\n").unwrap();
    let path = path.to_str().unwrap();
    let serve = ["serve", "--io", engine.flag(), "--listen", "127.0.0.1:0", "--config", path];
    for arguments in [&serve[..], &["check", path], &["doctor", "--config", path]] {
        let output = ringway(arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        for part in
            ["ringway.toml:2:14: server.api_listen", "asks for no key", "[[server.api_key]]"]
        {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
    }
    // With a key it starts there, and says that the key is not hidden.
    let keys = Keys::new();
    let public = "[server]\napi_listen = \"0.0.0.0:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let launch = Launch::of_file(keys.file(public).as_ref()).flags(&["--io", engine.flag()]);
    let mut server = launch.variable("READER", READER).spawn();
    let line = server.says("private API speaks plain text", PATIENCE).unwrap();
    assert!(line.contains("server.api_listen = \"0.0.0.0:"), "{line}");
}

/// `check` and `doctor` load every key, and name all that are wrong.
#[test]
fn check_and_doctor_name_every_key_that_cannot_be_used() {
    let keys = Keys::new();
    let good = keys.file("");
    let run = |arguments: &[&str]| ringway(arguments).env("READER", READER).output().unwrap();
    let output = run(&["check", &good]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<_> = text.lines().take(4).collect();
    assert_eq!(lines[0], format!("{good}: ok"));
    assert_eq!(lines[1], "note: [[server.api_key]] number 1: \"shop\", for publish");
    assert!(lines[2].starts_with("warning: [[server.api_key]] number 1: every user"), "{text}");
    assert_eq!(lines[3], "note: [[server.api_key]] number 2: \"metrics\", for read");
    let mode = Command::new("chmod").arg("600").arg(keys.path("publisher")).status().unwrap();
    assert!(mode.success());
    let text = String::from_utf8(run(&["check", &good]).stdout).unwrap();
    assert!(!text.contains("warning: [[server"), "{text}");
    let text = String::from_utf8(run(&["doctor", "--json", "--config", &good]).stdout).unwrap();
    assert!(text.contains("\"[[server.api_key]] number 1\""), "{text}");

    let token = "[[auth.key]]\nalgorithms = [\"HS256\"]\nsecret_file = \"/nowhere\"\n";
    let wrong =
        "[[server.api_key]]\nname = \"x\"\nscopes = [\"read\"]\nsecret_file = \"/nothing\"\n";
    let file = keys.file(&format!("{token}{wrong}{token}"));
    let output = run(&["check", &file]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for (line, told) in text.lines().zip([
        "[[auth.key]] number 1: /nowhere: cannot be read: ",
        "[[auth.key]] number 2: /nowhere: cannot be read: ",
        "[[server.api_key]] number 3: /nothing: cannot be read: ",
    ]) {
        assert!(line.starts_with(told), "{text}");
    }
    assert_eq!(text.lines().count(), 3, "{text}");
    let output = run(&["doctor", "--config", &file]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("it cannot be used") && text.contains("/nothing: cannot be"), "{text}");
}
