//! The one place that names the library of ciphers and signatures.

use std::sync::Arc;

use rustls::{CipherSuite, crypto::CryptoProvider};

/// The ciphers, groups and signatures of all connections; with `suites`, only those cipher suites,
/// in that order.
pub(crate) fn provider(suites: Option<&[Suite]>) -> Arc<CryptoProvider> {
    let mut provider = library::default_provider();
    if let Some(suites) = suites {
        let all = provider.cipher_suites;
        let wanted = suites.iter().map(|wanted| {
            let same = all.iter().find(|suite| suite.suite() == wanted.number());
            *same.expect("the library has each suite of the table; a test makes them all")
        });
        provider.cipher_suites = wanted.collect();
    }
    Arc::new(provider)
}

/// Makes other users of rustls in this process, such as an HTTP client, use the same library.
pub fn install_for_process() {
    // An error says that one was installed before.
    let _ = library::default_provider().install_default();
}

macro_rules! suites {
    ($($Suite:ident = $text:literal, $number:ident, $is_tls13:literal;)+) => {
        /// A cipher suite that may be configured. All have forward secrecy and authenticate what
        /// they encrypt.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "their names say what they are")]
        pub enum Suite { $($Suite,)+ }

        impl Suite {
            /// Every suite, in the order in which the server prefers them.
            pub const ALL: &'static [Self] = &[$(Self::$Suite,)+];

            /// The names of [`Self::ALL`], from the registry of IANA.
            pub const NAMES: &'static [&'static str] = &[$($text,)+];

            /// Whether it belongs to TLS 1.3.
            pub fn is_tls13(self) -> bool {
                match self { $(Self::$Suite => $is_tls13,)+ }
            }

            fn number(self) -> CipherSuite {
                match self { $(Self::$Suite => CipherSuite::$number,)+ }
            }
        }
    };
}

suites! {
    Aes128Tls13 = "TLS_AES_128_GCM_SHA256", TLS13_AES_128_GCM_SHA256, true;
    Aes256Tls13 = "TLS_AES_256_GCM_SHA384", TLS13_AES_256_GCM_SHA384, true;
    ChaChaTls13 = "TLS_CHACHA20_POLY1305_SHA256", TLS13_CHACHA20_POLY1305_SHA256, true;
    EcdsaAes128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false;
    EcdsaAes256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, false;
    EcdsaChaCha = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, false;
    RsaAes128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, false;
    RsaAes256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, false;
    RsaChaCha = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, false;
}

impl Suite {
    /// The suite with this name.
    pub fn named(name: &str) -> Option<Self> {
        let place = Self::NAMES.iter().position(|known| *known == name)?;
        Some(Self::ALL[place])
    }
}

pub(crate) mod library {
    pub(crate) use rustls::crypto::ring::{default_provider, sign::any_supported_type};
}
