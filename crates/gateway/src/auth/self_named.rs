//! Clients name themselves, or stay anonymous.

use crate::auth::{Credentials, Decision, Grants, Identity, IdentitySource};

/// Accepts the name that a client gives itself. A client without a name gets a unique one.
#[derive(Debug, Clone, Copy)]
pub struct SelfNamed;

impl IdentitySource for SelfNamed {
    fn identify(&self, credentials: &Credentials<'_>) -> Decision {
        let client = credentials.client.map_or_else(anonymous, Into::into);
        Decision::Identified(Identity { client, grants: Grants::BySettings })
    }
}

fn anonymous() -> Box<str> {
    let number = getrandom::u32().unwrap_or_default();
    format!("anon-{number:08x}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(client: Option<&str>) -> Identity {
        match SelfNamed.identify(&Credentials { client }) {
            Decision::Identified(identity) => identity,
            _ => panic!("everybody is let in"),
        }
    }

    #[test]
    fn a_client_is_who_it_says_it_is() {
        let ann = Identity { client: "ann".into(), grants: Grants::BySettings };
        assert_eq!(identity(Some("ann")), ann);
    }

    #[test]
    fn clients_without_a_name_get_different_ones() {
        let names: std::collections::HashSet<_> = (0..16).map(|_| identity(None).client).collect();
        assert!(names.len() > 14, "{names:?}");
        assert!(names.iter().all(|name| name.len() == 13 && name.starts_with("anon-")));
    }
}
