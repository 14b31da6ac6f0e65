//! The client's role: which servers are trusted.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
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
    /// Connections to a server with this name, which its certificate must contain.
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
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError::new(format!("no certificate can be for `{host}`")))?;
        Ok(Self { config: Arc::new(config), name })
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
            "this system has no certificate authorities; install ca-certificates, or give one by \
             --ca",
        )),
        _ => Ok(roots),
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
