//! `[tls]` as the settings of servers, and the relations between its keys.
//!
//! It reads no file of a certificate.

use ringway_tls::{
    Suite,
    certificates::PairFiles,
    server::{self, ServerSettings, Version},
};

use crate::config::{ClientCertificates, Config, TlsVersion};

/// The cipher suites of a configuration; all if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CipherSuites(Vec<Suite>);

impl CipherSuites {
    /// The suites with these names, which were checked.
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().filter_map(Suite::named).collect())
    }
}

/// Which listener the settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// Listeners for clients.
    Clients,
    /// The private API.
    PrivateApi,
}

impl Config {
    /// The settings of TLS for a kind of listener.
    pub fn tls_settings(&self, tls_use: TlsUse) -> ServerSettings {
        let ca = || self.tls.client_ca_file.clone().expect("it was checked to be set");
        let pairs = self.certificates.iter().map(|pair| PairFiles {
            certificate: pair.certificate_file.clone(),
            key: pair.key_file.clone().unwrap_or_else(|| pair.certificate_file.clone()),
        });
        let suites = &self.tls.cipher_suites.0;
        ServerSettings {
            pairs: pairs.collect(),
            version_min: match self.tls.version_min {
                TlsVersion::Tls12 => Version::Tls12,
                TlsVersion::Tls13 => Version::Tls13,
            },
            suites: (!suites.is_empty()).then(|| suites.clone()),
            clients: match self.client_certificates(tls_use) {
                ClientCertificates::None => server::ClientCertificates::None,
                ClientCertificates::Optional => server::ClientCertificates::Optional(ca()),
                ClientCertificates::Required => server::ClientCertificates::Required(ca()),
            },
        }
    }

    fn client_certificates(&self, tls_use: TlsUse) -> ClientCertificates {
        match tls_use {
            TlsUse::Clients => self.tls.client_certificates,
            TlsUse::PrivateApi => self.tls.api_client_certificates,
        }
    }

    /// Whether a listener for clients speaks TLS.
    pub fn has_tls_listener(&self) -> bool {
        self.listeners.iter().any(|listener| listener.tls)
    }

    /// What is wrong with the keys of TLS together: the key to blame, and the message.
    pub(super) fn tls_faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for (key, is_on) in
            [("listener.tls", self.has_tls_listener()), ("server.api_tls", self.server.api_tls)]
        {
            if is_on && self.certificates.is_empty() {
                let mend = "there is no certificate; write [[tls.certificate]] with \
                            certificate_file and key_file in the configuration file";
                faults.push((key, format!("{key} = true, but {mend}")));
            }
        }
        for (key, tls_use) in [
            ("tls.client_certificates", TlsUse::Clients),
            ("tls.api_client_certificates", TlsUse::PrivateApi),
        ] {
            let asks = self.client_certificates(tls_use) != ClientCertificates::None;
            if asks && self.tls.client_ca_file.is_none() {
                let mend = "needs tls.client_ca_file, the authorities that issue them";
                faults.push((key, format!("{key} {mend}")));
            }
        }
        let suites = &self.tls.cipher_suites.0;
        if !suites.is_empty() {
            let has = |is_tls13| suites.iter().any(|suite| suite.is_tls13() == is_tls13);
            let is_only_12 = !has(true) && self.tls.version_min == TlsVersion::Tls13;
            if is_only_12 {
                let mend = "has no suite of TLS 1.3, which tls.version_min demands; add \
                            \"TLS_AES_128_GCM_SHA256\"";
                faults.push(("tls.cipher_suites", format!("tls.cipher_suites {mend}")));
            }
        }
        faults
    }
}
