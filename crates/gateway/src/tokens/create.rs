//! Makes a token as an issuer would, with a shared secret or a private key.
//!
//! A token that the gateway could not accept, whatever its configuration, is refused here.

use std::{env, fs, time::Duration};

use anyhow::{Context, anyhow, bail, ensure};
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header, encode};
use serde_json::value::RawValue;

use crate::{
    auth::token::{
        claims::{Audience, Claims, NumericDate, OwnClaims},
        keys, ring_provider,
    },
    config::{AuthKey, Config},
    limits::TOKEN_SECRET_BYTES_MIN,
};

/// Where a key is, if not in a file.
const IN_ENVIRONMENT: &str = "env:";

/// What a token is to say, and who signs it.
#[derive(Debug, Default)]
pub struct Wish {
    /// A file with a secret or a private key in PEM, or `env:NAME`; `None`: the first secret of the
    /// configuration.
    pub key: Option<String>,
    /// `None`: the usual one of the key.
    pub algorithm: Option<String>,
    /// The `kid`.
    pub kid: Option<String>,
    /// The client's name.
    pub client: String,
    /// How long the token is good.
    pub lifetime: Duration,
    /// `iss`; `None`: that of the configuration.
    pub issuer: Option<String>,
    /// `aud`; `None`: that of the configuration.
    pub audience: Option<String>,
    /// What the client may do, and its topics.
    pub own: OwnClaims,
    /// JSON for the application.
    pub meta: Option<String>,
}

/// Makes a token.
///
/// # Errors
/// There is no such key, it does not fit the algorithm, or the claims make no sense.
pub fn create(wish: Wish, config: &Config, now: Duration) -> anyhow::Result<String> {
    let Wish { client, lifetime, mut own, .. } = wish;
    if let Some(meta) = wish.meta {
        let meta = RawValue::from_string(meta).map_err(|error| anyhow!("--meta: {error}"))?;
        own.meta = Some(meta);
    }
    let of_config = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let claims = |own| Claims {
        sub: Some(client.clone()),
        exp: Some(NumericDate::from_seconds((now + lifetime).as_secs())),
        nbf: None,
        iss: wish.issuer.clone().or_else(|| of_config(&config.auth.issuer)),
        aud: wish.audience.clone().or_else(|| of_config(&config.auth.audience)).map(Audience::One),
        ringway: Some(own),
    };
    claims(own.clone()).identity().map_err(|fault| anyhow!("{}", fault.reason()))?;
    let (key, of_key) = match &wish.key {
        Some(place) => (read(place)?, None),
        None => of_configuration(config)?,
    };
    let (encoding, usual) = signing(&key)?;
    let algorithm = match &wish.algorithm {
        Some(word) => word.parse().map_err(|_| anyhow!("--algorithm: \"{word}\" is unknown"))?,
        None => usual,
    };
    ensure!(
        algorithm.family() == usual.family(),
        "--algorithm: this key signs {}",
        of_family(usual.family())
    );
    let header = Header { kid: wish.kid.or(of_key), ..Header::new(algorithm) };
    ring_provider::install();
    encode(&header, &claims(own), &encoding).context("the token could not be signed")
}

fn read(place: &str) -> anyhow::Result<Vec<u8>> {
    match place.strip_prefix(IN_ENVIRONMENT) {
        Some(name) => {
            let value = env::var_os(name)
                .with_context(|| format!("--key: the environment has no variable {name}"))?;
            Ok(value.into_encoded_bytes())
        }
        None => fs::read(place).with_context(|| format!("--key: {place} cannot be read")),
    }
}

/// The first secret of a configuration, and its name.
fn of_configuration(config: &Config) -> anyhow::Result<(Vec<u8>, Option<String>)> {
    for AuthKey { secret_file, secret_env, kid, .. } in &config.auth_keys {
        let place = match (secret_file, secret_env) {
            (Some(path), _) => path.clone(),
            (None, Some(name)) => format!("{IN_ENVIRONMENT}{name}"),
            (None, None) => continue,
        };
        return Ok((read(&place)?, kid.clone()));
    }
    bail!(
        "there is no key to sign with: name one by --key (a secret, or a private key in PEM), or \
         by --config a configuration with a secret"
    )
}

/// The key in the form that signs, and the algorithm that is usual for it.
fn signing(key: &[u8]) -> anyhow::Result<(EncodingKey, Algorithm)> {
    if !key.trim_ascii_start().starts_with(b"-----BEGIN") {
        let secret = keys::without_line_end(key);
        ensure!(
            secret.len() >= TOKEN_SECRET_BYTES_MIN,
            "--key: the secret has {} bytes; {TOKEN_SECRET_BYTES_MIN} or more are needed, such as \
             those of \"openssl rand -hex 32\"",
            secret.len()
        );
        let secret = EncodingKey::from_secret(secret).map_err(|_| anyhow!("it is empty"))?;
        return Ok((secret, Algorithm::HS256));
    }
    let read = [
        (EncodingKey::from_ec_pem(key), Algorithm::ES256),
        (EncodingKey::from_ed_pem(key), Algorithm::EdDSA),
        (EncodingKey::from_rsa_pem(key), Algorithm::RS256),
    ];
    let mut found = read.into_iter().filter_map(|(read, usual)| Some((read.ok()?, usual)));
    found.next().context(
        "--key: it has no private key in PKCS #8 (RSA, P-256 or Ed25519); \"openssl pkcs8 -topk8 \
         -nocrypt\" makes one of other forms, and a public key signs nothing",
    )
}

fn of_family(family: AlgorithmFamily) -> &'static str {
    match family {
        AlgorithmFamily::Hmac => "HS256",
        AlgorithmFamily::Rsa => "RS256 or PS256",
        AlgorithmFamily::Ec => "ES256",
        AlgorithmFamily::Ed => "EdDSA",
    }
}
