//! What `openssl s_client` and the gateway agree on: versions, suites, certificates, tickets, proofs of
//! clients; and what `ringway check` says of certificates.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use crate::support::{Certificates, Engine, Gateway, on_each_engine, ringway};

on_each_engine!(
    each_suite_is_served_by_the_certificate_that_fits_and_weak_ones_by_none,
    only_the_configured_suites_are_served,
    tickets_are_valid_wherever_their_keys_are,
    clients_show_certificates_as_configured,
);

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A client with these options is served; returns what it prints.
#[track_caller]
fn served(certificates: &Certificates, gateway: &Gateway, flags: &[&str]) -> String {
    let output = certificates.openssl(gateway, flags, GET);
    let is_trusted = output.contains("Verify return code: 0 (ok)");
    assert!(is_trusted && output.contains("HTTP/1.1 200"), "{flags:?}: {output}");
    output
}

#[track_caller]
fn refused(certificates: &Certificates, gateway: &Gateway, flags: &[&str], alert: &str) {
    let output = certificates.openssl(gateway, flags, GET);
    let has_alert = output.contains(alert);
    assert!(has_alert && !output.contains("HTTP/1.1"), "{flags:?}: {output}");
}

fn each_suite_is_served_by_the_certificate_that_fits_and_weak_ones_by_none(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue_rsa("rsa", "localhost");
    certificates.issue("ecdsa", "localhost", 90);
    let gateway = certificates.start(engine, &["rsa", "ecdsa"], &[]);
    for suite in ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"] {
        for (key, signature) in [("ECDSA", "ECDSA"), ("RSA", "RSA-PSS")] {
            let suite = format!("ECDHE-{key}-{suite}");
            let output = served(&certificates, &gateway, &["-tls1_2", "-cipher", &suite]);
            assert!(output.contains(&format!("TLSv1.2, Cipher is {suite}")), "{output}");
            assert!(output.contains(&format!("Peer signature type: {signature}")), "{output}");
        }
    }
    for suite in
        ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
    {
        for (offered, signature) in [
            ("RSA-PSS+SHA256:ECDSA+SHA256", "ECDSA"),
            ("ECDSA+SHA256", "ECDSA"),
            ("RSA-PSS+SHA256", "RSA-PSS"),
        ] {
            let flags = ["-tls1_3", "-ciphersuites", suite, "-sigalgs", offered];
            let output = served(&certificates, &gateway, &flags);
            assert!(output.contains(&format!("TLSv1.3, Cipher is {suite}")), "{output}");
            assert!(output.contains(&format!("Peer signature type: {signature}")), "{output}");
        }
    }
    // Without forward secrecy, without authenticated encryption, and too old.
    for weak in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"] {
        refused(&certificates, &gateway, &["-tls1_2", "-cipher", weak], "handshake failure");
    }
    let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    refused(&certificates, &gateway, &old, "handshake failure");
}

fn only_the_configured_suites_are_served(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let suites = "tls.cipher_suites=TLS_AES_256_GCM_SHA384,\
                  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    let gateway = certificates.start(engine, &["one"], &[suites]);
    served(&certificates, &gateway, &["-tls1_3"]);
    served(&certificates, &gateway, &["-tls1_2"]);
    let others = ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"];
    refused(&certificates, &gateway, &others, "handshake failure");
    let others = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"];
    refused(&certificates, &gateway, &others, "handshake failure");
}

fn tickets_are_valid_wherever_their_keys_are(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    let keys = format!("tls.ticket_key_file={}", certificates.name("tickets"));
    let start = |settings: &[&str]| certificates.start(engine, &["one"], settings);
    let (first, second, stranger) = (start(&[&keys]), start(&[&keys]), start(&[]));
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let session = certificates.name(&format!("session{flag}"));
        let output = served(&certificates, &first, &[flag, "-sess_out", &session]);
        assert!(output.contains(&format!("New, {version}")), "{output}");
        for (gateway, begins) in [(&first, "Reused"), (&second, "Reused"), (&stranger, "New")] {
            let output = served(&certificates, gateway, &[flag, "-sess_in", &session]);
            assert!(output.contains(&format!("{begins}, {version}")), "{output}");
        }
    }
}

