//! Keys at URLs: fetched at the start and again when a token names an unknown one, and kept while the
//! URL fails.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Answering, Certificates, Client, Engine, Gateway, Issuer, IssuerKey, KeyServer, Launch, Member,
    Request, Response, eventually, has, on_each_engine, target,
};

on_each_engine!(
    a_new_key_is_fetched_when_a_token_names_it,
    keys_stay_while_the_url_fails,
    a_url_that_fails_at_the_start_refuses_clients_for_now,
    a_url_that_never_answers_costs_a_bounded_wait,
    https_needs_an_authority_that_is_trusted,
    a_refresh_waits_for_no_key,
    keys_in_files_are_read_again,
);

/// A gateway whose clients have tokens of this URL.
#[track_caller]
fn gateway_with(engine: Engine, url: &str, auth: &str, key: &str) -> (Gateway, TempDir) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ringway.toml");
    let text = format!(
        "[auth]\n{auth}\n[[auth.key]]\nalgorithms = [\"ES256\"]\njwks_url = \"{url}\"\n{key}\n"
    );
    std::fs::write(&path, text).unwrap();
    let gateway = Launch::on(engine).flags(&["--config", path.to_str().unwrap()]).start();
    (gateway, directory)
}

fn url(server: &KeyServer) -> String {
    format!("http://{}/keys", server.address)
}

/// The answer to a poll with this token.
#[track_caller]
fn poll(gateway: &Gateway, token: &str) -> Response {
    let request = Request::of(&target("/poll", &[("token", token), ("wait", "0")]));
    Client::connect(gateway).requests(&request)
}

#[track_caller]
fn is_refused_for_now(response: &Response) {
    let problem = response.json();
    assert_eq!((response.status, &problem["code"]), (401, &json!("token_key_awaited")));
    assert_eq!(problem["temporary"], true, "{problem}");
    assert_eq!(response.field("Retry-After"), Some("5"));
}

fn fetches(gateway: &Gateway, outcome: &str) -> u64 {
    gateway.metric(&format!("ringway_key_fetches_total{{outcome=\"{outcome}\"}}"))
}

fn a_new_key_is_fetched_when_a_token_names_it(engine: Engine) {
    let [first, second, third] = ["first", "second", "third"].map(IssuerKey::new);
    let server = KeyServer::start(&[&first], None);
    let (gateway, _directory) = gateway_with(engine, &url(&server), "", "");
    assert_eq!(poll(&gateway, &first.token("ann")).status, 200);
    eventually("the first fetch has ended", || fetches(&gateway, "success") >= 1);
    let before = server.requests();
    server.publishes(&[&first, &second]);
    // The request waits for the fetch, on each transport.
    let token = second.token("ann");
    assert_eq!(Member::comes(&gateway, &[("token", &token)]).welcome["client"], "ann");
    assert_eq!(poll(&gateway, &token).status, 200);
    assert_eq!(server.requests(), before + 1);
    assert_eq!(gateway.metric("ringway_fetched_keys"), 2);
    // Another unknown key so soon does not make the gateway ask again.
    server.publishes(&[&first, &second, &third]);
    for _ in 0..10 {
        is_refused_for_now(&poll(&gateway, &third.token("ann")));
    }
    assert_eq!(server.requests(), before + 1);
    assert_eq!(poll(&gateway, &first.token("ann")).status, 200);
}

fn keys_stay_while_the_url_fails(engine: Engine) {
    let [old, new] = ["old", "new"].map(IssuerKey::new);
    let server = KeyServer::start(&[&old], None);
    let (gateway, _directory) = gateway_with(engine, &url(&server), "jwks_refresh = \"1s\"", "");
    assert_eq!(poll(&gateway, &old.token("ann")).status, 200);
    let large = json!({"keys": [old.jwk()], "x": "x".repeat(300 << 10)}).to_string();
    for (answering, reason) in [
        (Answering::Status(500), "http status: 500"),
        (Answering::Document("<html>".to_owned()), "not a JWKS document"),
        (Answering::Document(large), "larger than request limit"),
        (Answering::Document(json!({"keys": []}).to_string()), "no key for the algorithms"),
    ] {
        let before = fetches(&gateway, "failure");
        server.answers(answering);
        eventually("a fetch has failed", || fetches(&gateway, "failure") > before);
        gateway.logs(reason);
        assert_eq!(poll(&gateway, &old.token("ann")).status, 200, "{reason}");
    }
    // A key that the issuer has withdrawn counts no longer.
    server.publishes(&[&new]);
    eventually("the new key counts", || poll(&gateway, &new.token("ann")).status == 200);
    gateway.logs("could be fetched again");
    assert_eq!(poll(&gateway, &old.token("ann")).status, 401);
}

fn a_url_that_fails_at_the_start_refuses_clients_for_now(engine: Engine) {
    let key = IssuerKey::new("a");
    let server = KeyServer::start(&[&key], None);
    server.answers(Answering::Status(503));
    let (gateway, _directory) = gateway_with(engine, &url(&server), "jwks_refresh = \"1s\"", "");
    is_refused_for_now(&poll(&gateway, &key.token("ann")));
    // The other parts of the gateway work.
    assert_eq!(Client::connect(&gateway).requests(&Request::of("/")).status, 200);
    server.publishes(&[&key]);
    eventually("the key was fetched", || poll(&gateway, &key.token("ann")).status == 200);
    // The issuer has said that it has no other key.
    let other = IssuerKey::new("other");
    let refused = || poll(&gateway, &other.token("ann")).json()["code"].clone();
    eventually("a key that its issuer does not have", || refused() == "token_invalid");
}

