//! `[tls]` and `[[tls.certificate]]`: what the listeners that speak TLS offer.
//!
//! Only building the server reads the files and shows whether the values fit together.

use std::time::Duration;

use crate::config::{
    ClientCertificates, TlsVersion,
    bound::{HOUR_MS, MINUTE_MS, SECOND_MS, bound},
    keys::section,
};

section! {
    /// TLS of the listeners that have speaks_tls = true. SIGHUP, or a change of a file, reads certificates
    /// and authorities again; open connections stay. The private API speaks plain text.
    "tls", Once => Tls

    /// The oldest version that clients may use.
    version_min [Restart]: TlsVersion = Word(TlsVersion::WORDS, "tls1.2");

    /// The cipher suites, in the gateway's order of preference, with commas; "" is all of them. Each has forward
    /// secrecy and authenticates what it encrypts; there is no other.
    cipher_suites [Restart]: String = Text("TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384");

    /// Whether clients show certificates: "none" does not ask; "optional" accepts clients without
    /// one; "required" refuses them. One that is shown must come from client_ca_file.
    client_certificates [Restart]: ClientCertificates = Word(ClientCertificates::WORDS, "none");

    /// The file with the authorities that issue the certificates of clients, in PEM.
    client_ca_file [Restart]: String = Text("/etc/ringway/clients-ca.pem");

    /// Whether a client that shows a certificate has the name in it as its id: the first
    /// alternative name (DNS, e-mail or URI), else the common name. A token must then be for the same
    /// client. Clients without a certificate need a token, or their names begin with "anon-".
    client_id_from_certificate [Restart]: bool = Switch(false);

    /// A file of ticket keys, for processes and nodes that accept each other's tickets: the gateway
    /// creates and rotates the file, readable for its user alone (mode 600). Without it the keys are
    /// in memory, and clients shake hands in full after a restart.
    ticket_key_file [Restart]: String = Text("/var/lib/ringway/tickets");

    /// How long a client can come back with a ticket, and how often the keys are renewed; an older
    /// key is kept as long again.
    ticket_lifetime [Restart]: Duration = WholeSeconds(bound(
        MINUTE_MS,
        12 * HOUR_MS,
        7 * 24 * HOUR_MS,
        "a stolen key opens the sessions that were resumed by its tickets; RFC 8446 allows seven \
         days",
    ));

    /// From the connection to the end of its TLS handshake; limits.handshake_timeout begins after
    /// it.
    handshake_duration_max [Live]: Duration = Duration(bound(
        100,
        10 * SECOND_MS,
        5 * MINUTE_MS,
        "ends connections that stall; enough for a lost packet or two",
    ));

    /// TLS handshakes that each core begins to answer in a second; the connections of further clients
    /// are closed before the handshake costs anything.
    handshakes_per_second_max [Live]: u32 = Count(bound(
        1,
        4000,
        1 << 20,
        "with an ECDSA key half of a core's time; with an RSA key a core cannot do as many",
    ));

    /// TLS handshakes in progress on each core. One more ends the one that began first and waits for
    /// its client: one that is well finishes in a few round trips, and one that stalls must not take
    /// its place.
    handshakes_max [Live]: u32 = Count(bound(
        16,
        2048,
        1 << 20,
        "each may hold some 4 KiB, and up to 64 KiB of an unfinished message",
    ));
}

section! {
    /// A certificate: write the section once for each, in a file. The first is the default, for
    /// clients that name no host or one that no certificate has. For one name there may be several,
    /// such as ECDSA and RSA: each client gets the first that it supports, ECDSA before RSA.
    "tls.certificate", InFile("certificate_file") => Certificate

    /// The server's certificate and below it those of its issuers, in PEM.
    certificate_file [Restart]: String = OptionalText("/etc/ringway/fullchain.pem");

    /// Its key in PEM, without a passphrase; without this, it is in certificate_file, too. Let the
    /// gateway's user alone read it.
    key_file [Restart]: Option<String> = OptionalText("/etc/ringway/privkey.pem");
}
