//! The layers of records in the simulation: the listeners that have one, and a client's end of a
//! connection, which seals its bytes and opens received bytes if it connects to such a listener.
//!
//! It decides how such a client ends its side: by FIN, perhaps in the middle of a record, by its
//! last record, or by a damaged record. No FIN follows the last two.

mod book;
mod tls;
mod wire_xor;

use std::net::SocketAddr;

use ringway::outbox::channel::Channels;
use ringway_acceptor::sim::{Client, Network};

use book::Book;
pub use book::Received;
use tls::TlsEnd;
pub use tls::{Handshake, Outcome, Spoil, Version};
use wire_xor::XorEnd;

/// The channels of each listener's connections.
pub fn channels() -> Channels {
    let mut channels = Channels::default();
    wire_xor::set(&mut channels);
    tls::set(&mut channels);
    channels
}

/// Whether the bytes of this listener's connections differ between two runs of a seed. Their number
/// does not.
pub fn is_random(listener: u16) -> bool {
    Version::ALL.into_iter().any(|version| version.listener() == listener)
}

/// The layer of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// The connection is plain.
    Off,
    /// The layer that encrypts by XOR.
    Xor,
    /// TLS.
    Tls(Version, Handshake),
}

impl Sealing {
    /// Every third connection of a network has a layer: XOR in most networks, TLS in the others,
    /// because its handshakes cost time.
    pub fn of_next(network: &Network) -> Self {
        let SocketAddr::V4(address) = network.own_address() else { return Self::Off };
        let number = u64::from(address.ip().to_bits()).wrapping_add(network.seed());
        if number % 3 > 0 {
            return Self::Off;
        }
        if !network.seed().is_multiple_of(4) {
            return Self::Xor;
        }
        let number = number / 3;
        let handshake = match (number % 8, Spoil::ALL.len() as u64) {
            (0, kinds) => Handshake::Spoiled(Spoil::ALL[(number / 8 % kinds) as usize]),
            _ => Handshake::Right,
        };
        Self::Tls(Version::ALL[number as usize % 2], handshake)
    }
}

/// A client's end of a connection. Its bytes are plain text.
pub struct Wire {
    /// The end of the simulated socket, for everything except bytes.
    pub client: Client,
    layer: Layer,
    book: Book,
}

enum Layer {
    None,
    Xor(Box<XorEnd>),
    Tls(Box<TlsEnd>),
}

impl Wire {
    /// Connects, from `address` or from an address of its own.
    pub fn connect(network: &Network, address: Option<SocketAddr>, sealing: Sealing) -> Self {
        let address = address.unwrap_or_else(|| network.own_address());
        let connect = |listener| network.connect_to(listener, address);
        let mut book = Book::default();
        let (client, layer) = match sealing {
            Sealing::Off => (connect(0), Layer::None),
            Sealing::Xor => {
                let nonce = u64::from(address.port()) ^ network.seed();
                let client = connect(wire_xor::LISTENER);
                let end = XorEnd::begin(&client, nonce, &mut book);
                (client, Layer::Xor(Box::new(end)))
            }
            Sealing::Tls(version, handshake) => {
                let client = connect(version.listener());
                let end = TlsEnd::begin(&client, handshake, &mut book);
                (client, Layer::Tls(Box::new(end)))
            }
        };
        Self { client, layer, book }
    }

    /// A plain connection.
    pub fn over(client: Client) -> Self {
        Self { client, layer: Layer::None, book: Book::default() }
    }

    /// Sends `bytes`.
    pub fn send(&mut self, bytes: &[u8]) {
        match &mut self.layer {
            Layer::None => self.client.send(bytes),
            Layer::Xor(end) => end.send(&self.client, bytes, &mut self.book),
            Layer::Tls(end) => end.send(&self.client, bytes, &mut self.book),
        }
    }

    /// The bytes received since the last call.
    pub fn received(&mut self) -> Vec<u8> {
        match &mut self.layer {
            Layer::None => self.client.received(),
            Layer::Xor(end) => end.received(&self.client, &self.book),
            Layer::Tls(end) => end.received(&self.client, &mut self.book),
        }
    }

    /// The bytes that the gateway's socket has taken since the last call, of complete records. The
    /// first call only starts the recording, so it must come before anything can be taken.
    pub fn taken(&mut self) -> Vec<u8> {
        match &mut self.layer {
            Layer::None => self.client.taken(),
            Layer::Xor(end) => end.taken(&self.client, &self.book),
            Layer::Tls(end) => end.taken(&self.client, &mut self.book),
        }
    }

    /// Notes that the gateway has received `bytes` more.
    pub fn delivers(&mut self, bytes: usize) -> Received {
        match &self.layer {
            Layer::None => Received { plain: bytes, has_ended: false },
            Layer::Xor(_) | Layer::Tls(_) => self.book.delivers(bytes),
        }
    }

    /// Ends its side in one of several ways, and continues to read.
    pub fn half_close(&mut self) {
        match &mut self.layer {
            Layer::None => self.client.half_close(),
            Layer::Xor(end) => end.half_close(&self.client, &mut self.book),
            Layer::Tls(end) => end.half_close(&self.client, &mut self.book),
        }
    }

    /// The most bytes that this many bytes of plain text take on the wire.
    pub fn sealed_bytes_max(&self, bytes: usize) -> usize {
        match &self.layer {
            Layer::None => bytes,
            Layer::Xor(end) => end.sealed_bytes_max(bytes),
            Layer::Tls(end) => end.sealed_bytes_max(bytes),
        }
    }

    /// What became of a connection by TLS; `None` if it is not over, or was reset.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.layer {
            Layer::Tls(end) => end.outcome(&self.client),
            Layer::None | Layer::Xor(_) => None,
        }
    }
}
