//! `[tls]` as the settings of servers, and the relations between its keys.
//!
//! It reads no certificate.

use std::path::PathBuf;

use ringway_tls::{
    Suite, TlsError,
    certificates::PairFiles,
    server::{self, ServerSettings, Version},
};

use crate::config::{ClientCertificates, Config, TlsVersion, spelling};

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
        let ca = || PathBuf::from(&self.tls.client_ca_file);
        let suites: Vec<_> = self.suite_names().filter_map(Suite::named).collect();
        ServerSettings {
            pairs: self.pair_files(),
            version_min: match self.tls.version_min {
                TlsVersion::Tls12 => Version::Tls12,
                TlsVersion::Tls13 => Version::Tls13,
            },
            suites: (!suites.is_empty()).then_some(suites),
            clients: match self.tls.client_certificates {
                ClientCertificates::None => server::ClientCertificates::None,
                ClientCertificates::Optional => server::ClientCertificates::Optional(ca()),
                ClientCertificates::Required => server::ClientCertificates::Required(ca()),
            },
        }
    }

    /// Whether a listener speaks TLS.
    pub fn has_tls_listener(&self) -> bool {
        self.listeners.iter().any(|listener| listener.speaks_tls)
    }

    /// The names of the cipher suites, as they were written.
    fn suite_names(&self) -> impl Iterator<Item = &str> {
        let names = self.tls.cipher_suites.split(',').map(str::trim);
        names.filter(|name| !name.is_empty())
    }

    /// What is wrong with the keys of TLS together, and how to mend it. The files are read when the
    /// server is built.
    ///
    /// # Errors
    /// TLS cannot be served like this.
    pub fn check_tls(&self) -> Result<(), TlsError> {
        if self.has_tls_listener() && self.certificates.is_empty() {
            return Err(TlsError::new(
                "listener.speaks_tls = true, but there is no certificate; write [[tls.certificate]] with \
                 certificate_file and key_file in the configuration file",
            ));
        }
        let asks = self.tls.client_certificates != ClientCertificates::None;
        if asks && self.tls.client_ca_file.is_empty() {
            return Err(TlsError::new(
                "tls.client_certificates needs tls.client_ca_file, the authorities that issue them",
            ));
        }
        if self.tls.client_id_from_certificate && !asks {
            return Err(TlsError::new(
                "tls.client_id_from_certificate needs clients that show certificates; set \
                 tls.client_certificates to \"optional\" or \"required\"",
            ));
        }
        if let Some(unknown) = self.suite_names().find(|name| Suite::named(name).is_none()) {
            let near = spelling::nearest(unknown, Suite::NAMES.iter().copied());
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the suites are {}", Suite::NAMES.join(", ")),
            };
            return Err(TlsError::new(format!(
                "tls.cipher_suites has {unknown}, which is not offered; {hint}"
            )));
        }
        let mut suites = self.suite_names().filter_map(Suite::named).peekable();
        if self.tls.version_min == TlsVersion::Tls13
            && suites.peek().is_some()
            && !suites.any(Suite::is_tls13)
        {
            return Err(TlsError::new(
                "tls.cipher_suites has no suite of TLS 1.3, which tls.version_min demands; add \
                 TLS_AES_128_GCM_SHA256",
            ));
        }
        Ok(())
    }
}
