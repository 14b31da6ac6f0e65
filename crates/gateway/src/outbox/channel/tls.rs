//! TLS as a record layer: a session of `ringway_tls` behind the interface of channels.
//!
//! A request in plain text on a TLS port gets an answer that it can read.

use ringway_tls::{Fault, Session, certificates::client_name, client::Client, server::Server};

use super::{ChannelError, MakeLayer, Opened, RecordLayer};

use std::sync::Arc;

use crate::limits::{HANDSHAKE_FLIGHT_COST, RSA_HANDSHAKE_FACTOR};

/// The answer to HTTP in plain text.
pub const PLAIN_HTTP: &str = "\
HTTP/1.1 400 Bad Request\r
Content-Type: text/plain; charset=utf-8\r
Content-Length: 89\r
Connection: close\r
\r
This port speaks TLS, and the request came in plain text: use https:// or wss:// instead.";

/// Gives each connection of a listener a session of this server.
pub fn tls_layer(server: Arc<Server>) -> MakeLayer {
    Arc::new(move || {
        let key = if server.certificates().has_rsa() { Key::Rsa } else { Key::Fast };
        let (session, opening, handshake) = (server.accept(), Opening::Tls, Handshake::Awaited);
        Box::new(TlsLayer { session, opening, handshake, key })
    })
}

/// Gives each connection to a server a session of this client.
pub fn client_layer(client: Client) -> MakeLayer {
    Arc::new(move || {
        let (session, opening) = (client.connect(), Opening::Tls);
        Box::new(TlsLayer { session, opening, handshake: Handshake::Awaited, key: Key::Fast })
    })
}

struct TlsLayer {
    session: Session,
    opening: Opening,
    handshake: Handshake,
    key: Key,
}

/// Whether a flight of the handshake was answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handshake {
    Awaited,
    Answered,
}

/// The slowest key that the handshake may use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Fast,
    Rsa,
}

/// What the client speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    Tls,
    PlainHttp,
}

impl RecordLayer for TlsLayer {
    fn begin(&mut self, out: &mut Vec<u8>) {
        // A fault shows with the first input.
        let _ = self.session.start(out);
    }

    fn open<'b>(
        &mut self,
        received: &mut &'b mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened<'b>, ChannelError> {
        let start = out.len();
        let opened = self.session.open(received, out);
        if out.len() > start {
            self.handshake = Handshake::Answered;
        }
        match opened {
            Ok(ringway_tls::Opened::Nothing) => Ok(Opened::Nothing),
            Ok(ringway_tls::Opened::InPlace(plain)) => Ok(Opened::InPlace(plain)),
            Ok(ringway_tls::Opened::Assembled(plain)) => Ok(Opened::Assembled(plain)),
            Ok(ringway_tls::Opened::Ended) => Ok(Opened::Ended),
            Err(Fault::PlainHttp) => {
                self.opening = Opening::PlainHttp;
                Err(ChannelError::PlainHttp)
            }
            Err(Fault::Handshake(reason)) => Err(ChannelError::Handshake(reason)),
            Err(Fault::Record | Fault::Alert(_)) => Err(ChannelError::Record),
            Err(Fault::OutOfMemory) => Err(ChannelError::OutOfMemory),
        }
    }

    fn is_established(&self) -> bool {
        self.session.is_established()
    }

    fn has_answered(&self) -> bool {
        self.handshake == Handshake::Answered
    }

    fn flight_cost(&self) -> usize {
        match self.key {
            Key::Fast => HANDSHAKE_FLIGHT_COST,
            Key::Rsa => RSA_HANDSHAKE_FACTOR * HANDSHAKE_FLIGHT_COST,
        }
    }

    fn seal(&mut self, out: &mut Vec<u8>, start: usize) {
        self.session.seal(out, start);
    }

    fn sealed_bytes_max(&self, bytes: usize) -> usize {
        self.session.sealed_bytes_max(bytes)
    }

    fn is_between_records(&self) -> bool {
        self.session.is_between_records()
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match self.opening {
            Opening::Tls => self.session.close(out),
            Opening::PlainHttp => out.extend_from_slice(PLAIN_HTTP.as_bytes()),
        }
    }

    fn peer_name(&self) -> Option<String> {
        client_name(self.session.peer_certificate()?)
    }

    fn held_bytes(&self) -> usize {
        self.session.held_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_has_the_length_that_it_states() {
        let (head, body) = PLAIN_HTTP.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
