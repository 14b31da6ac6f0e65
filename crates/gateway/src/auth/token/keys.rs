//! The keys that sign tokens: read from secrets, PEM files and JWKS documents.
//!
//! Each key has the algorithms that it may verify, and they fit its family: a public key is never
//! the secret of an HMAC. Errors are for the operator and never contain a secret.

use std::{ffi::OsString, fs::File, io::Read, path::Path, sync::Arc};

use anyhow::{Context, bail, ensure};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, Header,
    jwk::{Jwk, JwkSet},
};

use crate::{
    auth::token::ring_provider,
    config::{AuthKey, TokenAlgorithm},
    limits::{CONFIG_FILE_BYTES_MAX, TOKEN_KEYS_MAX, TOKEN_RSA_BYTES_MIN, TOKEN_SECRET_BYTES_MIN},
    refusal::TokenFault,
};

/// SEC 1 §2.3.3: an uncompressed point on P-256.
const P256_POINT_BYTES: usize = 65;

/// A key, and the tokens that it is for.
pub struct Key {
    /// The `kid` of its tokens; `None`: tokens that no other key names.
    pub kid: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    /// The key in the form that checks signatures.
    pub(super) decoding: DecodingKey,
    /// Where it comes from, for people.
    pub origin: Box<str>,
}

impl Key {
    /// Whether it may verify tokens of this algorithm.
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether it has signed a token with this header.
    ///
    /// # Errors
    /// It has not, or the claims cannot be read.
    pub fn check(&self, token: &[u8], header: &Header) -> Result<(), TokenFault> {
        super::read_with(self, token, header).map(|_| ())
    }

    /// The algorithms that it may verify.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }
}

/// Keys that may have signed a token.
#[derive(Default, Clone)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
}

impl KeySet {
    /// Reads the keys of a configuration, except those at URLs; `variable` reads the environment.
    ///
    /// # Errors
    /// A key that cannot be read or that does not fit its algorithms.
    pub fn load(
        tables: &[AuthKey],
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> anyhow::Result<Self> {
        ring_provider::install();
        let mut keys = Vec::new();
        for (place, table) in tables.iter().enumerate() {
            let read = read(table, &variable).with_context(|| numbered(place))?;
            keys.extend(read.into_iter().map(Arc::new));
        }
        ensure!(
            keys.len() <= TOKEN_KEYS_MAX,
            "[[auth.key]]: there are {} keys; there may be at most {TOKEN_KEYS_MAX}",
            keys.len()
        );
        Ok(Self { keys })
    }

    /// The files that [`Self::load`] reads.
    pub fn files(tables: &[AuthKey]) -> impl Iterator<Item = &Path> {
        tables
            .iter()
            .flat_map(|table| [&table.secret_file, &table.pem_file, &table.jwks_file])
            .flatten()
            .map(Path::new)
    }

    /// These keys and others.
    pub fn with(&self, others: impl IntoIterator<Item = Arc<Key>>) -> Self {
        Self { keys: self.keys.iter().cloned().chain(others).collect() }
    }

    /// Whether a key has this name.
    pub fn names(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The keys that a token with this `kid` may be signed with.
    pub fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = &Key> {
        self.iter().filter(move |key| match (kid, &key.kid) {
            (Some(kid), Some(own)) => *kid == **own,
            (None, _) | (_, None) => true,
        })
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(|key| &**key)
    }
}

/// A table in messages.
pub(super) fn numbered(place: usize) -> String {
    format!("[[auth.key]] number {}", place + 1)
}

fn read(table: &AuthKey, variable: &impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Vec<Key>> {
    let AuthKey { kid, secret_file, secret_env, pem_file, jwks_file, jwks_url, .. } = table;
    let algorithms = algorithms_of(table);
    ensure!(
        table.jwks_ca_file.is_none() || jwks_url.is_some(),
        "jwks_ca_file: it is for a jwks_url; remove it"
    );
    let kid = kid.as_deref();
    let one = |decoding, origin: String| {
        key(kid.map(Box::from), &algorithms, decoding, origin).map(|key| vec![key])
    };
    match (secret_file, secret_env, pem_file, jwks_file, jwks_url) {
        (Some(path), None, None, None, None) => {
            one(secret(without_line_end(&read_file(path)?))?, format!("secret_file {path}"))
        }
        (None, Some(name), None, None, None) => {
            let Some(value) = variable(name) else {
                bail!("secret_env: the environment has no variable {}", shown(name));
            };
            one(secret(value.as_encoded_bytes())?, format!("secret_env {name}"))
        }
        (None, None, Some(path), None, None) => {
            let family = family(&algorithms)?;
            let pem = read_file(path)?;
            one(public_key(&pem, family, path)?, format!("pem_file {path}"))
        }
        (None, None, None, Some(path), None) => {
            ensure!(kid.is_none(), "{NAMES_ITSELF}");
            of_document(&read_file(path)?, &algorithms, &format!("jwks_file {path}"))
        }
        // They are fetched later.
        (None, None, None, None, Some(_)) => {
            ensure!(kid.is_none(), "{NAMES_ITSELF}");
            Ok(Vec::new())
        }
        (None, None, None, None, None) => {
            bail!("it has no source; add secret_file, secret_env, pem_file, jwks_file or jwks_url")
        }
        _ => bail!("it has several sources; write a section for each"),
    }
}

const NAMES_ITSELF: &str = "kid: a JWKS document names its keys itself; remove it";

/// The algorithms that a table lists.
pub(super) fn algorithms_of(table: &AuthKey) -> Vec<Algorithm> {
    table.algorithms.iter().map(|algorithm| of_word(*algorithm)).collect()
}

/// The keys of a JWKS document that may verify one of these algorithms. Others, such as keys for
/// encryption, are left out, as RFC 7517 §5 asks.
///
/// # Errors
/// The document is not a JWKS document, or it has no such key.
pub fn of_document(
    document: &[u8],
    algorithms: &[Algorithm],
    origin: &str,
) -> anyhow::Result<Vec<Key>> {
    let set: JwkSet = serde_json::from_slice(document)
        // The text of the error may have a part of the document, which may have secret keys.
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            anyhow::anyhow!("{origin}: not a JWKS document: wrong at line {line}, column {column}")
        })?;
    let keys: Vec<_> = set.keys.iter().filter_map(|jwk| of_jwk(jwk, algorithms, origin)).collect();
    ensure!(!keys.is_empty(), "{origin}: it has no key for the algorithms that are listed");
    ensure!(
        keys.len() <= TOKEN_KEYS_MAX,
        "{origin}: it has {} keys; there may be at most {TOKEN_KEYS_MAX}",
        keys.len()
    );
    Ok(keys)
}

fn of_jwk(jwk: &Jwk, algorithms: &[Algorithm], origin: &str) -> Option<Key> {
    use jsonwebtoken::jwk::PublicKeyUse;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    let own = jwk.common.key_algorithm.map(Algorithm::try_from);
    let algorithms: Vec<_> = algorithms
        .iter()
        .copied()
        .filter(|algorithm| algorithm.family() == decoding.family())
        .filter(|algorithm| match &own {
            Some(Ok(own)) => own == algorithm,
            Some(Err(_)) => false,
            None => true,
        })
        .collect();
    let kid = jwk.common.key_id.as_deref().map(Box::from);
    if algorithms.is_empty() {
        return None;
    }
    key(kid, &algorithms, decoding, origin.to_owned()).ok()
}

/// A key whose family and size fit its algorithms.
fn key(
    kid: Option<Box<str>>,
    algorithms: &[Algorithm],
    decoding: DecodingKey,
    origin: String,
) -> anyhow::Result<Key> {
    let family = family(algorithms)?;
    if family != decoding.family() {
        match decoding.family() {
            AlgorithmFamily::Hmac => bail!("algorithms: a secret is for \"HS256\" alone"),
            _ => bail!("algorithms: a public key never verifies \"HS256\""),
        }
    }
    let bytes = match decoding.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len(),
    };
    match family {
        AlgorithmFamily::Hmac if bytes < TOKEN_SECRET_BYTES_MIN => bail!(
            "{origin}: the secret has {bytes} bytes; RFC 7518 asks for {TOKEN_SECRET_BYTES_MIN} \
             or more, such as those of \"openssl rand -hex 32\""
        ),
        AlgorithmFamily::Rsa if bytes < TOKEN_RSA_BYTES_MIN => {
            bail!("{origin}: the RSA key is too short; RFC 7518 asks for 2048 bits or more")
        }
        AlgorithmFamily::Ec if bytes != P256_POINT_BYTES => {
            bail!("{origin}: \"ES256\" needs a key on P-256")
        }
        _ => {}
    }
    Ok(Key { kid, algorithms: algorithms.to_vec(), decoding, origin: origin.into() })
}

