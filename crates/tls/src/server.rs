//! The server's role: which versions, suites, certificates and tickets connections are offered.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};

use crate::{
    Session, TlsError,
    certificates::{Certificates, PairFiles, read_chain},
    provider::{Suite, provider},
    tickets::{Demand, DemandTickets, Tickets},
};

/// The only protocol that is offered (RFC 7301): HTTP/2 has no `Upgrade`.
const PROTOCOL: &[u8] = b"http/1.1";

/// Tickets that a client gets for each connection: one is enough to come back.
const TICKETS: usize = 1;

/// What is offered to clients.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The pairs, the default first.
    pub pairs: Vec<PairFiles>,
    /// The oldest version.
    pub version_min: Version,
    /// The suites; `None` for all.
    pub suites: Option<Vec<Suite>>,
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Whether clients show certificates, and the file of the authorities that issue them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    None,
    /// A client may have one; if it shows one, it must be valid.
    Optional(PathBuf),
    /// A client without a valid one is refused.
    Required(PathBuf),
}

/// Makes the sessions of a listener. It is shared by all threads.
#[derive(Debug)]
pub struct Server {
    settings: ServerSettings,
    current: RwLock<Arc<Current>>,
    tickets: Arc<Tickets>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl Server {
    /// A server with these settings; its files are read now.
    ///
    /// # Errors
    /// A file or a combination of settings cannot be used.
    pub fn new(settings: ServerSettings, tickets: Arc<Tickets>) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(read(&settings, &tickets)?));
        Ok(Self { settings, current, tickets })
    }

    /// Reads the files again, for connections that come later. Tickets stay valid.
    ///
    /// # Errors
    /// As [`Self::new`]; then nothing has changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        let next = Arc::new(read(&self.settings, &self.tickets)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// The files that [`Self::reload`] reads.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.settings.pairs.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        let authorities = match &self.settings.clients {
            ClientCertificates::None => None,
            ClientCertificates::Optional(path) | ClientCertificates::Required(path) => Some(path),
        };
        pairs.chain(authorities).map(PathBuf::as_path)
    }

    /// The keys of its tickets.
    pub fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The certificates in use.
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.current().certificates)
    }

    #[cfg(test)]
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().config)
    }

    /// The session of a connection that was accepted.
    pub fn accept(&self) -> Session {
        let config = Arc::clone(&self.current().config);
        Session::server(config).expect("the fragment size, which is the default, is in range")
    }
}

fn read(settings: &ServerSettings, tickets: &Arc<Tickets>) -> Result<Current, TlsError> {
    let certificates = Arc::new(Certificates::read(&settings.pairs)?);
    let provider = provider(settings.suites.as_deref());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(settings.version_min))
        .map_err(|error| {
            TlsError::new(format!(
                "no cipher suite is left for the versions that are allowed ({error}); add one, or \
                 allow another version"
            ))
        })?;
    let verifier = |path: &Path| {
        let roots = Arc::new(roots(path)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        Ok::<_, TlsError>((builder, path.to_owned()))
    };
    let unusable = |path: &Path, error| TlsError::in_file(path, format!("cannot be used: {error}"));
    let builder = match &settings.clients {
        ClientCertificates::None => builder.with_no_client_auth(),
        ClientCertificates::Optional(path) => {
            let (verifier, path) = verifier(path)?;
            let verifier = verifier.allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|error| unusable(&path, error))?)
        }
        ClientCertificates::Required(path) => {
            let (verifier, path) = verifier(path)?;
            let verifier = verifier.build();
            builder.with_client_cert_verifier(verifier.map_err(|error| unusable(&path, error))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::<Certificates>::clone(&certificates));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // A client comes back to any core and any node, so nothing is kept here: the ticket has it all.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    let demand = demand(&settings.clients)?;
    config.ticketer = Arc::new(DemandTickets { tickets: Arc::clone(tickets), demand });
    config.send_tls13_tickets = TICKETS;
    Ok(Current { config: Arc::new(config), certificates })
}

/// The digest of what clients have to prove.
fn demand(clients: &ClientCertificates) -> Result<Demand, TlsError> {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let (kind, path) = match clients {
        ClientCertificates::None => (b"none", None),
        ClientCertificates::Optional(path) => (b"some", Some(path)),
        ClientCertificates::Required(path) => (b"each", Some(path)),
    };
    digest.update(kind);
    for certificate in path.map(|path| read_chain(path)).transpose()?.unwrap_or_default() {
        digest.update(&certificate);
    }
    Ok(digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

fn versions(least: Version) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match least {
        Version::Tls12 => &BOTH,
        Version::Tls13 => &BOTH[..1],
    }
}

/// The authorities in a file.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots.add(certificate).map_err(|error| {
            TlsError::in_file(path, format!("a certificate cannot be an authority: {error}"))
        })?;
    }
    Ok(roots)
}
