//! The parameters with which a client connects, as a request for each transport.
//!
//! It makes bytes. It never knows the responses.

use fastrand::Rng;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ringway_frame::{
    deflate::Offer,
    handshake::client::{Expectation, Request},
};
use ringway_hub::Cursor;

use super::token::{ShownIn, ShownToken};
use crate::decoder::{Names, Packing, Transport};

/// The parameters with which a client connects.
pub struct ConnectParams<'a> {
    /// Its name.
    pub person: &'a str,
    /// Its topics.
    pub topics: &'a [String],
    /// Where it resumes.
    pub cursor: Option<Cursor>,
    /// How long a poll waits, in seconds.
    pub wait: f64,
    /// Its token.
    pub token: Option<ShownToken>,
}

impl ConnectParams<'_> {
    /// The token that a field has.
    fn in_field(&self) -> Option<&str> {
        let token = self.token.as_ref().filter(|token| token.shown_in == ShownIn::Field);
        token.map(|token| &*token.text)
    }

    fn query(&self) -> String {
        let mut query = format!("client={}", encoded(self.person));
        for topic in self.topics {
            query += &format!("&topic={}", encoded(topic));
        }
        match &self.token {
            Some(ShownToken { text, shown_in: ShownIn::Query, .. }) => {
                query += &format!("&token={text}");
            }
            Some(ShownToken { shown_in: ShownIn::Message, .. }) => query += "&auth=message",
            _ => {}
        }
        query
    }

    /// A request for a stream or a poll.
    pub fn request(&self, transport: Transport, rng: &mut Rng) -> String {
        let (mut query, mut fields) = (self.query(), String::new());
        match (self.cursor, transport) {
            (Some(cursor), Transport::Sse(_)) if rng.bool() => {
                fields = format!("Last-Event-ID: {cursor}\r\n");
            }
            (Some(cursor), _) => query += &format!("&cursor={cursor}"),
            (None, _) => {}
        }
        if let Some(token) = self.in_field() {
            fields += &format!("Authorization: Bearer {token}\r\n");
        }
        let path = match transport {
            Transport::Sse(Names::On) => "sse",
            Transport::Sse(Names::Off) => {
                query += "&names=off";
                "sse"
            }
            Transport::Iframe => {
                query += "&format=iframe";
                "stream"
            }
            Transport::Poll => {
                query += &format!("&wait={}", self.wait);
                if rng.u8(0..3) == 0 {
                    fields += "Connection: close\r\n";
                }
                "poll"
            }
            _ => "stream",
        };
        format!("GET /{path}?{query} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    }

    /// Appends a request for a WebSocket; returns the fields that the response must have.
    pub fn upgrade(
        &self,
        packing: Packing,
        out: &mut Vec<u8>,
        rng: &mut Rng,
    ) -> Expectation<'static> {
        const SHARED: Offer = Offer {
            server_no_context_takeover: true,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: ringway_frame::deflate::ClientWindow::Fixed,
        };
        const OWN: Offer = Offer { server_no_context_takeover: false, ..SHARED };
        let offers: &'static [Offer] = match packing {
            Packing::Plain => &[],
            Packing::Shared => &[SHARED],
            Packing::Own => &[OWN],
        };
        let mut target = format!("/ws?{}", self.query());
        if let Some(cursor) = self.cursor {
            target += &format!("&cursor={cursor}");
        }
        let nonce = rng.u128(..).to_ne_bytes();
        let subprotocols = &["ringway.v1.json"];
        let request = Request { host: "a", target: "/ws", subprotocols, offers, headers: &[] };
        // The expected fields do not depend on the target.
        let expectation = request.emit(nonce, &mut Vec::new()).expect("a sound request");
        let bearer = self.in_field().map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("Authorization", &**bearer)).collect();
        let request = Request { target: &target, headers: &headers, ..request };
        request.emit(nonce, out).expect("a sound request");
        expectation
    }
}

/// A name, escaped for a query.
pub fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