fn a_url_that_never_answers_costs_a_bounded_wait(engine: Engine) {
    let key = IssuerKey::new("a");
    let server = KeyServer::start(&[&key], None);
    server.answers(Answering::Never);
    let (gateway, _directory) = gateway_with(engine, &url(&server), "", "");
    let begun = std::time::Instant::now();
    let response = poll(&gateway, &key.token("ann"));
    assert!(matches!(response.status, 401 | 504), "{}", response.status);
    let problem: Value = response.json();
    assert_eq!(problem["temporary"], true, "{problem}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(8), "{:?}", begun.elapsed());
    gateway.logs("timeout");
    gateway.signal("TERM");
    let mut gateway = gateway;
    assert!(gateway.ends().success(), "a fetch does not hold up the end");
}

fn https_needs_an_authority_that_is_trusted(engine: Engine) {
    let (key, certificates) = (IssuerKey::new("a"), Certificates::new());
    certificates.issue("server", "localhost", 30);
    let server = KeyServer::start(&[&key], Some(&certificates));
    let url = format!("https://localhost:{}/keys", server.address.port());
    let ca = format!("jwks_ca_file = {:?}", certificates.path("ca.pem"));
    let (gateway, _directory) = gateway_with(engine, &url, "", &ca);
    assert_eq!(poll(&gateway, &key.token("ann")).status, 200);
    // Another authority.
    let other = Certificates::new();
    let ca = format!("jwks_ca_file = {:?}", other.path("ca.pem"));
    let (gateway, _directory) = gateway_with(engine, &url, "", &ca);
    is_refused_for_now(&poll(&gateway, &key.token("ann")));
    gateway.logs("cannot be fetched");
}

fn a_refresh_waits_for_no_key(engine: Engine) {
    let [first, second] = ["first", "second"].map(IssuerKey::new);
    let server = KeyServer::start(&[&first], None);
    let (gateway, _directory) = gateway_with(engine, &url(&server), "", "");
    let mut ann = Member::comes(&gateway, &[("token", &first.token("ann"))]);
    server.publishes(&[&first, &second]);
    let refresh = json!({"type": "refresh", "id": "1", "token": second.token("ann")});
    ann.is_refused(&refresh, "unavailable");
    eventually("the key was fetched", || ann.asks(&refresh)["type"] == "ack");
    let ack = ann.asks(&refresh);
    assert!(ack["expires_at"].as_u64().is_some_and(|at| at > 1_600_000_000_000), "{ack}");
}

/// A JWKS file and a secret: a bad file changes nothing, also no key of the other one.
fn keys_in_files_are_read_again(engine: Engine) {
    let [old, new] = ["old", "new"].map(IssuerKey::new);
    let document = |key: &IssuerKey| json!({"keys": [key.jwk()]}).to_string();
    let issuer = Issuer::with("");
    let jwks = issuer.secret().with_file_name("keys.json");
    std::fs::write(&jwks, document(&old)).unwrap();
    let path = issuer.configuration();
    let table = format!("[[auth.key]]\nalgorithms = [\"ES256\"]\njwks_file = {jwks:?}\n");
    std::fs::write(&path, format!("{}{table}", issuer.text())).unwrap();
    let gateway = Launch::on(engine).flags(&["--config", path.to_str().unwrap()]).start();
    let is_known = |token: &str| poll(&gateway, token).status == 200;
    let mut member = Member::comes(&gateway, &[("token", &old.token("ann"))]);
    let shared = issuer.token("bob", json!({}));
    assert!(is_known(&shared) && !is_known(&new.token("ann")));

    std::fs::write(&jwks, document(&new)).unwrap();
    std::fs::write(issuer.secret(), "short").unwrap();
    gateway.signal("HUP");
    let line = gateway.logs("the keys of tokens cannot be read again; those in use stay");
    assert!(line.contains("[[auth.key]] number 1") && line.contains("32 or more"), "{line}");
    assert!(is_known(&shared) && is_known(&old.token("ann")) && !is_known(&new.token("ann")));

    std::fs::write(issuer.secret(), "another secret of more than thirty-two bytes").unwrap();
    gateway.signal("HUP");
    eventually("the keys are read at SIGHUP", || is_known(&new.token("ann")));
    assert!(!is_known(&shared) && !is_known(&old.token("ann")));
    gateway.logs("the keys of tokens were read again");
    // Without a signal, once the file has stayed the same for a moment.
    std::fs::write(&jwks, document(&old)).unwrap();
    eventually("the keys are read by themselves", || is_known(&old.token("ann")));
    assert!(!is_known(&new.token("ann")));
    // A session stays when its key goes.
    has(&member.asks(&json!({"type": "ping", "id": "1"})), json!({"type": "pong"}));
}
