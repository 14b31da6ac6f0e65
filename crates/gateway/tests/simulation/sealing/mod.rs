//! The layer of records in the simulation: the listener that has it, and a client's end of a
//! connection, which seals its bytes and opens received bytes if it connects to that listener.
//!
//! It decides how such a client ends its side: by FIN, perhaps in the middle of a record, by its
//! last record, or by a damaged record. No FIN follows the last two.

#[path = "../../../src/outbox/channel/xor.rs"]
mod xor;

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use ringway::outbox::channel::{ChannelError, Channels, Opened, RecordLayer};
use ringway_acceptor::sim::{Client, Network};

use crate::{checkers::fail, decoder::PROPERTY};
use xor::{BODY_BYTES_MAX, HEAD_BYTES, XorLayer};

/// The listener whose connections have the layer. Connections of the other listener are plain.
const SEALED: u16 = 1;

/// The channels of each listener's connections.
pub fn channels() -> Channels {
    let mut channels = Channels::default();
    channels.set(SEALED, Arc::new(|| Box::new(XorLayer::server(0x0123_4567_89AB_CDEF))));
    channels
}

/// Whether a client's connection has the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// The connection is plain.
    Off,
    /// The connection has the layer.
    On,
}

impl Sealing {
    /// Every third connection of a network has the layer.
    pub fn of_next(network: &Network) -> Self {
        let SocketAddr::V4(address) = network.own_address() else { return Self::Off };
        let number = u64::from(address.ip().to_bits()).wrapping_add(network.seed());
        if number % 3 == 0 { Self::On } else { Self::Off }
    }
}

/// A client's end of a connection. Its bytes are plain text.
pub struct Wire {
    /// The end of the simulated socket, for everything except bytes.
    pub client: Client,
    seal: Option<Box<Seal>>,
}

struct Seal {
    layer: XorLayer,
    /// Opens the bytes that the gateway's socket has taken.
    taken: XorLayer,
    /// Records that the gateway has not received: the offset of each record's end, and the length
    /// of its plain text.
    ends: VecDeque<(usize, usize)>,
    sent: usize,
    received: usize,
    /// The offset after a record that makes the gateway end the connection.
    last: Option<usize>,
    ending: Ending,
}

/// How the client has ended its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Open,
    /// By FIN, in order or in the middle of a record.
    Fin,
    /// By a damaged record, which the gateway answers by an alert.
    Damaged,
}

/// The bytes and records that the gateway has received.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Bytes of plain text.
    pub plain: usize,
    /// Whether a record came that ends the connection.
    pub has_ended: bool,
}

impl Wire {
    /// Connects, from `address` or from an address of its own.
    pub fn connect(network: &Network, address: Option<SocketAddr>, sealing: Sealing) -> Self {
        let address = address.unwrap_or_else(|| network.own_address());
        let listener = if sealing == Sealing::On { SEALED } else { 0 };
        let mut wire = Self::over(network.connect_to(listener, address));
        if sealing == Sealing::On {
            let (mut hello, nonce) = (Vec::new(), u64::from(address.port()) ^ network.seed());
            let seal = Seal {
                layer: XorLayer::client(nonce, &mut hello),
                taken: XorLayer::client(nonce, &mut Vec::new()),
                ends: VecDeque::new(),
                sent: hello.len(),
                received: 0,
                last: None,
                ending: Ending::Open,
            };
            wire.client.send(&hello);
            wire.seal = Some(Box::new(seal));
        }
        wire
    }

    /// A plain connection.
    pub fn over(client: Client) -> Self {
        Self { client, seal: None }
    }

    /// Sends `bytes`.
    pub fn send(&mut self, bytes: &[u8]) {
        match &mut self.seal {
            Some(seal) => self.client.send(&seal.seal(bytes)),
            None => self.client.send(bytes),
        }
    }

    /// The bytes received since the last call.
    pub fn received(&mut self) -> Vec<u8> {
        let received = self.client.received();
        match &mut self.seal {
            Some(seal) => open(&mut seal.layer, received, seal.ending),
            None => received,
        }
    }

    /// The bytes that the gateway's socket has taken since the last call, of complete records. The
    /// first call only starts the recording, so it must come before anything can be taken.
    pub fn taken(&mut self) -> Vec<u8> {
        let taken = self.client.taken();
        match &mut self.seal {
            Some(seal) => open(&mut seal.taken, taken, seal.ending),
            None => taken,
        }
    }

    /// Notes that the gateway has received `bytes` more.
    pub fn delivers(&mut self, bytes: usize) -> Received {
        match &mut self.seal {
            Some(seal) => seal.delivers(bytes),
            None => Received { plain: bytes, has_ended: false },
        }
    }

    /// Ends its side in one of several ways, and continues to read.
    pub fn half_close(&mut self) {
        if let Some(seal) = &mut self.seal {
            self.client.send(&seal.end());
            if seal.last.is_some() {
                return;
            }
        }
        self.client.half_close();
    }

    /// The most bytes that this many bytes of plain text take on the wire.
    pub fn sealed_bytes_max(&self, bytes: usize) -> usize {
        self.seal.as_ref().map_or(bytes, |seal| seal.layer.sealed_bytes_max(bytes))
    }
}

impl Seal {
    fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut sealed = bytes.to_vec();
        self.layer.seal(&mut sealed, 0);
        for body in bytes.chunks(BODY_BYTES_MAX) {
            self.sent += HEAD_BYTES + body.len();
            self.ends.push_back((self.sent, body.len()));
        }
        sealed
    }

    fn delivers(&mut self, bytes: usize) -> Received {
        self.received += bytes;
        let mut received = Received { plain: 0, has_ended: false };
        while let Some((_, plain)) = self.ends.pop_front_if(|(end, _)| *end <= self.received) {
            received.plain += plain;
        }
        received.has_ended = self.last.take_if(|last| *last <= self.received).is_some();
        received
    }

    /// The bytes that a client sends before its FIN. After a last record the gateway must end the
    /// connection without a FIN.
    fn end(&mut self) -> Vec<u8> {
        if self.ending != Ending::Open {
            return Vec::new();
        }
        self.ending = Ending::Fin;
        let mut last = Vec::new();
        // Any number that depends on the run will do.
        match (self.sent / 3) % 4 {
            0 => {}
            1 => {
                self.layer.close(&mut last);
                self.last = Some(self.sent + last.len());
            }
            2 => {
                last = b"never read".to_vec();
                self.layer.seal(&mut last, 0);
                last.truncate(HEAD_BYTES + 5);
            }
            _ => {
                last = b"never read".to_vec();
                self.layer.seal(&mut last, 0);
                last[HEAD_BYTES + 3] ^= 0x40;
                self.ending = Ending::Damaged;
                self.last = Some(self.sent + last.len());
            }
        }
        last
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
