//! The client's role: which servers are trusted, and whether sessions are resumed.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, SignatureScheme,
    client::{
        ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{Session, TlsError, provider::provider, server::roots};

/// Which certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The authorities of this system.
    System,
    /// The authorities in this PEM file, and no others.
    File(PathBuf),
    /// Any certificate: the server is not verified.
    Anybody,
}

/// Makes the sessions of connections to one server.
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// Connections to a server with this name, which its certificate must contain. Each makes a
    /// full handshake.
    ///
    /// # Errors
    /// The file does not exist or contains no certificate, or no certificate can contain the name.
    pub fn new(host: &str, trust: &Trust) -> Result<Self, TlsError> {
        let provider = provider(None);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(error.to_string()))?;
        let mut config = match trust {
            Trust::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
            Trust::File(path) => builder.with_root_certificates(roots(path)?).with_no_client_auth(),
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnybodyVerifier(provider)))
                .with_no_client_auth(),
        };
        // RFC 7301: without it some servers would choose HTTP/2, which has no Upgrade.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError::new(format!("no certificate can be for `{host}`")))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Connections that resume sessions: each one uses up a ticket that an earlier one was given
    /// (RFC 8446 §C.4), and makes a full handshake if none is left.
    #[must_use]
    pub fn resuming(mut self) -> Self {
        let config = Arc::make_mut(&mut self.config);
        config.resumption = Resumption::store(Arc::new(SessionStore::default()));
        self
    }

    /// A session, whose first message is sent by [`Session::start`].
    pub fn connect(&self) -> Session {
        Session::client(Arc::clone(&self.config), self.name.clone())
            .expect("the fragment size, which is the default, is in range")
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match added {
        0 => Err(TlsError::new(
            "this system has no certificate authorities; install ca-certificates, or name a file \
             with one",
        )),
        _ => Ok(roots),
    }
}

/// Tickets that are kept at a time, so that thousands of connections can come back at once. rustls's
/// own store keeps eight.
const TICKETS_MAX: usize = 16 << 10;

/// The sessions with one server that can be resumed.
#[derive(Debug, Default)]
struct SessionStore(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl SessionStore {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for SessionStore {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.sessions().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.sessions().tls12 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.sessions().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.sessions().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let tickets = &mut self.sessions().tls13;
        if tickets.len() == TICKETS_MAX {
            tickets.pop_front();
        }
        tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.sessions().tls13.pop_back()
    }
}

/// Accepts any certificate, but still checks that the server has its key.
#[derive(Debug)]
struct AnybodyVerifier(Arc<CryptoProvider>);

impl ServerCertVerifier for AnybodyVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
