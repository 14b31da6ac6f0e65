//! The output of `ringway check`: the configuration that a start would use, from the same table of
//! keys as everything else, and the warnings of a start. It never changes a value.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use ringway_tls::certificates::{Description, Pair};

use crate::config::{
    AuthKey, Certificate, ClientCertificates, Config, ConfigError, Reach, Sources,
    error::{Faults, Origin},
    file::Tables,
    read, resolve, routes,
    table::SECTIONS,
    units, value,
};

/// The column of a value's source, if the value is short enough.
const SOURCE_COLUMN: usize = 40;

/// Loads the sources as a start would, and returns the text of `ringway check FILE`: `FILE: ok`,
/// the warnings of a start, and every key with its value. The text is a valid configuration file; a
/// comment names the source of each value that is not a default.
pub fn check(sources: &Sources) -> Result<String, ConfigError> {
    let (config, tables) = resolve::load_tables(sources)?;
    let name = match &sources.file {
        Some(path) => path.display().to_string(),
        None => "defaults".to_owned(),
    };
    let certificates = certificates(&config, &tables)?;
    let mut text = format!("{name}: ok\n");
    for warning in config.warnings() {
        line(&mut text, &format!("warning: {warning}"));
    }
    let (buffers, bytes) = (config.server.receive_buffers, config.server.receive_buffer_bytes);
    let memory = units::size_text(u64::from(buffers) * u64::from(bytes));
    line(&mut text, &format!("note: the receive buffers of each core take {memory} of memory"));
    text += &certificates;
    for route in &config.routes {
        line(&mut text, &format!("note: {}", routes::describe(route)));
    }
    write_values(&mut text, &tables);
    Ok(text)
}

/// What the certificates are; a fault of one is a fault of the configuration.
fn certificates(config: &Config, tables: &Tables) -> Result<String, ConfigError> {
    let (mut text, mut faults) = (String::new(), Faults::default());
    let sections = tables.each(Certificate::SECTION);
    for (files, values) in config.pair_files().iter().zip(sections) {
        let pair = match Pair::read(files) {
            Ok(pair) => pair,
            Err(error) => {
                let written = values.get("tls.certificate.certificate_file");
                let origin = written.map_or(Origin::Default, |assigned| assigned.origin.clone());
                faults.add(origin, error.to_string());
                continue;
            }
        };
        let Description { names, key, not_after, chain, .. } = pair.description();
        let (date, chain) = (httpdate::fmt_http_date(*not_after), chain.join(" <- "));
        let is_over = *not_after < SystemTime::now();
        let kind = if is_over { "warning" } else { "note" };
        let state = if is_over { "expired on" } else { "valid until" };
        line(
            &mut text,
            &format!(
                "{kind}: {}: for {}; {key}, and the key file has its key; {state} {date}; chain in \
                 order: {chain}",
                files.certificate.display(),
                names.join(", ")
            ),
        );
        if let Some(advice) = exposed_file(&files.key) {
            line(&mut text, &format!("warning: {advice}"));
        }
    }
    faults.check()?;
    Ok(text)
}

/// What an operator should change about a file with a secret that every user can access.
pub fn exposed_file(path: &Path) -> Option<String> {
    let (mode, path) = (fs::metadata(path).ok()?.mode(), path.display());
    (mode & 0o007 != 0)
        .then(|| format!("every user of this machine can access {path}; run: chmod o= {path}"))
}

fn write_values(text: &mut String, tables: &Tables) {
    for section in SECTIONS {
        for values in tables.of(section) {
            text.push('\n');
            line(text, &section.header());
            for key in section.keys {
                let Some(assigned) = read::assigned(key, values) else { continue };
                let value = value::text(&key.kind, &assigned.value);
                let written = format!("{} = {value}", key.name());
                match assigned.origin {
                    Origin::Default => line(text, &written),
                    origin => line(text, &format!("{written:<SOURCE_COLUMN$} # {origin}")),
                }
            }
        }
    }
}