/// The one family of these algorithms.
fn family(algorithms: &[Algorithm]) -> anyhow::Result<AlgorithmFamily> {
    let family = algorithms.first().context("algorithms: none is listed")?.family();
    match algorithms.iter().all(|algorithm| algorithm.family() == family) {
        true => Ok(family),
        false => bail!("algorithms: one key cannot have all of them; write a section for each key"),
    }
}

fn public_key(pem: &[u8], family: AlgorithmFamily, path: &str) -> anyhow::Result<DecodingKey> {
    if pem.windows(12).any(|window| window == b"PRIVATE KEY-") {
        bail!("pem_file: {path} has a private key; the gateway needs the public one alone");
    }
    let key = match family {
        AlgorithmFamily::Hmac => bail!("algorithms: a public key never verifies \"HS256\""),
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
    };
    key.map_err(|_| {
        anyhow::anyhow!("pem_file: {path} has no public key in PEM for the algorithms listed")
    })
}

fn secret(bytes: &[u8]) -> anyhow::Result<DecodingKey> {
    DecodingKey::from_secret(bytes).map_err(|_| anyhow::anyhow!("the secret is empty"))
}

/// A file of a bounded size.
///
/// # Errors
/// It cannot be read, or is too large.
pub fn read_file(path: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .with_context(|| format!("{path}: cannot be read"))?;
    ensure!(bytes.len() as u64 <= CONFIG_FILE_BYTES_MAX, "{path}: it has more than 1 MiB");
    Ok(bytes)
}

/// The name of a variable for a message, unless it looks like a secret that was written in its place.
pub fn shown(variable: &str) -> &str {
    let is_usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if variable.bytes().all(is_usual) { variable } else { "of this name" }
}

/// Editors end a file with a line end.
pub fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// The algorithm of a word in the configuration.
pub fn of_word(word: TokenAlgorithm) -> Algorithm {
    match word {
        TokenAlgorithm::Hs256 => Algorithm::HS256,
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Ps256 => Algorithm::PS256,
        TokenAlgorithm::Es256 => Algorithm::ES256,
        TokenAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
