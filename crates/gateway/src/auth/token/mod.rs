//! Tokens (JWT, RFC 7519): a client is who its token says it is.
//!
//! The signature is checked by `jsonwebtoken`, the claims here, with the time as an argument. It
//! never waits.

pub mod claims;
pub mod fetch;
pub mod issuers;
pub mod keys;
pub(crate) mod ring_provider;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Header, TokenData, Validation, decode, decode_header, errors::ErrorKind};

use crate::{
    auth::{Credentials, Decision, Grants, Identity, IdentitySource, Secret, anonymous},
    config::Auth,
    limits::{TOKEN_BYTES_MAX, TOKEN_KEYS_TRIED_MAX},
    refusal::{Refusal, TokenFault, VisitFault},
};

use self::{
    claims::Claims,
    issuers::{Issuers, Waiting},
    keys::{Key, KeySet},
};

/// Identifies clients by their tokens; shared by all cores.
pub struct Tokens {
    issuers: Arc<Issuers>,
    auth: Auth,
}

impl Tokens {
    /// Accepts tokens of these keys, with the claims that `auth` asks for.
    pub fn new(keys: KeySet, auth: Auth) -> Self {
        Self::of(Issuers::new(keys, Vec::new()), auth)
    }

    /// As [`Self::new`], also with keys that are fetched later.
    pub fn of(issuers: Issuers, auth: Auth) -> Self {
        Self { issuers: Arc::new(issuers), auth }
    }

    /// Its keys.
    pub fn issuers(&self) -> &Arc<Issuers> {
        &self.issuers
    }

    /// The identity in a token.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn verify(&self, token: &[u8], now: Duration) -> Result<Identity, TokenFault> {
        let (_, claims) = self.read(token)?;
        self.check_times(&claims, now)?;
        self.check_parties(&claims)?;
        let mut identity = claims.identity()?;
        // A client that is let in is not sent away at once.
        if let Some(expires_at) = &mut identity.expires_at {
            *expires_at = expires_at.saturating_add(self.auth.leeway);
        }
        Ok(identity)
    }

    /// As [`Self::verify`], for a client that may give itself a name.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn verify_for(
        &self,
        client: Option<&str>,
        token: &[u8],
        now: Duration,
    ) -> Result<Identity, TokenFault> {
        let identity = self.verify(token, now)?;
        match client {
            // An anonymous name is nobody's: a page gives itself one for its polls, as it cannot
            // know that a cookie names it.
            Some(client) if *client != *identity.client && !anonymous::contains(client) => {
                Err(TokenFault::OtherClient)
            }
            _ => Ok(identity),
        }
    }

    /// The parts of a token whose signature is valid; the claims are not checked yet.
    pub(crate) fn read(&self, token: &[u8]) -> Result<(Header, Claims), TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLong);
        }
        let header = decode_header(token).map_err(|error| fault(error.kind()))?;
        let (keys, kid) = (self.issuers.keys(), header.kid.as_deref());
        match read_with_one_of(&keys, token, &header) {
            // Only these faults may be due to a key that is not known yet.
            Err(TokenFault::UnknownKey | TokenFault::Signature | TokenFault::Algorithm)
                if self.issuers.may_bring(kid, &keys) =>
            {
                Err(TokenFault::KeyAwaited)
            }
            read => read,
        }
    }

    fn check_times(&self, claims: &Claims, now: Duration) -> Result<(), TokenFault> {
        let leeway = self.auth.leeway;
        let expires_at = claims.expires_at().ok_or(TokenFault::NoExpiry)?;
        if now >= expires_at.saturating_add(leeway) {
            return Err(TokenFault::Expired);
        }
        match claims.not_before() {
            Some(not_before) if not_before > now.saturating_add(leeway) => {
                Err(TokenFault::NotYetValid)
            }
            _ => Ok(()),
        }
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), TokenFault> {
        let Auth { issuer, audience, .. } = &self.auth;
        if !issuer.is_empty() && claims.issuer() != Some(issuer) {
            return Err(TokenFault::Issuer);
        }
        // RFC 7519 §4.1.3: a token for somebody else must be rejected.
        match claims.is_for(audience) {
            true => Ok(()),
            false => Err(TokenFault::Audience),
        }
    }

    /// Asks for the key of a token; the request waits for it, unless keys were fetched a moment ago.
    fn await_key(&self, token: &Secret, client: Option<&str>) -> Decision {
        if !self.issuers.ask() {
            return Decision::Refused(Refusal::Token(TokenFault::KeyAwaited));
        }
        let issuers = Arc::clone(&self.issuers);
        let (token, client) = (token.clone(), client.map(Box::from));
        Decision::Waiting(Box::new(move |ticket| issuers.wait(Waiting { ticket, token, client })))
    }
}

/// Checks the signature with the keys that may have made it.
fn read_with_one_of(
    keys: &KeySet,
    token: &[u8],
    header: &Header,
) -> Result<(Header, Claims), TokenFault> {
    let mut fault = TokenFault::UnknownKey;
    let mut tried = 0;
    for key in keys.candidates(header.kid.as_deref()) {
        if !key.allows(header.alg) {
            // The key is known, but not for this algorithm.
            if tried == 0 {
                fault = TokenFault::Algorithm;
            }
            continue;
        }
        if tried == TOKEN_KEYS_TRIED_MAX {
            break;
        }
        tried += 1;
        match read_with(key, token, header) {
            Err(TokenFault::Signature) => fault = TokenFault::Signature,
            other => return other.map(|TokenData { header, claims }| (header, claims)),
        }
    }
    Err(fault)
}

/// Checks the signature with one key and reads the claims.
fn read_with(key: &Key, token: &[u8], header: &Header) -> Result<TokenData<Claims>, TokenFault> {
    let mut validation = Validation::new(header.alg);
    // They are checked here, with the time of the core's turn.
    (validation.validate_exp, validation.validate_aud) = (false, false);
    validation.required_spec_claims.clear();
    decode(token, &key.decoding, &validation).map_err(|error| fault(error.kind()))
}

fn fault(kind: &ErrorKind) -> TokenFault {
    match kind {
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenFault::Algorithm,
        _ => TokenFault::Malformed,
    }
}

impl IdentitySource for Tokens {
    fn identify(&self, credentials: &Credentials<'_>) -> Decision {
        let decided = match credentials.token {
            Some((token, _)) => {
                let verified = self.verify_for(credentials.client, token.expose(), credentials.now);
                if verified == Err(TokenFault::KeyAwaited) {
                    return self.await_key(token, credentials.client);
                }
                verified
            }
            None if !self.auth.anonymous => Err(TokenFault::Missing),
            None => {
                let client = match credentials.client {
                    Some(client) => anonymous::within(client),
                    None => Some(anonymous::unique()),
                };
                let Some(client) = client else {
                    return Decision::Refused(Refusal::ConnectParams(VisitFault::Client));
                };
                Ok(Identity::new(client, Grants::BySettings))
            }
        };
        match decided {
            Ok(identity) => Decision::Identified(identity),
            Err(fault) => Decision::Refused(Refusal::Token(fault)),
        }
    }

    fn take_cost(&self) -> usize {
        ring_provider::take_cost()
    }
}
