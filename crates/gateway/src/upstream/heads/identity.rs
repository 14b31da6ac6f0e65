//! Who the client is, for the application: its id, the time and a signature of both. An application
//! that shares the secret can believe them without asking the gateway.
//!
//! A client's own fields of these names never reach the application.

use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ring::hmac;

use crate::upstream::heads::{hops, line};

/// What the names of all these fields begin with, in lower case.
const PREFIX: &str = "ringway-";

/// Signs the ids of clients.
pub struct Signer(hmac::Key);

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer")
    }
}

/// Whether only the gateway may write a field of this name.
pub fn is_own(name: &[u8]) -> bool {
    hops::starts_like(name, PREFIX)
}

impl Signer {
    /// Signs with this secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Writes `Ringway-Client`, `Ringway-Time` (seconds since 1970) and `Ringway-Signature`:
    /// `v1=` and the HMAC-SHA256 of `v1:TIME:CLIENT` in hexadecimal, with both as they are written.
    pub(super) fn emit(&self, out: &mut Vec<u8>, client: &str, time: SystemTime) {
        let client = escaped(client);
        let time = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let tag = hmac::sign(&self.0, format!("v1:{time}:{client}").as_bytes());
        let mut signature = "v1=".to_owned();
        for byte in tag.as_ref() {
            write!(signature, "{byte:02x}").expect("writing to a string cannot fail");
        }
        line(out, b"Ringway-Client", client.as_bytes());
        line(out, b"Ringway-Time", time.to_string().as_bytes());
        line(out, b"Ringway-Signature", signature.as_bytes());
    }
}

/// RFC 3986 §2.1: everything that a field cannot carry everywhere is percent-encoded.
fn escaped(client: &str) -> String {
    let mut text = String::with_capacity(client.len());
    for byte in client.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'%' | b',' | b';' | b'"') => text.push(byte.into()),
            _ => write!(text, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    text
}
