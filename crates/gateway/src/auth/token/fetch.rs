//! Fetches a JWKS document from a URL. It blocks, within a bounded time, so it runs on a thread of
//! its own.
//!
//! A redirect never leads from https to http, no more than `JWKS_BYTES_MAX` are read, and no part of
//! an answer is in an error.

use std::fs;

use anyhow::{Context, anyhow, bail, ensure};
use jsonwebtoken::Algorithm;
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig},
};

use crate::{
    auth::token::keys::{self, Key},
    config::AuthKey,
    limits::{JWKS_BYTES_MAX, JWKS_TIMEOUT},
};

/// RFC 7517 §8.5.2; many issuers know only the general type.
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
    pub fn fetch(&self) -> anyhow::Result<Vec<Key>> {
        let mut response = self.agent.get(&self.url).call()?;
        let body = response.body_mut().with_config().limit(JWKS_BYTES_MAX).read_to_vec()?;
        keys::of_document(&body, &self.algorithms, &format!("jwks_url {}", self.url))
    }
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
