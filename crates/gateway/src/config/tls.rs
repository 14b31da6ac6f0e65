//! `[tls]` as the settings of servers, and the relations between its keys.
//!
//! It reads no file of a certificate.

use std::path::PathBuf;

use ringway_tls::{
    Suite,
    certificates::PairFiles,
    server::{self, ServerSettings, Version},
};

use crate::config::{ClientCertificates, Config, TlsVersion};

/// The cipher suites of a configuration, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherSuites(Vec<Suite>);

impl CipherSuites {
    /// The suites with these names, which were checked.
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut suites = Vec::new();
        for suite in names.into_iter().filter_map(Suite::named) {
            if !suites.contains(&suite) {
                suites.push(suite);
            }
        }
        Self(suites)
    }
}

impl Config {
    /// The files of the certificates.
    pub fn pair_files(&self) -> Vec<PairFiles> {
        let pairs = self.certificates.iter().map(|pair| PairFiles {
            certificate: PathBuf::from(&pair.certificate_file),
            key: PathBuf::from(pair.key_file.as_ref().unwrap_or(&pair.certificate_file)),
        });
        pairs.collect()
    }

    /// The settings of the server that listeners with TLS share.
    pub fn tls_settings(&self) -> ServerSettings {
        let ca = || {
            let path = self.tls.client_ca_file.as_ref();
            PathBuf::from(path.expect("it was checked to be set"))
        };
        ServerSettings {
            pairs: self.pair_files(),
            version_min: match self.tls.version_min {
                TlsVersion::Tls12 => Version::Tls12,
                TlsVersion::Tls13 => Version::Tls13,
            },
            suites: self.tls.cipher_suites.as_ref().map(|suites| suites.0.clone()),
            clients: match self.tls.client_certificates {
                ClientCertificates::None => server::ClientCertificates::None,
                ClientCertificates::Optional => server::ClientCertificates::Optional(ca()),
                ClientCertificates::Required => server::ClientCertificates::Required(ca()),
            },
        }
    }

    /// Whether a listener speaks TLS.
    pub fn has_tls_listener(&self) -> bool {
        self.listeners.iter().any(|listener| listener.tls)
    }

    /// What is wrong with the keys of TLS together: the key to blame, and the message.
    pub(super) fn tls_faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.has_tls_listener() && self.certificates.is_empty() {
            let mend = "there is no certificate; write [[tls.certificate]] with \
                        certificate_file and key_file in the configuration file";
            faults.push(("listener.tls", format!("listener.tls = true, but {mend}")));
        }
        let asks = self.tls.client_certificates != ClientCertificates::None;
        if asks && self.tls.client_ca_file.is_none() {
            let key = "tls.client_certificates";
            let mend = "needs tls.client_ca_file, the authorities that issue them";
            faults.push((key, format!("{key} {mend}")));
        }
        if let Some(CipherSuites(suites)) = &self.tls.cipher_suites {
            let has_tls13 = suites.iter().any(|suite| suite.is_tls13());
            let is_only_12 = !has_tls13 && self.tls.version_min == TlsVersion::Tls13;
            if is_only_12 {
                let mend = "has no suite of TLS 1.3, which tls.version_min demands; add \
                            \"TLS_AES_128_GCM_SHA256\"";
                faults.push(("tls.cipher_suites", format!("tls.cipher_suites {mend}")));
            }
        }
        faults
    }
}
