//! The signatures of tokens, by the cryptography that TLS uses too: `jsonwebtoken` leaves them to a
//! provider, and does not come with one for `ring`.
//!
//! A key is used with algorithms of its own family only; that is checked for each signature.

use std::cell::Cell;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature::{self, Signer, Verifier},
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
        Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256,
        RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaParameters, RsaPublicKeyComponents,
        UnparsedPublicKey, VerificationAlgorithm,
    },
};

use crate::limits::{PUBLIC_KEY_CHECK_COST, SECRET_CHECK_COST};

thread_local! {
    /// What the checks of this thread have cost: `jsonwebtoken` passes on nothing but their outcome.
    static COST: Cell<usize> = const { Cell::new(0) };
}

/// What checking signatures has cost this thread since this was last called.
pub fn take_cost() -> usize {
    COST.take()
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` use this provider; to be called before it checks or makes a signature.
pub fn install() {
    // An error says that it was installed before.
    let _ = PROVIDER.install_default();
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let is_checked = matches!(
        algorithm,
        Algorithm::HS256
            | Algorithm::RS256
            | Algorithm::PS256
            | Algorithm::ES256
            | Algorithm::EdDSA
    );
    match is_checked && key.family() == algorithm.family() {
        true => Ok(Box::new(Check { algorithm: *algorithm, key: key.clone() })),
        false => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct Check {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let cost = match self.algorithm {
            Algorithm::HS256 => SECRET_CHECK_COST,
            _ => PUBLIC_KEY_CHECK_COST,
        };
        COST.set(COST.get().saturating_add(cost));
        let is_valid = match (self.algorithm, self.key.kind()) {
            (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::verify(&key, message, signature).is_ok()
            }
            (Algorithm::RS256, key) => rsa(&RSA_PKCS1_2048_8192_SHA256, key, message, signature),
            (Algorithm::PS256, key) => rsa(&RSA_PSS_2048_8192_SHA256, key, message, signature),
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                is_valid(&ECDSA_P256_SHA256_FIXED, point, message, signature)
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => {
                is_valid(&ED25519, point, message, signature)
            }
            _ => false,
        };
        if is_valid { Ok(()) } else { Err(signature::Error::new()) }
    }
}

fn rsa(
    parameters: &'static RsaParameters,
    key: &DecodingKeyKind,
    message: &[u8],
    signature: &[u8],
) -> bool {
    match key {
        DecodingKeyKind::SecretOrDer(der) => is_valid(parameters, der, message, signature),
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
        }
    }
}

fn is_valid(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let key_of = |family: AlgorithmFamily| match key.family() == family {
        true => Ok(key.as_bytes()),
        false => Err(Error::from(ErrorKind::InvalidAlgorithm)),
    };
    let rsa = |encoding| -> Result<Pair, Error> {
        let key = RsaKeyPair::from_der(key_of(AlgorithmFamily::Rsa)?)
            .map_err(|rejected| ErrorKind::InvalidRsaKey(rejected.to_string()))?;
        Ok(Pair::Rsa(Box::new(key), encoding))
    };
    let pair = match algorithm {
        Algorithm::HS256 => {
            Pair::Hmac(hmac::Key::new(hmac::HMAC_SHA256, key_of(AlgorithmFamily::Hmac)?))
        }
        Algorithm::RS256 => rsa(&RSA_PKCS1_SHA256 as &'static dyn RsaEncoding)?,
        Algorithm::PS256 => rsa(&RSA_PSS_SHA256)?,
        Algorithm::ES256 => {
            let key = key_of(AlgorithmFamily::Ec)?;
            let random = &SystemRandom::new();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key, random);
            Pair::Ecdsa(pair.map_err(|_| ErrorKind::InvalidEcdsaKey)?)
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key_of(AlgorithmFamily::Ed)?);
            Pair::Ed25519(pair.map_err(|_| ErrorKind::InvalidEddsaKey)?)
        }
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(Box::new(Sign { algorithm: *algorithm, pair }))
}

/// A private key.
enum Pair {
    Hmac(hmac::Key),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

struct Sign {
    algorithm: Algorithm,
    pair: Pair,
}

impl JwtSigner for Sign {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for Sign {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let random = SystemRandom::new();
        Ok(match &self.pair {
            Pair::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Pair::Rsa(key, encoding) => {
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &random, message, &mut signed)
                    .map_err(|_| signature::Error::new())?;
                signed
            }
            Pair::Ecdsa(key) => {
                let signed = key.sign(&random, message).map_err(|_| signature::Error::new())?;
                signed.as_ref().to_vec()
            }
            Pair::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        })
    }
}
