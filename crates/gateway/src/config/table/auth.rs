//! `[auth]` and `[[auth.key]]`: how clients prove who they are. No secret is a value here: a key
//! names the file or the variable that holds it.

use std::{net::IpAddr, time::Duration};

use crate::config::{
    TokenAlgorithm,
    bound::{HOUR_MS, MINUTE_MS, SECOND_MS, bound},
    keys::section,
};

section! {
    /// Who clients are. With an [[auth.key]], a client needs a token (a JWT): its "sub" is the
    /// client's name, and its claim "ringway" says what the client may do. Without one, clients
    /// name themselves.
    "auth", Once => Auth

    /// The value of "iss" that a token must have; "" does not check it.
    issuer [Restart]: String = Text("https://id.example.org/");

    /// The value that "aud" must be or contain; "" accepts only tokens that name no audience.
    audience [Restart]: String = Text("ringway");

    /// How far the issuer's clock may be from this one: a token counts that much before its "nbf"
    /// and after its "exp".
    leeway [Restart]: Duration = WholeSeconds(bound(
        0,
        30 * SECOND_MS,
        5 * MINUTE_MS,
        "clocks that are kept by NTP differ by less than a second, others by more",
    ));

    /// Whether clients without a token may connect although there is a key. Their names begin with
    /// "anon-", which no token may have, and clients.may_subscribe, may_publish and may_notify say
    /// what they may do.
    anonymous [Restart]: bool = Switch(false);

    /// The cookie that may hold the token, for pages; "" reads no cookie. A token that is given in
    /// another way counts first.
    cookie [Restart]: String = Text("ringway_token");

    /// Whether a WebSocket whose query has auth=message may show its token in its first message:
    /// {"type":"auth","token":"..."}. Until then it is sent nothing and may do nothing; it never
    /// becomes anonymous.
    first_message [Restart]: bool = Switch(true);

    /// How long such a WebSocket may take to send that message.
    first_message_timeout [Restart]: Duration = Duration(bound(
        100,
        5 * SECOND_MS,
        MINUTE_MS,
        "a page has its token already, or gets it with one request; until then the connection \
         takes memory for a client that is not known",
    ));

    /// How long the keys of a jwks_url count before they are fetched again, at most: if their answer
    /// says that it is fresh for a shorter time, they are fetched after that time, but not within 30
    /// seconds. A token with an unknown "kid" has them fetched earlier, at most every 10 seconds. While
    /// the URL fails, the keys in use stay.
    jwks_refresh [Restart]: Duration = Duration(bound(
        SECOND_MS,
        10 * MINUTE_MS,
        24 * HOUR_MS,
        "a key that its issuer withdraws counts for at most this long; issuers publish a new key \
         long before they use it",
    ));
}

section! {
    /// A key that verifies tokens, or a list of keys. Write the section once for each. It names its
    /// algorithms and one source: secret_file, secret_env, pem_file, jwks_file or jwks_url. A file that
    /// changes is read again, and all are at SIGHUP; a bad one changes nothing. At most 64.
    "auth.key", InFile("algorithms") => AuthKey

    /// The algorithms that this key may verify: "HS256" with a secret, the others with a public
    /// key. A token that names another one is refused.
    algorithms [Restart]: Vec<TokenAlgorithm> = Words(TokenAlgorithm::WORDS, "ES256");

    /// The key's name: it is used only for tokens with this "kid". Without it, for every token that
    /// no other key names. A JWKS document has its own names.
    kid [Restart]: Option<String> = OptionalText("2026-11");

    /// A file with a shared secret of at least 32 bytes. One line end at its end does not count.
    secret_file [Restart]: Option<String> = OptionalText("/etc/ringway/token.secret");

    /// The environment variable with the shared secret. Its name must not begin with RINGWAY_.
    secret_env [Restart]: Option<String> = OptionalText("TOKEN_SECRET");

    /// A file with a public key in PEM.
    pem_file [Restart]: Option<String> = OptionalText("/etc/ringway/issuer.pem");

    /// A file with a JWKS document (RFC 7517).
    jwks_file [Restart]: Option<String> = OptionalText("/etc/ringway/issuer.jwks.json");

    /// The URL of a JWKS document, fetched while the gateway runs; https, or http on a network that
    /// nobody else can change.
    jwks_url [Restart]: Option<String> = OptionalText("https://id.example.org/.well-known/jwks.json");

    /// The authorities in PEM that may vouch for the server of jwks_url, in place of the system's.
    jwks_ca_file [Restart]: Option<String> = OptionalText("/etc/ringway/internal-ca.pem");
}

impl AuthKey {
    /// Its URL, if another machine on the way could replace the keys.
    pub fn unprotected_url(&self) -> Option<&str> {
        let url = self.jwks_url.as_deref()?;
        let uri: ureq::http::Uri = url.parse().ok()?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_here = match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        (uri.scheme_str() == Some("http") && !is_here).then_some(url)
    }

    /// A key for these algorithms that has no source yet.
    pub fn without_source(algorithms: &[TokenAlgorithm]) -> Self {
        Self {
            algorithms: algorithms.to_vec(),
            kid: None,
            secret_file: None,
            secret_env: None,
            pem_file: None,
            jwks_file: None,
            jwks_url: None,
            jwks_ca_file: None,
        }
    }
}
