//! A server's certificates: pairs of files, checked, and chosen by the name that a client asks for.
//!
//! It watches no file: the caller reads the pairs again when they have changed.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    SignatureAlgorithm,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, public_key::PublicKey,
};

use crate::{TlsError, provider::library::any_supported_type};

/// The files of a certificate with its chain, and of its key, in PEM. They may be the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// The server's certificate first, then the authorities' that lead to the root.
    pub certificate: PathBuf,
    /// The key of the first certificate.
    pub key: PathBuf,
}

/// A pair that was read and checked.
#[derive(Debug)]
pub struct Pair {
    files: PairFiles,
    description: Description,
    key: Arc<CertifiedKey>,
}

/// What an operator wants to know of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The names that clients may ask for.
    pub names: Vec<String>,
    /// The kind of its key.
    pub key: KeyKind,
    /// When its validity begins.
    pub not_before: SystemTime,
    /// When the first certificate of the chain expires.
    pub not_after: SystemTime,
    /// The subjects of the chain, the server's first, and the issuer of the last one.
    pub chain: Vec<String>,
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// An elliptic curve, of this many bits.
    Ecdsa(usize),
    /// RSA, of this many bits.
    Rsa(usize),
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ecdsa(bits) => write!(formatter, "ECDSA P-{bits}"),
            Self::Rsa(bits) => write!(formatter, "RSA {bits} bits"),
            Self::Ed25519 => formatter.write_str("Ed25519"),
        }
    }
}

impl Pair {
    /// Reads a pair, and checks that it can serve clients.
    ///
    /// # Errors
    /// A file is missing, unreadable, not PEM, or lacks what it should have; the chain is out of
    /// order; the key is of another certificate.
    pub fn read(files: &PairFiles) -> Result<Self, TlsError> {
        let chain = read_chain(&files.certificate)?;
        let description = describe(&files.certificate, &chain)?;
        let key = read_key(&files.key)?;
        let key = any_supported_type(&key).map_err(|error| {
            TlsError::in_file(
                &files.key,
                format!("the key cannot be used ({error}); make an ECDSA key on P-256, or an RSA key of at least 2048 bits"),
            )
        })?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| {
            TlsError::in_file(
                &files.key,
                format!(
                    "this is not the key of the first certificate in {}; give the key from which \
                     that certificate was requested, and put the server's certificate first",
                    files.certificate.display()
                ),
            )
        })?;
        Ok(Self { files: files.clone(), description, key: Arc::new(key) })
    }

    /// Its files.
    pub fn files(&self) -> &PairFiles {
        &self.files
    }

    /// What an operator wants to know of it.
    pub fn description(&self) -> &Description {
        &self.description
    }
}

fn open(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| {
        let mend = match error.kind() {
            io::ErrorKind::NotFound => "; is the path right, seen from the working directory?",
            io::ErrorKind::PermissionDenied => "; let the user of the gateway read it",
            _ => "",
        };
        TlsError::in_file(path, format!("cannot be read: {error}{mend}"))
    })
}

/// The certificates of a file in PEM.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = open(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| {
        TlsError::in_file(path, format!("is not PEM ({error}); convert it with openssl x509"))
    })?;
    if certificates.is_empty() {
        let mend = "has no certificate; it must have a block that begins with \
                    -----BEGIN CERTIFICATE-----";
        return Err(TlsError::in_file(path, mend));
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = open(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
        let mend = match text.windows(encrypted.len()).any(|window| window == encrypted) {
            true => "the key is encrypted by a passphrase; write it without one by openssl pkey",
            false => {
                "has no private key; it must have a block that begins with \
                 -----BEGIN PRIVATE KEY-----"
            }
        };
        TlsError::in_file(path, mend)
    })
}

