//! A client is who its certificate says it is (`tls.client_id_from_certificate`).
//!
//! The channel has verified the certificate; this only reads the name in it. A client without a
//! certificate cannot take such a name: it needs a token, or is anonymous.

use std::sync::Arc;

use ringway_hub::name;

use crate::{
    auth::{Credentials, Decision, IdentitySource, SelfNamed, anonymous},
    refusal::{CertificateFault, Refusal, VisitFault},
};

/// Identifies clients by their certificates, and by tokens if there are keys for them.
pub struct CertificateNames {
    tokens: Option<Arc<dyn IdentitySource>>,
}

impl CertificateNames {
    /// Without `tokens`, a client without a certificate is anonymous. With `tokens`, a client that
    /// shows both needs a token for the name in its certificate, and has the grants of the token.
    pub fn new(tokens: Option<Arc<dyn IdentitySource>>) -> Self {
        Self { tokens }
    }
}

impl IdentitySource for CertificateNames {
    fn identify(&self, credentials: &Credentials<'_>) -> Decision {
        let Some(own) = credentials.certificate else {
            return self.identify_without(credentials);
        };
        if name::check(own).is_err() || anonymous::contains(own) {
            return Decision::Refused(Refusal::Certificate(CertificateFault::Name));
        }
        if credentials.client.is_some_and(|client| client != own) {
            return Decision::Refused(Refusal::Certificate(CertificateFault::OtherClient));
        }
        let credentials = Credentials { client: Some(own), ..*credentials };
        match &self.tokens {
            Some(tokens) if credentials.token.is_some() => tokens.identify(&credentials),
            Some(_) | None => SelfNamed.identify(&credentials),
        }
    }

    fn take_cost(&self) -> usize {
        self.tokens.as_ref().map_or(0, |tokens| tokens.take_cost())
    }
}

impl CertificateNames {
    fn identify_without(&self, credentials: &Credentials<'_>) -> Decision {
        if let Some(tokens) = &self.tokens {
            return tokens.identify(credentials);
        }
        let Some(client) = credentials.client else { return SelfNamed.identify(credentials) };
        match anonymous::within(client) {
            Some(client) => {
                SelfNamed.identify(&Credentials { client: Some(&client), ..*credentials })
            }
            None => Decision::Refused(Refusal::ConnectParams(VisitFault::Client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Grants, Identity, Secret, TokenPlace};

    /// Accepts every token, for the client that it names.
    struct AnyToken;

    impl IdentitySource for AnyToken {
        fn identify(&self, credentials: &Credentials<'_>) -> Decision {
            match credentials.token {
                Some(_) => {
                    let client = credentials.client.unwrap_or("sub");
                    Decision::Identified(Identity::new(client, Grants::BySettings))
                }
                None => Decision::Refused(Refusal::Revoked),
            }
        }
    }

    fn decided(
        source: &CertificateNames,
        certificate: Option<&str>,
        client: Option<&str>,
        token: Option<TokenPlace>,
    ) -> Result<String, Refusal> {
        let secret = Secret::new(*b"a.b.c");
        let token = token.map(|place| (&secret, place));
        let now = Default::default();
        match source.identify(&Credentials { client, token, certificate, now }) {
            Decision::Identified(identity) => Ok(identity.client.into()),
            Decision::Refused(refusal) => Err(refusal),
            Decision::Waiting(_) => panic!("it decides at once"),
        }
    }

    #[test]
    fn a_certificate_names_its_client_and_nobody_else() {
        let source = CertificateNames::new(None);
        assert_eq!(decided(&source, Some("ann"), None, None), Ok("ann".to_owned()));
        assert_eq!(decided(&source, Some("ann"), Some("ann"), None), Ok("ann".to_owned()));
        let refused = |fault| Err(Refusal::Certificate(fault));
        let other = refused(CertificateFault::OtherClient);
        assert_eq!(decided(&source, Some("ann"), Some("bob"), None), other);
        for name in ["", "anon-ann", "a\nb"] {
            let wrong = refused(CertificateFault::Name);
            assert_eq!(decided(&source, Some(name), None, None), wrong, "{name:?}");
        }
    }

    #[test]
    fn without_a_certificate_nobody_takes_a_name_that_one_may_have() {
        let source = CertificateNames::new(None);
        assert_eq!(decided(&source, None, Some("ann"), None), Ok("anon-ann".to_owned()));
        let header = Some(TokenPlace::Authorization);
        assert_eq!(decided(&source, None, Some("ann"), header), Ok("anon-ann".to_owned()));
        assert!(decided(&source, None, None, None).unwrap().starts_with("anon-"));
        let long = "a".repeat(128);
        assert!(decided(&source, None, Some(&long), None).is_err());
    }

    #[test]
    fn with_keys_a_token_must_be_for_the_client_of_the_certificate() {
        let source = CertificateNames::new(Some(Arc::new(AnyToken)));
        let token = Some(TokenPlace::Authorization);
        // The source of tokens is asked for the name in the certificate.
        assert_eq!(decided(&source, Some("ann"), None, token), Ok("ann".to_owned()));
        assert_eq!(decided(&source, Some("ann"), None, None), Ok("ann".to_owned()));
        assert_eq!(decided(&source, None, None, token), Ok("sub".to_owned()));
        assert_eq!(decided(&source, None, Some("ann"), None), Err(Refusal::Revoked));
    }
}
