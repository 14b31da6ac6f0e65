//! The private API over TLS: requests and answers of all sizes, certificates of applications, and
//! files that are read again.

use std::{io::Read, io::Write, net::TcpStream, process::Command};

use crate::support::{
    Certificates, Engine, Gateway, Launch, Member, PATIENCE, Secure, eventually, on_each_engine,
};

on_each_engine!(
    applications_use_the_private_api_over_tls,
    applications_may_have_to_show_a_certificate,
    an_api_with_certificates_needs_tls,
);

const TLS: [&str; 2] = ["server.api_speaks_tls=true", "listener.speaks_tls=false"];

fn start(certificates: &Certificates, engine: Engine, settings: &[&str]) -> Gateway {
    certificates.issue("one", "localhost", 90);
    certificates.start(engine, &["one"], &[&TLS, settings].concat())
}

fn applications_use_the_private_api_over_tls(engine: Engine) {
    let certificates = Certificates::new();
    let gateway = start(&certificates, engine, &[]);
    let line = gateway.logs("ringway is listening");
    assert!(line.contains(&format!("private_api=https://{}", gateway.api)), "{line}");
    let mut ann = Member::joins(&gateway, "ann");
    ann.subscribes("t");
    let mut secure = Secure::connect(gateway.api, &certificates.client("localhost")).unwrap();
    // Bodies and answers of one record and of many, on one connection.
    for bytes in [1, 40_000, 500_000] {
        let data = "x".repeat(bytes);
        let body = format!(r#"{{"topic":"t","data":"{data}"}}"#);
        let head = format!(
            "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        secure.sends(head.as_bytes());
        secure.sends(body.as_bytes());
        secure.receives(b"HTTP/1.1 200");
        secure.receives(b"\"cursor\"");
        ann.receives_event(data);
    }
    secure.sends(
        b"GET /v1/topics/t/history?limit=10 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let answer = secure.receives(b"HTTP/1.1 200");
    assert!(!answer.is_empty());
    let history = secure.receives("x".repeat(500_000).as_bytes());
    assert!(history.len() > 540_000, "{}", history.len());
    secure.ends();
    // A request in plain text is told so.
    let mut plain = TcpStream::connect(gateway.api).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    // The certificate is read again, and the connection stays.
    let mut early = Secure::connect(gateway.api, &certificates.client("localhost")).unwrap();
    certificates.issue("one", "renewed.example.org", 90);
    gateway.signal("HUP");
    let renewed = certificates.client("renewed.example.org");
    eventually("the new certificate is used", || Secure::connect(gateway.api, &renewed).is_ok());
    early.sends(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    early.receives(b"HTTP/1.1 200");
}

fn curl(certificates: &Certificates, gateway: &Gateway, flags: &[&str]) -> String {
    let url = format!("https://localhost:{}/healthz", gateway.api.port());
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "10"])
        .args(["--noproxy", "*", "--cacert", &certificates.name("ca.pem")])
        .args(flags)
        .arg(url)
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn applications_may_have_to_show_a_certificate(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("shop", "shop", 90);
    let authority = format!("server.api_client_ca_file={}", certificates.name("ca.pem"));
    let required = "server.api_client_certificates=required";
    let gateway = start(&certificates, engine, &[required, &authority, "log.level=debug"]);
    let output = curl(&certificates, &gateway, &[]);
    assert!(!output.contains("HTTP/1.1 200") && output.contains("certificate"), "{output}");
    let shown = certificates.shown("shop");
    let flags = ["--cert", &*shown[1], "--key", &*shown[3]];
    let output = curl(&certificates, &gateway, &flags);
    assert!(output.contains("HTTP/1.1 200"), "{output}");
    gateway.logs("certificate=\"shop\"");
    // One of another authority is as good as none.
    let others = Certificates::new();
    others.issue("shop", "shop", 90);
    let shown = others.shown("shop");
    let flags = ["--cert", &*shown[1], "--key", &*shown[3]];
    let output = curl(&certificates, &gateway, &flags);
    assert!(!output.contains("HTTP/1.1 200"), "{output}");
}

fn an_api_with_certificates_needs_tls(engine: Engine) {
    for (settings, fault) in [
        (
            &["server.api_speaks_tls=true"][..],
            "server.api_speaks_tls = true, but there is no certificate",
        ),
        (&["server.api_client_certificates=required"], "needs server.api_client_ca_file"),
        (
            &["server.api_client_certificates=required", "server.api_client_ca_file=/ca.pem"],
            "needs server.api_speaks_tls = true",
        ),
    ] {
        let output = Launch::on(engine).set(settings).output();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(fault), "{settings:?}: {text}");
    }
}
