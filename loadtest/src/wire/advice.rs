//! Advice on failures of connections, by the name of their reason.
//!
//! It never counts; a reason without advice explains itself.

/// The advice for failures with this reason, if there is general advice.
pub fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "no_port_left" => {
            "one address has some 28,000 ports to one server, and the port of a connection that has \
             ended stays in TIME_WAIT for a minute; use several addresses of this host with \
             --source, such as 127.0.0.1-127.0.0.8"
        }
        "tls_certificate_unknown_issuer" => {
            "no trusted authority signed the server's certificate; give the authority, or a \
             self-signed certificate itself, with --ca FILE, or do not verify it with --insecure"
        }
        "tls_certificate_other_name" => {
            "the server's certificate is for another name than the host in --url; use the name that \
             is in the certificate, or do not verify it with --insecure"
        }
        "tls_certificate_expired" => {
            "the server's certificate has expired, or this host's clock is wrong; renew it, or do \
             not verify it with --insecure"
        }
        "tls_certificate_not_valid_yet" => {
            "the server's certificate is not valid yet, or this host's clock is wrong; do not verify \
             it with --insecure"
        }
        "tls_certificate_ca_used_as_end_entity" => {
            "the server's certificate is an authority's (CA:TRUE), as `openssl req -x509` makes it by \
             default, and a server may not use that; make it with -addext \
             basicConstraints=critical,CA:FALSE and give it with --ca FILE, or do not verify it with \
             --insecure"
        }
        _ if reason.starts_with("tls_certificate_") => {
            "the server's certificate is not valid; correct it, or do not verify it with --insecure"
        }
        "tls_not_tls" => "the server does not speak TLS there; write ws: or http: in --url",
        "tls_alert_40" | "tls_alert_70" | "tls_incompatible" => {
            "the server and this program have no version or cipher of TLS in common; TLS 1.2 and 1.3 \
             are supported"
        }
        "tls_alert_112" => {
            "the server has no certificate for the host in --url; use a name that it knows"
        }
        "tls_alert_116" => "the server wants a certificate of its clients, which is not supported",
        _ => return None,
    })
}
