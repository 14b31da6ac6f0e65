//! Certificates for tests, in a directory that goes away.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use tempfile::TempDir;

use crate::{
    certificates::PairFiles,
    client::{Client, Trust},
    server::{ClientCertificates, Server, ServerSettings, Version},
    tickets::Tickets,
};

/// A directory with an authority and certificates that it issued.
pub struct Directory {
    pub directory: TempDir,
    authority: Issuer<'static, KeyPair>,
}

impl Directory {
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).expect("a file");
        Self { directory, authority: Issuer::new(params, key) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a pair for these names.
    pub fn pair(&self, file: &str, names: &[&str]) -> PairFiles {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        let files = PairFiles {
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
        };
        std::fs::write(&files.certificate, certificate.pem()).expect("a file");
        std::fs::write(&files.key, key.serialize_pem()).expect("a file");
        files
    }

    pub fn settings(&self) -> ServerSettings {
        ServerSettings {
            pairs: vec![self.pair("server", &["localhost", "*.example.org"])],
            version_min: Version::Tls12,
            suites: None,
            clients: ClientCertificates::None,
        }
    }

    pub fn server(&self) -> Server {
        Server::new(self.settings(), tickets()).expect("it is right")
    }

    pub fn client(&self, name: &str) -> Client {
        Client::new(name, &Trust::File(self.path("ca.pem"))).expect("it is right")
    }
}

pub fn tickets() -> Arc<Tickets> {
    Tickets::in_memory(Duration::from_secs(3_600), SystemTime::now()).expect("random keys")
}

pub fn ready() -> (Directory, Arc<Server>) {
    let directory = Directory::new();
    let server = Arc::new(directory.server());
    (directory, server)
}
