//! The opening handshake of RFC 6455 §4, for both roles: which requests may upgrade, and what each
//! side answers.
//!
//! Never reads a socket, a clock or a random source by itself: the caller passes a parsed or raw
//! head and gets a verdict or bytes back. On the server's side it allocates only to grow the
//! caller's buffer.
#![forbid(unsafe_code)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub mod client;
pub mod server;

pub use server::{HandshakeError, emit_response};

// RFC 6455 §1.3: the value that proves that the server understands a WebSocket key.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` value for a `Sec-WebSocket-Key` value
/// (RFC 6455 §4.2.2, item 5.4): base64 of the SHA-1 of key and GUID.
///
/// ```
/// let accept = ringway_frame::handshake::accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(&accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(ACCEPT_GUID);
    let mut accept = [0; 28];
    let written = STANDARD.encode_slice(hash.digest().bytes(), &mut accept);
    // 20 bytes always give 28 base64 characters.
    assert_eq!(written, Ok(28));
    accept
}

#[cfg(test)]
mod tests {
    use super::accept_key;

    // RFC 6455 §1.3: the worked example.
    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
