//! Clients that show certificates: whether the name in one is the client's id.

use serde_json::json;

use crate::support::{Certificates, Engine, Gateway, Issuer, Request, on_each_engine};

on_each_engine!(
    the_name_in_a_certificate_is_the_id_of_its_client_alone,
    by_default_a_certificate_names_nobody,
    a_token_must_be_for_the_client_of_the_certificate,
);

/// An authority for clients, which has issued a certificate to `ann`, and for the gateway.
fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    certificates.issue("ann", "ann", 90);
    certificates
}

/// Settings with which clients may show certificates.
fn optional(certificates: &Certificates) -> [String; 2] {
    let authority = certificates.path("ca.pem").display().to_string();
    ["tls.client_certificates=optional".to_owned(), format!("tls.client_ca_file={authority}")]
}

const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

/// What a client of `/ws` that shows this certificate is told.
fn told(
    certificates: &Certificates,
    gateway: &Gateway,
    file: Option<&str>,
    request: &Request,
) -> String {
    let request = request.bytes();
    let shown = file.map(|file| certificates.shown(file)).unwrap_or_default();
    let flags: Vec<&str> =
        shown.iter().map(String::as_str).filter(|flag| !flag.is_empty()).collect();
    certificates.openssl(gateway, &flags, &[&request[..], &CLOSE].concat())
}

fn upgrade(target: &str) -> Request {
    Request::upgrade_of(target).and("Sec-WebSocket-Protocol", "ringway.v1.json")
}

fn the_name_in_a_certificate_is_the_id_of_its_client_alone(engine: Engine) {
    let certificates = certificates();
    let [optional, authority] = optional(&certificates);
    let settings = [&*optional, &*authority, "tls.client_id_from_certificate=true"];
    let gateway = certificates.start(engine, &["one"], &settings);
    for (file, target, wanted) in [
        (Some("ann"), "/ws", "\"client\":\"ann\""),
        (Some("ann"), "/ws?client=ann", "\"client\":\"ann\""),
        (Some("ann"), "/ws?client=bob", "HTTP/1.1 403"),
        (None, "/ws?client=ann", "\"client\":\"anon-ann\""),
        (None, "/ws", "\"client\":\"anon-"),
    ] {
        let output = told(&certificates, &gateway, file, &upgrade(target));
        assert!(output.contains(wanted), "{file:?} {target}: {output}");
    }
    // A ticket stands for the certificate that was shown.
    let session = certificates.path("session").display().to_string();
    let shown = certificates.shown("ann");
    let mut flags: Vec<&str> = shown.iter().map(String::as_str).collect();
    flags.extend(["-sess_out", &session]);
    let sent = [&upgrade("/ws").bytes()[..], &CLOSE].concat();
    certificates.openssl(&gateway, &flags, &sent);
    let output = certificates.openssl(&gateway, &["-sess_in", &session], &sent);
    assert!(output.contains("Reused, TLSv1.3"), "{output}");
    assert!(output.contains("\"client\":\"ann\""), "{output}");
    // Another authority's certificate names nobody.
    let others = Certificates::new();
    others.issue("ann", "ann", 90);
    let stranger = others.shown("ann");
    let flags = stranger.each_ref().map(String::as_str);
    let output = certificates.openssl(&gateway, &flags, &sent);
    assert!(!output.contains("101 Switching"), "{output}");
}

fn by_default_a_certificate_names_nobody(engine: Engine) {
    let certificates = certificates();
    let settings = optional(&certificates);
    let settings = settings.each_ref().map(String::as_str);
    let gateway = certificates.start(engine, &["one"], &settings);
    let output = told(&certificates, &gateway, Some("ann"), &upgrade("/ws?client=bob"));
    assert!(output.contains("\"client\":\"bob\""), "{output}");
}

fn a_token_must_be_for_the_client_of_the_certificate(engine: Engine) {
    let (certificates, issuer) = (certificates(), Issuer::with(""));
    let [optional, authority] = optional(&certificates);
    let settings = [&*optional, &*authority, "tls.client_id_from_certificate=true"];
    let gateway = certificates.start_beside(issuer.text(), engine, &["one"], &settings);
    let with_token = |client: &str| {
        let token = issuer.token(client, json!({}));
        upgrade("/ws").and("Authorization", &format!("Bearer {token}"))
    };
    for (file, request, wanted) in [
        (Some("ann"), with_token("ann"), "\"client\":\"ann\""),
        (Some("ann"), with_token("bob"), "HTTP/1.1 401"),
        (Some("ann"), upgrade("/ws"), "\"client\":\"ann\""),
        (None, with_token("bob"), "\"client\":\"bob\""),
        (None, upgrade("/ws?client=ann"), "HTTP/1.1 401"),
    ] {
        let output = told(&certificates, &gateway, file, &request);
        assert!(output.contains(wanted), "{file:?}: {output}");
    }
}
