//! Clients name themselves, or stay anonymous.

use std::cell::RefCell;

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

/// Numbers that are drawn at a time. A draw is a system call: half a microsecond of a connection.
const DRAWN_AT_ONCE: usize = 64;

thread_local! {
    static NUMBERS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

fn anonymous() -> Box<str> {
    let number = NUMBERS.with_borrow_mut(|numbers| {
        if numbers.is_empty() {
            *numbers = draw();
        }
        numbers.pop().unwrap_or_default()
    });
    format!("anon-{number:08x}").into()
}

/// Random numbers of the kernel; none if it has none.
fn draw() -> Vec<u32> {
    let mut bytes = [0; DRAWN_AT_ONCE * size_of::<u32>()];
    match getrandom::fill(&mut bytes) {
        Ok(()) => bytes.as_chunks().0.iter().map(|number| u32::from_ne_bytes(*number)).collect(),
        Err(_) => Vec::new(),
    }
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
        let count = 2 * DRAWN_AT_ONCE;
        let names: std::collections::HashSet<_> =
            (0..count).map(|_| identity(None).client).collect();
        assert!(names.len() > count - 2, "{names:?}");
        assert!(names.iter().all(|name| name.len() == 13 && name.starts_with("anon-")));
    }
}
