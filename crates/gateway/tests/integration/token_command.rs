//! `ringway token`: tokens for tests, made and explained by the binary.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::json;

use crate::support::{Engine, Issuer, Member, has, on_each_engine, ringway};

on_each_engine!(a_created_token_is_accepted);

fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn created(issuer: &Issuer, arguments: &[&str]) -> String {
    let path = issuer.configuration();
    let all = [&["token", "create", "--config", path.to_str().unwrap()], arguments].concat();
    let output = output(ringway(&all));
    assert!(output.status.success(), "{output:?}");
    text(&output).trim().to_owned()
}

fn a_created_token_is_accepted(engine: Engine) {
    let issuer = Issuer::with("issuer = \"https://id\"\naudience = \"ringway\"");
    let token = created(
        &issuer,
        &["--sub", "ann", "--publish", "a/*", "--topic", "news", "--meta", r#"{"plan":"gold"}"#],
    );
    let gateway = issuer.gateway(engine);
    let mut ann = Member::comes(&gateway, &[("token", &token)]);
    ann.publishes("1", "a/b", 1);
    ann.is_refused(json!({"type": "publish", "id": "2", "topic": "b", "data": 1}), "not_allowed");
    let shown = gateway.api("/v1/clients/ann").json();
    has(&shown["sessions"][0], json!({"meta": {"plan": "gold"}, "transport": "websocket"}));
}

#[test]
fn an_explanation_says_what_the_gateway_would_do() {
    let issuer = Issuer::with("issuer = \"https://id\"\nleeway = \"0s\"");
    let path = issuer.configuration();
    let explain = |token: &str| {
        output(ringway(&["token", "explain", "--config", path.to_str().unwrap(), token]))
    };
    let good = created(&issuer, &["--sub", "ann", "--subscribe", "news", "--ttl", "90m"]);
    let explained = explain(&good);
    let shown = text(&explained);
    for part in [
        "  alg: \"HS256\"\n",
        "  sub: \"ann\"\n",
        "GMT, in 1 h ",
        "secret: verifies it\n",
        "  accepted as client \"ann\" until ",
        "  may subscribe to news\n",
        "  may notify nothing\n",
    ] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    assert!(explained.status.success());
    for (token, part) in [
        (created(&issuer, &["--sub", "ann", "--ttl", "0s"]), "refused: The token has expired."),
        (created(&issuer, &["--sub", "a", "--issuer", "b"]), "refused: The token's iss is not"),
        (Issuer::signed_by_another(&json!({"sub": "a", "exp": 9e9})), "has not signed it"),
        ("a.b.c".to_owned(), "no JSON object in base64url"),
        (String::new(), "refused: The token is not a JWT"),
    ] {
        let explained = explain(&token);
        let shown = text(&explained);
        assert!(shown.contains(part), "{part:?} is not in {shown}");
        assert_eq!(explained.status.code(), Some(1), "{shown}");
    }
}

#[test]
fn a_token_may_come_by_standard_input() {
    let issuer = Issuer::with("");
    let token = created(&issuer, &["--sub", "ann"]);
    let path = issuer.configuration();
    let mut command = ringway(&["token", "explain", "--config", path.to_str().unwrap(), "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs");
    child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
    let explained = child.wait_with_output().unwrap();
    assert!(explained.status.success() && text(&explained).contains("accepted"), "{explained:?}");
}

#[test]
fn every_kind_of_key_signs_its_algorithm() {
    let folder = format!("{}/src/auth/token/tests", env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    for (key, algorithms) in
        [("rsa", &["RS256", "PS256"][..]), ("ec", &["ES256"]), ("ed", &["EdDSA"])]
    {
        for algorithm in algorithms {
            let private = format!("{folder}/{key}.pem");
            let made = output(ringway(&[
                "token",
                "create",
                "--key",
                &private,
                "--sub",
                "ann",
                "--algorithm",
                algorithm,
            ]));
            assert!(made.status.success(), "{made:?}");
            let config = directory.path().join("ringway.toml");
            let public = format!("{folder}/{key}.pub.pem");
            let table =
                format!("[[auth.key]]\nalgorithms = [\"{algorithm}\"]\npem_file = \"{public}\"\n");
            std::fs::write(&config, table).unwrap();
            let config = config.to_str().unwrap();
            let made = text(&made);
            let arguments = ["token", "explain", "--config", config, made.trim()];
            let explained = output(ringway(&arguments));
            assert!(explained.status.success(), "{algorithm}: {}", text(&explained));
        }
    }
}

#[test]
fn a_wrong_wish_is_explained() {
    let folder = format!("{}/src/auth/token/tests", env!("CARGO_MANIFEST_DIR"));
    let (private, public) = (format!("{folder}/ec.pem"), format!("{folder}/ec.pub.pem"));
    for (arguments, part) in [
        (&["--sub", "ann"][..], "there is no key to sign with"),
        (&["--sub", "ann", "--key", "/nowhere"], "/nowhere cannot be read"),
        (&["--sub", "ann", "--key", "env:NOTHING"], "no variable NOTHING"),
        (&["--sub", "ann", "--key", &public], "a public key signs nothing"),
        (&["--sub", "ann", "--key", &private, "--algorithm", "HS256"], "this key signs ES256"),
        (&["--sub", "anon-1", "--key", &private], "sub is not a name"),
        (&["--sub", "ann", "--key", &private, "--publish", "a*b"], "ringway is not valid"),
        (&["--sub", "ann", "--key", &private, "--meta", "{"], "--meta"),
    ] {
        let refused = output(ringway(&[&["token", "create"], arguments].concat()));
        let error = String::from_utf8(refused.stderr.clone()).unwrap();
        assert!(error.contains(part), "{part:?} is not in {error}");
        assert_eq!((refused.status.code(), &*refused.stdout), (Some(2), &b""[..]), "{error}");
    }
    let help = output(ringway(&["token", "create", "--help"]));
    assert!(text(&help).contains("ringway token create --key issuer.secret --sub ann"));
}