fn describe(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Description, TlsError> {
    let parsed: Vec<_> = chain.iter().map(|der| parse(path, der)).collect::<Result<_, _>>()?;
    for (place, pair) in parsed.windows(2).enumerate() {
        if pair[0].issuer() != pair[1].subject() {
            return Err(TlsError::in_file(
                path,
                format!(
                    "the chain is out of order: certificate {} was issued by \"{}\", but the next \
                     one is \"{}\"; write the server's certificate first, and below each one the \
                     certificate of its issuer",
                    place + 1,
                    pair[0].issuer(),
                    pair[1].subject()
                ),
            ));
        }
    }
    let first = &parsed[0];
    let names = names(first);
    if names.is_empty() {
        let mend = "the first certificate has no name (subjectAltName), so that no client would \
                    accept it; request one for the host names of the listener";
        return Err(TlsError::in_file(path, mend));
    }
    let key = key_kind(first).ok_or_else(|| {
        TlsError::in_file(path, "the key of the certificate is neither ECDSA, RSA nor Ed25519")
    })?;
    let mut subjects: Vec<_> = parsed.iter().map(|one| one.subject().to_string()).collect();
    subjects.extend(parsed.last().map(|last| last.issuer().to_string()));
    let not_after = parsed.iter().map(|one| one.validity().not_after.timestamp()).min();
    Ok(Description {
        names,
        key,
        not_before: time(first.validity().not_before.timestamp()),
        not_after: time(not_after.expect("a chain has a certificate")),
        chain: subjects,
    })
}

fn parse<'a>(path: &Path, der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, TlsError> {
    X509Certificate::from_der(der).map(|(_, certificate)| certificate).map_err(|error| {
        TlsError::in_file(path, format!("a certificate is damaged: {error}; copy it again"))
    })
}

fn time(seconds: i64) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => UNIX_EPOCH,
    }
}

fn key_kind(certificate: &X509Certificate<'_>) -> Option<KeyKind> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(KeyKind::Rsa(key.key_size())),
        Ok(PublicKey::EC(point)) => Some(KeyKind::Ecdsa(point.key_size())),
        // RFC 8410 §3: id-Ed25519.
        _ if certificate.public_key().algorithm.algorithm.to_id_string() == "1.3.101.112" => {
            Some(KeyKind::Ed25519)
        }
        _ => None,
    }
}

/// The names and addresses that a certificate is for, in lower case.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
        GeneralName::IPAddress(bytes) => {
            let bytes: [u8; 16] = (*bytes).try_into().ok()?;
            Some(std::net::Ipv6Addr::from(bytes).to_string())
        }
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(name).collect()
}

/// The name that a client's certificate is for: its first alternative name, else its common name.
pub fn client_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some((*name).to_owned())
            }
            _ => None,
        };
        if let Some(name) = alternative.value.general_names.iter().find_map(name) {
            return Some(name);
        }
    }
    let common = certificate.subject().iter_common_name().next()?;
    common.as_str().ok().map(str::to_owned)
}

/// The certificates of a server; the first one is the default.
#[derive(Debug)]
pub struct Certificates(Vec<Pair>);

impl Certificates {
    /// Reads all pairs.
    ///
    /// # Errors
    /// See [`Pair::read`]; none is used if one is bad.
    pub fn read(files: &[PairFiles]) -> Result<Self, TlsError> {
        if files.is_empty() {
            return Err(TlsError::new("there is no certificate"));
        }
        files.iter().map(Pair::read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one has an RSA key, whose signatures are slow.
    pub fn has_rsa(&self) -> bool {
        self.0.iter().any(|pair| matches!(pair.description.key, KeyKind::Rsa(_)))
    }

    /// The pairs, in their order.
    pub fn pairs(&self) -> &[Pair] {
        &self.0
    }
}

/// The pairs that match best: those with this very name, else those with a wildcard for it, else
/// the first pair and others with the same names. Among these, the first that the client supports.
impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = |wanted: &str| {
            let has_name = |pair: &&Pair| pair.description.names.iter().any(|name| name == wanted);
            self.0.iter().filter(has_name).collect::<Vec<_>>()
        };
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let mut found = name.as_deref().map(named).unwrap_or_default();
        // RFC 9525 §6.3: a wildcard stands for one label, the leftmost.
        if found.is_empty()
            && let Some((_, parent)) = name.as_deref().and_then(|name| name.split_once('.'))
        {
            found = named(&format!("*.{parent}"));
        }
        if found.is_empty() {
            let names = &self.0[0].description.names;
            found = self.0.iter().filter(|pair| pair.description.names == *names).collect();
        }
        // ECDSA first: a signature costs a tenth of one by RSA.
        found.sort_by_key(|pair| pair.key.key.algorithm() == SignatureAlgorithm::RSA);
        let usable = found
            .iter()
            .find(|pair| pair.key.key.choose_scheme(hello.signature_schemes()).is_some());
        // If none fits, rustls says that nothing is in common; without a pair, it would say that the
        // client is denied access.
        usable.or(found.first()).map(|pair| Arc::clone(&pair.key))
    }
}
