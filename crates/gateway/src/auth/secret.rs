//! Bytes that must not be printed: tokens, shared secrets, keys of the private API.
//!
//! There is no `Display`, and `Debug` does not show them, so that they cannot get into a log line,
//! an error or the message of a panic by being part of something else.

use std::fmt;

use subtle::ConstantTimeEq;

/// Bytes that are never printed.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Keeps these bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the code that has to compare or parse them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether these are the bytes, in a time that depends on their number only.
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.0.ct_eq(bytes).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Only tests compare values that contain a secret.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::{Credentials, TokenPlace};

    #[test]
    fn a_secret_is_compared_and_never_shown() {
        let secret = Secret::new(*b"hunter2");
        assert!(secret.is(b"hunter2"));
        for other in [&b""[..], b"hunter", b"hunter3", b"hunter22"] {
            assert!(!secret.is(other));
        }
        assert_eq!(format!("{:?}", Some(&secret)), "Some(Secret)");
    }

    #[test]
    fn the_message_of_a_panic_does_not_show_a_secret_that_is_part_of_it() {
        let secret = Secret::new(*b"hunter2");
        let token = Some((&secret, TokenPlace::Cookie));
        let credentials =
            Credentials { client: None, token, certificate: None, now: Duration::ZERO };
        let panic = std::panic::catch_unwind(|| panic!("refused: {credentials:?}")).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("Cookie") && !message.contains("hunter2"), "{message}");
    }
}