fn clients_show_certificates_as_configured(engine: Engine) {
    let certificates = Certificates::new();
    certificates.issue("one", "localhost", 90);
    certificates.issue("client", "a client", 90);
    certificates.issue("expired", "a client", -1);
    let foreign = Certificates::new();
    foreign.issue("client", "a client", 90);
    let shown = |of: &Certificates, file: &str| {
        ["-cert".to_owned(), of.name(&format!("{file}.pem")), "-key".to_owned()]
            .into_iter()
            .chain([of.name(&format!("{file}.key"))])
            .collect::<Vec<_>>()
    };
    let authority = format!("tls.client_ca_file={}", certificates.name("ca.pem"));
    for (mode, without) in
        [("none", None), ("optional", None), ("required", Some("certificate required"))]
    {
        let mode_is = format!("tls.client_certificates={mode}");
        let gateway = certificates.start(engine, &["one"], &[&mode_is, &authority]);
        for version in ["-tls1_2", "-tls1_3"] {
            let with = |of: &Certificates, file: &str| {
                let shown = shown(of, file);
                let flags: Vec<&str> = shown.iter().map(String::as_str).chain([version]).collect();
                certificates.openssl(&gateway, &flags, GET)
            };
            let output = certificates.openssl(&gateway, &[version], GET);
            match without {
                None => assert!(output.contains("HTTP/1.1 200"), "{mode}: {output}"),
                // TLS 1.2 has no alert of its own for this.
                Some(alert) => {
                    let has_alert = output.contains(alert) || output.contains("handshake failure");
                    assert!(has_alert && !output.contains("HTTP/1.1"), "{mode}: {output}");
                }
            }
            let output = with(&certificates, "client");
            assert!(output.contains("HTTP/1.1 200"), "{mode}: {output}");
            for (of, file, alert) in [
                // Both authorities have the same name, so only the signature tells them apart.
                (&foreign, "client", "alert decrypt error"),
                (&certificates, "expired", "alert certificate expired"),
            ] {
                let output = with(of, file);
                // Clients that are not asked show nothing.
                let is_served = output.contains("HTTP/1.1 200");
                assert_eq!(is_served, mode == "none", "{mode}: {output}");
                assert!(is_served || output.contains(alert), "{mode}: {output}");
            }
        }
    }
}

/// The exit status of `ringway check`, and what it prints.
fn check(certificates: &Certificates, file: &str) -> (bool, String) {
    let output = ringway(&["check", &certificates.configuration(&[file])]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn check_says_what_certificates_are_and_what_is_wrong_with_them() {
    let certificates = Certificates::new();
    let (read, write) = (
        |file: &str| std::fs::read_to_string(certificates.path(file)).unwrap(),
        |file: &str, text: String| std::fs::write(certificates.path(file), text).unwrap(),
    );
    certificates.issue("one", "*.example.org", 90);
    write("one.pem", read("one.pem") + &read("ca.pem"));
    let (is_good, text) = check(&certificates, "one");
    for said in [
        "one.pem: for *.example.org; ECDSA P-256, and the key file has its key; valid until ",
        "chain in order: CN=*.example.org <- CN=test authority",
    ] {
        assert!(is_good && text.contains(said), "{text}");
    }
    let key = certificates.path("one.key");
    let warned = format!("warning: every user of this machine can access {}", key.display());
    let mode = |mode| std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
    for (bits, is_warned) in [(0o644, true), (0o640, false)] {
        mode(bits);
        assert_eq!(check(&certificates, "one").1.contains(&warned), is_warned, "{bits:o}");
    }
    certificates.issue_rsa("rsa", "localhost");
    let (is_good, text) = check(&certificates, "rsa");
    assert!(is_good && text.contains("for localhost; RSA 2048 bits, and the key file"), "{text}");
    certificates.issue("old", "localhost", -1);
    let (_, text) = check(&certificates, "old");
    assert!(text.contains("warning: ") && text.contains("; expired on "), "{text}");

    write("turned.pem", read("ca.pem") + &read("rsa.pem"));
    write("turned.key", read("rsa.key"));
    write("foreign.pem", read("one.pem"));
    write("foreign.key", read("old.key"));
    for (file, said) in [
        ("turned", "the chain is out of order: certificate 1 was issued by \"CN=test authority\""),
        ("foreign", "foreign.key: this is not the key of the first certificate in "),
        ("missing", "missing.pem: cannot be read: "),
    ] {
        let (is_good, text) = check(&certificates, file);
        assert!(!is_good && text.contains(said), "{file}: {text}");
    }
}
