//! Clients name themselves, or stay anonymous: there is no key for tokens.

use crate::{
    auth::{Credentials, Decision, Grants, Identity, IdentitySource, TokenPlace, anonymous},
    refusal::{Refusal, VisitFault},
};

/// Accepts the name that a client gives itself. A client without a name gets a unique one.
#[derive(Debug, Clone, Copy)]
pub struct SelfNamed;

impl IdentitySource for SelfNamed {
    fn identify(&self, credentials: &Credentials<'_>) -> Decision {
        // A proxy in front may have its own use for the other places.
        if let Some((_, TokenPlace::Query | TokenPlace::Command)) = credentials.token {
            return Decision::Refused(Refusal::ConnectParams(VisitFault::Token));
        }
        let client = credentials.client.map_or_else(anonymous::unique, Into::into);
        Decision::Identified(Identity::new(client, Grants::BySettings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;

    fn decision(client: Option<&str>, token: Option<TokenPlace>) -> Result<Identity, Refusal> {
        let secret = Secret::new(*b"a.b.c");
        let token = token.map(|place| (&secret, place));
        let (certificate, now) = (None, Default::default());
        match SelfNamed.identify(&Credentials { client, token, certificate, now }) {
            Decision::Identified(identity) => Ok(identity),
            Decision::Refused(refusal) => Err(refusal),
            Decision::Waiting(_) => panic!("it decides at once"),
        }
    }

    #[test]
    fn a_client_is_who_it_says_it_is() {
        let ann = Identity::new("ann", Grants::BySettings);
        assert_eq!(decision(Some("ann"), None), Ok(ann));
        let unnamed = decision(None, None).unwrap();
        assert!(anonymous::contains(&unnamed.client));
    }

    #[test]
    fn a_token_in_the_query_or_a_command_is_refused_and_elsewhere_ignored() {
        for place in [TokenPlace::Query, TokenPlace::Command] {
            let refused = Err(Refusal::ConnectParams(VisitFault::Token));
            assert_eq!(decision(Some("ann"), Some(place)), refused);
        }
        for place in [TokenPlace::Authorization, TokenPlace::Subprotocol, TokenPlace::Cookie] {
            assert!(decision(Some("ann"), Some(place)).is_ok());
        }
    }
}
