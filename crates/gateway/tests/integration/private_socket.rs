//! The private API on a unix socket: curl uses it, and the file comes and goes with the gateway.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::support::{Engine, Launch, PATIENCE, kill, on_each_engine};

on_each_engine!(
    curl_publishes_by_a_unix_socket,
    a_socket_that_was_left_is_replaced,
    a_socket_in_use_or_another_file_prevents_the_start,
);

fn socket() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("api.sock");
    (directory, path)
}

fn launch(engine: Engine, path: &Path) -> Launch {
    Launch::on(engine).set(&[&format!("server.api_socket={}", path.display()), "log.level=debug"])
}

/// The output of curl for this path of the API.
#[track_caller]
fn curl(path: &Path, target: &str, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-s", "--max-time", "10", "--unix-socket"])
        .arg(path)
        .args(arguments)
        .arg(format!("http://localhost{target}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn curl_publishes_by_a_unix_socket(engine: Engine) {
    let (directory, path) = socket();
    let mut server = launch(engine, &path).set(&["server.api_socket_mode=group"]).spawn();
    let line = server.says("is listening", PATIENCE).unwrap();
    let named = format!("unix:{}", path.display());
    assert!(line.contains(&format!("private_api={named}")), "{line}");
    server.says("is serving", PATIENCE).unwrap();
    let file = fs::metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.mode() & 0o777, 0o660);
    assert_eq!(curl(&path, "/readyz", &[]), "ready\n");
    let answer = curl(&path, "/v1/publish", &["--json", r#"{"topic":"news","data":"by socket"}"#]);
    assert!(answer.starts_with("{\"cursor\":"), "{answer}");
    let history = curl(&path, "/v1/topics/news/history", &[]);
    assert!(history.contains("by socket"), "{history}");
    let metrics = curl(&path, "/metrics", &[]);
    let metric = format!("ringway_private_listener{{at=\"{named}\"}} 1\n");
    assert!(metrics.contains(&metric), "{metrics}");
    // Many events of a body that comes while the answer goes.
    let lines = r#"{"topic":"news","data":1}"#.to_owned() + "\n";
    let many = lines.repeat(2000);
    let fields = format!(
        "Host: localhost\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        many.len()
    );
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(format!("POST /v1/publish HTTP/1.1\r\n{fields}{many}").as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.matches("{\"cursor\":").count(), 2000);
    let user = file.uid();
    server
        .says(&format!("an application has connected address=unix:uid={user}"), PATIENCE)
        .unwrap();
    // Nothing listens on server.api_listen.
    assert!(!server.output().lines().iter().any(|line| line.contains("http://")));
    server.stop(PATIENCE).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
}

fn a_socket_that_was_left_is_replaced(engine: Engine) {
    let (_directory, path) = socket();
    let mut first = launch(engine, &path).spawn();
    first.says("is serving", PATIENCE).unwrap();
    kill(first.pid(), "KILL");
    first.ends(PATIENCE).unwrap().expect("it ends");
    assert!(path.exists(), "a process that was killed leaves its file");
    let mut second = launch(engine, &path).spawn();
    second.says("is serving", PATIENCE).unwrap();
    assert_eq!(curl(&path, "/healthz", &[]), "ok\n");
    second.stop(PATIENCE).unwrap();
    assert!(!path.exists());
}

fn a_socket_in_use_or_another_file_prevents_the_start(engine: Engine) {
    let (_directory, path) = socket();
    let mut first = launch(engine, &path).spawn();
    first.says("is serving", PATIENCE).unwrap();
    let refused = |path: &Path, told: &str| {
        let output = launch(engine, path).output();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("server.api_socket") && text.contains(told), "{text}");
    };
    refused(&path, "another process listens there");
    assert_eq!(curl(&path, "/healthz", &[]), "ok\n");
    let file = path.with_extension("txt");
    fs::write(&file, "precious").unwrap();
    refused(&file, "not a socket");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let owner =
        launch(engine, &path.with_extension("2")).set(&["server.api_socket_owner=nobody-7"]);
    let text = String::from_utf8(owner.output().stderr).unwrap();
    assert!(text.contains("server.api_socket_owner: nobody-7 is not in /etc/passwd"), "{text}");
}
