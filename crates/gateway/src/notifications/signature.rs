//! The signature of what an application is sent, so that it can tell a gateway from anybody else who
//! knows its URL, and refuse what was recorded and is sent again later.
//!
//! `t=SECONDS,v1=HEX`: HMAC-SHA256 (RFC 2104) over the seconds since 1970, a full stop, and the body.
//! There is one `v1` for each key, so a key can be replaced while both are accepted.

use std::fmt::Write;

use ring::hmac;

/// Signs with one key or, while keys are changed, with two.
pub struct Signer {
    keys: Vec<hmac::Key>,
}

impl Signer {
    /// Signs with these keys.
    pub fn new<'k>(secrets: impl IntoIterator<Item = &'k [u8]>) -> Self {
        let key = |secret| hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self { keys: secrets.into_iter().map(key).collect() }
    }

    /// The signature of a body that is sent at this time, in seconds since 1970; `None` without a key.
    pub fn sign(&self, seconds: u64, body: &[u8]) -> Option<String> {
        if self.keys.is_empty() {
            return None;
        }
        let mut text = format!("t={seconds}");
        for key in &self.keys {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{seconds}.").as_bytes());
            context.update(body);
            text.push_str(",v1=");
            for byte in context.sign().as_ref() {
                write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Python's `hmac.new(key, b"1733000000.{}", "sha256").hexdigest()`.
    const OLD: &str = "cc7ccb94792aad064bac2b59c2155e62966c69dce6f805f4477e2d9d95b9e23f";
    const NEW: &str = "44820aa75f5ffca5412834c333efced2a200ef138febaf75a8533ce14513510d";

    #[test]
    fn a_body_is_signed_with_its_time_by_each_key() {
        let sign = |keys: &[&[u8]], seconds, body: &[u8]| {
            Signer::new(keys.iter().copied()).sign(seconds, body)
        };
        let (old, new) = (&b"the old key"[..], &b"the new key"[..]);
        assert_eq!(sign(&[], 1_733_000_000, b"{}"), None);
        let one = sign(&[old], 1_733_000_000, b"{}").unwrap();
        assert_eq!(one, format!("t=1733000000,v1={OLD}"));
        let both = sign(&[old, new], 1_733_000_000, b"{}").unwrap();
        assert_eq!(both, format!("t=1733000000,v1={OLD},v1={NEW}"));
        for other in [
            sign(&[old], 1_733_000_001, b"{}"),
            sign(&[old], 1_733_000_000, b"{ }"),
            sign(&[old], 173_300_000, b"0.{}"),
        ] {
            assert!(!other.unwrap().contains(OLD));
        }
    }
}
