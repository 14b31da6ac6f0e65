//! TLS of one connection: converts bytes of the socket to plain bytes and back.
//!
//! It never touches a socket. Trust is decided once, for the whole run.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::failure::Reason;

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

/// The TLS configuration of every connection of a run.
#[derive(Debug, Clone)]
pub struct Security {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Security {
    /// The configuration for a server with this name, which its certificate must contain.
    ///
    /// # Errors
    /// The file does not exist or contains no certificate, or no certificate can contain the name.
    pub fn new(host: &str, trust: &Trust) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .context("TLS 1.2 and 1.3")?;
        let mut config = match trust {
            Trust::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
            Trust::File(path) => {
                builder.with_root_certificates(file_roots(path)?).with_no_client_auth()
            }
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnybodyVerifier(provider)))
                .with_no_client_auth(),
        };
        // RFC 7301: without it some servers would choose HTTP/2, which has no Upgrade.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.to_owned())
            .with_context(|| format!("a certificate cannot name `{host}`"))?;
        Ok(Self { config: Arc::new(config), name })
    }
}

fn system_roots() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ensure!(
        added > 0,
        "this system has no certificate authorities; install ca-certificates, or give one by --ca"
    );
    Ok(roots)
}

fn file_roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    for certificate in CertificateDer::pem_reader_iter(BufReader::new(file)) {
        let certificate = certificate.with_context(|| format!("{} is not PEM", path.display()))?;
        roots
            .add(certificate)
            .with_context(|| format!("a certificate in {} is invalid", path.display()))?;
    }
    ensure!(!roots.is_empty(), "{} has no certificate in it", path.display());
    Ok(roots)
}

/// One connection's session.
#[derive(Debug)]
pub struct Session(ClientConnection);

impl Session {
    /// A session whose first handshake message is ready to send.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(security: &Security) -> Result<Self, Reason> {
        let session = ClientConnection::new(security.config.clone(), security.name.clone());
        let mut session = session.map_err(|error| reason(&error))?;
        // Sends are bounded elsewhere.
        session.set_buffer_limit(None);
        Ok(Self(session))
    }

    /// Encrypts `plain`, or keeps it until the handshake is complete.
    pub fn send(&mut self, plain: &[u8]) {
        self.0.writer().write_all(plain).expect("this buffer has no limit");
    }

    /// Whether there are bytes to send.
    pub fn has_output(&self) -> bool {
        self.0.wants_write()
    }

    /// Appends the bytes to send to `out`.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        while self.0.wants_write() {
            self.0.write_tls(out).expect("writing to a Vec cannot fail");
        }
    }

    /// Reads bytes from the socket; appends the decrypted bytes to `plain`.
    ///
    /// # Errors
    /// The server violated TLS, or its certificate is not trusted.
    pub fn receive(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), Reason> {
        while !bytes.is_empty() {
            if self.0.read_tls(&mut bytes).is_err() {
                return Err(Reason::named("tls_too_much"));
            }
            let state = self.0.process_new_packets().map_err(|error| reason(&error))?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            match self.0.reader().read_exact(&mut plain[start..]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => plain.truncate(start),
                Err(_) => return Err(Reason::named("tls_error")),
            }
        }
        Ok(())
    }
}

fn reason(error: &rustls::Error) -> Reason {
    Reason::named(match error {
        rustls::Error::InvalidCertificate(fault) => match fault {
            CertificateError::UnknownIssuer => "tls_certificate_unknown_issuer".into(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "tls_certificate_expired".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "tls_certificate_other_name".into()
            }
            other => format!("tls_certificate_{}", fault_name(&format!("{other:?}"))).into(),
        },
        rustls::Error::AlertReceived(alert) => format!("tls_alert_{}", u8::from(*alert)).into(),
        rustls::Error::InvalidMessage(_) => "tls_not_tls".into(),
        rustls::Error::PeerIncompatible(_) => "tls_incompatible".into(),
        _ => std::borrow::Cow::Borrowed("tls_error"),
    })
}

/// The fault of a certificate as one word with underscores: the innermost name in the debug form of
/// an error, such as `CaUsedAsEndEntity` in `Other(OtherError(CaUsedAsEndEntity))`.
fn fault_name(debug: &str) -> String {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric();
    // The fields of an error, such as the time, are not part of its name.
    let variant = debug.split([' ', '{']).next().unwrap_or_default();
    let name = variant.split(|letter| !is_letter(letter)).rfind(|part| !part.is_empty());
    let mut words = String::new();
    for letter in name.unwrap_or("invalid").trim_end_matches("Context").chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
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
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