impl Config {
    /// Settings that are allowed but that an operator should know about; one line each, logged at
    /// every start.
    pub fn warnings(&self) -> Vec<String> {
        let addresses: Vec<_> = self.listeners.iter().map(|listener| listener.address).collect();
        let server = &self.server;
        self.warnings_at(&addresses, server.api_socket.is_empty().then_some(server.api_listen))
    }

    /// The error for `what`, a socket for clients on this address, if other machines can reach it
    /// and the configuration does not allow that.
    pub fn exposure(&self, what: &str, address: SocketAddr) -> Option<String> {
        let is_exposed = Reach::of(address) == Reach::OtherMachines;
        let needs_none = self.admits_anonymous();
        (is_exposed && needs_none && !self.server.allow_anonymous_on_public_address).then(|| {
            format!(
                "{what} can be reached from other machines, and clients need no credentials; add an \
                 [[auth.key]], listen on 127.0.0.1 behind a proxy that asks for credentials, or set \
                 server.allow_anonymous_on_public_address = true"
            )
        })
    }

    /// The error for `what`, the private API on this address, if other machines can reach it and it
    /// has no key.
    pub fn api_exposure(&self, what: &str, address: SocketAddr) -> Option<String> {
        let is_exposed = Reach::of(address) == Reach::OtherMachines && self.api_keys.is_empty();
        is_exposed.then(|| {
            format!(
                "{what} can be reached from other machines, and the private API asks for no key; \
                 add a [[server.api_key]], listen on 127.0.0.1, or set server.api_socket"
            )
        })
    }

    /// Whether a client may connect without a token and without a certificate that names it.
    fn admits_anonymous(&self) -> bool {
        let are_named = self.tls.client_id_from_certificate
            && self.tls.client_certificates == ClientCertificates::Required
            && self.listeners.iter().all(|listener| listener.speaks_tls);
        (self.auth_keys.is_empty() || self.auth.anonymous) && !are_named
    }

    /// The same after the addresses are bound, when port 0 has become a real port; `api` is `None`
    /// if the private API has a unix socket.
    pub fn warnings_at(&self, addresses: &[SocketAddr], api: Option<SocketAddr>) -> Vec<String> {
        let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        let mut warnings = Vec::new();
        if self.admits_anonymous() {
            let names = match self.auth_keys.is_empty() {
                true => {
                    "there is no [[auth.key]], so each takes any name it likes, and gets what is \
                     sent to that name"
                }
                false => {
                    "auth.anonymous is true; their names begin with \"anon-\", and \
                     clients.may_subscribe, may_publish and may_notify say what they may do"
                }
            };
            warnings.push(format!(
                "anonymous clients are allowed: every client that can reach {} may connect without \
                 credentials; {names}",
                addresses.join(", ")
            ));
        }
        for url in self.auth_keys.iter().filter_map(AuthKey::unprotected_url) {
            warnings.push(format!(
                "auth.key.jwks_url = \"{url}\" is fetched over plain http: whoever can change its \
                 answer on the way can sign tokens for every client; use https://"
            ));
        }
        let expects_header = self.listeners.iter().find(|listener| listener.proxy_protocol);
        if let Some(listener) = expects_header.filter(|_| self.server.trusted_proxies.is_empty()) {
            warnings.push(format!(
                "nobody can connect to {}: listener.proxy_protocol = true, but \
                 server.trusted_proxies names no load balancer",
                listener.address
            ));
        }
        warnings.extend(self.routes.iter().filter_map(routes::hidden));
        let is_exposed = |api: &SocketAddr| Reach::of(*api) == Reach::OtherMachines;
        if let Some(api) = api.filter(|api| is_exposed(api) && !self.server.api_speaks_tls) {
            warnings.push(format!(
                "server.api_listen = \"{api}\" can be reached from other machines, and the private \
                 API speaks plain text: its keys and events can be read on the way; set \
                 server.api_speaks_tls = true, or use a network that nobody else reads"
            ));
        }
        warnings
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}
