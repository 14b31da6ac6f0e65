//! Tokens as an issuer makes them, and a gateway that accepts them.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Engine, Gateway, Launch};

const SECRET: &str = "the secret of the issuer in the tests";

/// An issuer of tokens whose secret is in a file.
pub struct Issuer {
    directory: TempDir,
    text: String,
}

impl Issuer {
    /// An issuer whose gateway has these lines in its section `[auth]`.
    pub fn with(auth: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
        let key = format!("algorithms = [\"HS256\"]\nsecret_file = {secret:?}\n");
        let text = format!("[auth]\n{auth}\n[[auth.key]]\n{key}");
        Self { directory, text }
    }

    /// The file with its secret.
    pub fn secret(&self) -> PathBuf {
        self.directory.path().join("secret")
    }

    /// The configuration of a gateway that accepts its tokens.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file with that configuration.
    pub fn configuration(&self) -> PathBuf {
        let path = self.directory.path().join("ringway.toml");
        std::fs::write(&path, &self.text).unwrap();
        path
    }

    /// A gateway with that configuration, not started yet.
    pub fn launch(&self, engine: Engine) -> Launch {
        let path = self.configuration();
        Launch::on(engine).flags(&["--config", path.to_str().unwrap()])
    }

    /// A gateway that accepts its tokens.
    #[track_caller]
    pub fn gateway(&self, engine: Engine) -> Gateway {
        self.launch(engine).start()
    }

    /// A token with these claims.
    pub fn signs(&self, claims: &Value) -> String {
        signed(claims, SECRET)
    }

    /// A token of another issuer.
    pub fn signed_by_another(claims: &Value) -> String {
        signed(claims, "the secret of an issuer that nobody knows")
    }

    /// A token of a client that may do this, for a minute.
    pub fn token(&self, client: &str, ringway: Value) -> String {
        let exp = seconds_from_now(60);
        self.signs(&json!({"sub": client, "exp": exp, "ringway": ringway}))
    }
}

fn signed(claims: &Value, secret: &str) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The time in so many seconds, in seconds since 1970.
pub fn seconds_from_now(seconds: u64) -> u64 {
    let at = SystemTime::now() + Duration::from_secs(seconds);
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
