//! The opening handshake (RFC 6455 §4.2), reduced to what a client needs to accept it.
//!
//! It reads no header but the key.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1_smol::Sha1;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_HEADER: &[u8] = b"sec-websocket-key:";
/// No client's request is longer.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The purpose of a connection, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Echo,
    Publisher,
    Subscriber,
}

/// The state of the request.
#[derive(Debug)]
pub enum Handshake {
    Unfinished,
    Refused,
    Accepted { role: Role, head_bytes: usize, response: Vec<u8> },
}

/// Reads a request from its beginning.
pub fn read(bytes: &[u8]) -> Handshake {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() < HEAD_BYTES_MAX {
            Handshake::Unfinished
        } else {
            Handshake::Refused
        };
    };
    let mut lines = bytes[..end].split(|byte| *byte == b'\n');
    let request = lines.next().unwrap_or_default();
    let role = match request.split(|byte| *byte == b' ').nth(1) {
        Some(b"/publish") => Role::Publisher,
        Some(b"/subscribe") => Role::Subscriber,
        _ => Role::Echo,
    };
    let key = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(KEY_HEADER.len())?;
        name.eq_ignore_ascii_case(KEY_HEADER).then(|| value.trim_ascii())
    });
    let Some(key) = key else { return Handshake::Refused };
    let mut digest = Sha1::new();
    digest.update(key);
    digest.update(GUID);
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        STANDARD.encode(digest.digest().bytes())
    );
    Handshake::Accepted { role, head_bytes: end + 4, response: response.into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let request = b"GET /publish HTTP/1.1\r\nHost: a\r\nsec-WebSocket-key: \
                        dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nrest";
        let Handshake::Accepted { role, head_bytes, response } = read(request) else {
            panic!("it is refused")
        };
        assert_eq!((role, head_bytes), (Role::Publisher, request.len() - 4));
        let response = String::from_utf8(response).unwrap();
        assert!(response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{response}");
    }

    #[test]
    fn an_incomplete_request_is_awaited_and_a_bad_one_is_refused() {
        assert!(matches!(read(b"GET / HTTP/1.1\r\nHost: a\r\n"), Handshake::Unfinished));
        assert!(matches!(read(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Handshake::Refused));
        assert!(matches!(read(&[b'a'; HEAD_BYTES_MAX]), Handshake::Refused));
    }
}
