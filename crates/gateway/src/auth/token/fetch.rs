//! Fetches a JWKS document from a URL. It blocks, within a bounded time, so it runs on a thread of
//! its own.
//!
//! How long an answer says that it is fresh is read, and not judged. A redirect never leads from https to http, no more than `JWKS_BYTES_MAX` are read, and no part of
//! an answer is in an error.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context, anyhow, bail, ensure};
use jsonwebtoken::Algorithm;
use ureq::{
    Agent,
    http::HeaderMap,
    tls::{Certificate, PemItem, RootCerts, TlsConfig},
};

use crate::{
    auth::token::keys::{self, Key},
    config::AuthKey,
    limits::{JWKS_BYTES_MAX, JWKS_TIMEOUT},
};

/// RFC 7517 §8.5.2; many issuers send the general type.
const ACCEPTED: &str = "application/jwk-set+json, application/json";

const REDIRECTS_MAX: u32 = 3;

/// A URL with keys.
pub struct Source {
    url: String,
    algorithms: Vec<Algorithm>,
    agent: Agent,
}

/// The sources of a configuration.
///
/// # Errors
/// A URL or a file of authorities cannot be used.
pub fn sources(tables: &[AuthKey]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (place, table) in tables.iter().enumerate() {
        let Some(url) = &table.jwks_url else { continue };
        let source = Source::new(url, table).with_context(|| keys::numbered(place))?;
        sources.push(source);
    }
    Ok(sources)
}

impl Source {
    fn new(url: &str, table: &AuthKey) -> anyhow::Result<Self> {
        let uri: ureq::http::Uri =
            url.parse().map_err(|_| anyhow!("jwks_url: \"{url}\" is not a URL"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("jwks_url: \"{url}\" begins with neither https:// nor http://"),
        };
        let authority = uri.authority().context("jwks_url: it names no host")?;
        // They would be in every log line that names the URL.
        ensure!(!authority.as_str().contains('@'), "jwks_url: it must not have a password");
        ensure!(
            is_https || table.jwks_ca_file.is_none(),
            "jwks_ca_file: it is for a jwks_url that begins with https://"
        );
        let mut config = Agent::config_builder()
            .timeout_global(Some(JWKS_TIMEOUT))
            .max_redirects(REDIRECTS_MAX)
            .https_only(is_https)
            .proxy(None)
            .accept(ACCEPTED)
            .user_agent(concat!("ringway/", env!("CARGO_PKG_VERSION")));
        if is_https {
            ringway_tls::install_for_process();
            let roots = match &table.jwks_ca_file {
                Some(path) => of_file(path)?,
                None => of_system()?,
            };
            let roots = RootCerts::new_with_certs(&roots);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let agent = Agent::new_with_config(config.build());
        Ok(Self { url: url.to_owned(), algorithms: keys::algorithms_of(table), agent })
    }

    /// Where the keys are, for people.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Fetches the keys.
    ///
    /// # Errors
    /// There is no answer in time, or it is not a JWKS document with a key for these algorithms.
    pub fn fetch(&self) -> anyhow::Result<Fetched> {
        let mut response = self.agent.get(&self.url).call()?;
        let fresh_for = freshness(response.headers(), SystemTime::now());
        let body = response.body_mut().with_config().limit(JWKS_BYTES_MAX).read_to_vec()?;
        let origin = format!("jwks_url {}", self.url);
        Ok(Fetched { keys: keys::of_document(&body, &self.algorithms, &origin)?, fresh_for })
    }
}

/// An issuer's answer.
pub struct Fetched {
    /// Its keys.
    pub keys: Vec<Key>,
    /// How long they may be kept, if it says so.
    pub fresh_for: Option<Duration>,
}

/// RFC 9111 §4.2.1: the freshness lifetime of a response, less the age that it has already.
fn freshness(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let texts = |name: &str| fields.get_all(name).into_iter().filter_map(|one| one.to_str().ok());
    let date =
        |name: &str| texts(name).next().and_then(|text| httpdate::parse_http_date(text).ok());
    let directives = || {
        texts("cache-control").flat_map(|value| value.split(',')).map(|directive| directive.trim())
    };
    // §5.2.2.4, §5.2.2.5: it must not be used again without a request.
    let is = |one: &str, name: &str| one.eq_ignore_ascii_case(name);
    if directives().any(|one| is(one, "no-store") || is(one, "no-cache")) {
        return Some(Duration::ZERO);
    }
    let max_age = directives().find_map(|one| {
        let (name, value) = one.split_once('=')?;
        // §4.2: a lifetime that cannot be read counts as over.
        is(name, "max-age").then(|| value.trim_matches('"').parse().unwrap_or(0))
    });
    let lifetime = match (max_age, texts("expires").next()) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(_)) => {
            let expires = date("expires").unwrap_or(SystemTime::UNIX_EPOCH);
            expires.duration_since(date("date").unwrap_or(now)).unwrap_or_default()
        }
        (None, None) => return None,
    };
    let age = texts("age").next().and_then(|text| text.parse().ok()).unwrap_or(0);
    Some(lifetime.saturating_sub(Duration::from_secs(age)))
}

fn of_file(path: &str) -> anyhow::Result<Vec<Certificate<'static>>> {
    let pem = fs::read(path).with_context(|| format!("jwks_ca_file: {path} cannot be read"))?;
    let items = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = items.collect();
    ensure!(!certificates.is_empty(), "jwks_ca_file: {path} has no certificate in PEM");
    Ok(certificates)
}

fn of_system() -> anyhow::Result<Vec<Certificate<'static>>> {
    let found = rustls_native_certs::load_native_certs().certs;
    ensure!(
        !found.is_empty(),
        "jwks_url: this system has no certificate authorities; install ca-certificates, or give \
         one by jwks_ca_file"
    );
    Ok(found.iter().map(|one| Certificate::from_der(one).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_its_keys_may_be_kept() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let (date, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 09:49:37 GMT");
        for (fields, wanted) in [
            (&[][..], None),
            (&[("cache-control", "public")], None),
            (&[("cache-control", "public, max-age=600")], Some(600)),
            (&[("cache-control", "Max-Age=\"600\""), ("age", "500")], Some(100)),
            (&[("cache-control", "max-age=600"), ("age", "700")], Some(0)),
            (&[("cache-control", "max-age=600, no-cache")], Some(0)),
            (&[("cache-control", "private"), ("cache-control", "no-store")], Some(0)),
            (&[("cache-control", "max-age=-1")], Some(0)),
            (&[("cache-control", "max-age=99999999999999999999999")], Some(0)),
            (&[("cache-control", "max-age=60"), ("expires", later)], Some(60)),
            (&[("expires", later)], Some(3600)),
            (&[("expires", later), ("date", later)], Some(0)),
            (&[("expires", date), ("date", later)], Some(0)),
            (&[("expires", "0")], Some(0)),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in fields {
                map.append(*name, value.parse().unwrap());
            }
            assert_eq!(freshness(&map, now), wanted.map(Duration::from_secs), "{fields:?}");
        }
    }
}
