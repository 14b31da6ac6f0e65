//! A client's end of a connection with the layer that encrypts by XOR.

#[path = "../../../src/outbox/channel/xor.rs"]
mod xor;

use std::sync::Arc;

use ringway::outbox::channel::{ChannelError, Channels, Opened, RecordLayer};
use ringway_acceptor::sim::Client;

use self::xor::{BODY_BYTES_MAX, HEAD_BYTES, XorLayer};
use super::book::{Book, Ending, Farewell};
use crate::{checkers::fail, decoder::PROPERTY};

/// The listener whose connections have the layer.
pub const LISTENER: u16 = 1;

pub fn set(channels: &mut Channels) {
    channels.set(LISTENER, Arc::new(|| Box::new(XorLayer::server(0x0123_4567_89AB_CDEF))));
}

pub struct XorEnd {
    layer: XorLayer,
    /// Opens the bytes that the gateway's socket has taken.
    taken: XorLayer,
}

impl XorEnd {
    /// Sends the hello.
    pub fn begin(client: &Client, nonce: u64, book: &mut Book) -> Self {
        let mut hello = Vec::new();
        let layer = XorLayer::client(nonce, &mut hello);
        client.send(&hello);
        book.sent(hello.len());
        Self { layer, taken: XorLayer::client(nonce, &mut Vec::new()) }
    }

    pub fn send(&mut self, client: &Client, bytes: &[u8], book: &mut Book) {
        let mut sealed = bytes.to_vec();
        self.layer.seal(&mut sealed, 0);
        for body in bytes.chunks(BODY_BYTES_MAX) {
            book.sent_record(HEAD_BYTES + body.len(), body.len());
        }
        client.send(&sealed);
    }

    pub fn received(&mut self, client: &Client, book: &Book) -> Vec<u8> {
        open(&mut self.layer, client.received(), book.ending)
    }

    pub fn taken(&mut self, client: &Client, book: &Book) -> Vec<u8> {
        open(&mut self.taken, client.taken(), book.ending)
    }

    pub fn sealed_bytes_max(&self, bytes: usize) -> usize {
        self.layer.sealed_bytes_max(bytes)
    }

    pub fn half_close(&mut self, client: &Client, book: &mut Book) {
        if let Some(farewell) = book.end() {
            let mut last = b"never read".to_vec();
            match farewell {
                Farewell::None => last.clear(),
                Farewell::Last => {
                    last.clear();
                    self.layer.close(&mut last);
                }
                Farewell::Part => {
                    self.layer.seal(&mut last, 0);
                    last.truncate(HEAD_BYTES + 5);
                }
                Farewell::Damaged => {
                    self.layer.seal(&mut last, 0);
                    last[HEAD_BYTES + 3] ^= 0x40;
                }
            }
            client.send(&last);
            book.sent_farewell(farewell, last.len());
        }
        if book.may_end_stream() {
            client.half_close();
        }
    }
}

/// The plain text of the received bytes.
fn open(layer: &mut XorLayer, mut bytes: Vec<u8>, ending: Ending) -> Vec<u8> {
    let (mut rest, mut plain) = (&mut bytes[..], Vec::new());
    while !rest.is_empty() {
        match layer.open(&mut rest, &mut Vec::new()) {
            Ok(Opened::Nothing | Opened::Ended) => {}
            Ok(Opened::InPlace(opened)) => plain.extend_from_slice(opened),
            Ok(Opened::Assembled(opened)) => plain.extend(opened),
            // The alert, which is the last byte.
            Err(ChannelError::Record) if ending == Ending::Damaged && rest.len() <= 1 => break,
            Err(error) => fail!("{error:?}: the gateway's records"),
        }
    }
    plain
}
