//! A client's end of a simulated connection: every byte to and from the network passes here.
//!
//! It decides nothing: its owner decides what is sent, how the client reads and when it leaves.

use std::net::SocketAddr;

use ringway_acceptor::sim::{Client, Network};
use ringway_frame::{CloseCode, Control, handshake::client::Expectation};

use crate::{
    behaviour::Leaving,
    decoder::{Decoder, Said, Transport},
    sealing::{Outcome, Received, Sealing, Wire},
};

/// One connection.
pub struct Connection {
    wire: Wire,
    decoder: Decoder,
    sent: usize,
}

impl Connection {
    /// Begins to connect, from `address` or from an address of its own.
    pub fn connect(
        network: &Network,
        address: Option<SocketAddr>,
        sealing: Sealing,
        transport: Transport,
    ) -> Self {
        let wire = Wire::connect(network, address, sealing);
        Self { wire, decoder: Decoder::new(transport), sent: 0 }
    }

    /// The other end of a connection that the gateway has made.
    pub fn over(client: Client, transport: Transport) -> Self {
        Self { wire: Wire::over(client), decoder: Decoder::new(transport), sent: 0 }
    }

    /// The address that the gateway sees.
    pub fn address(&self) -> SocketAddr {
        self.wire.client.address()
    }

    /// Sends `bytes`. Returns how many bytes of plain text were sent so far.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.wire.send(bytes);
        self.sent += bytes.len();
        self.sent
    }

    /// The bytes received since the last call.
    pub fn receive(&mut self) -> Vec<u8> {
        self.wire.received()
    }

    /// The bytes that the gateway's socket has taken since the last call. A reset may prevent them
    /// from arriving. The first call only starts the recording.
    pub fn taken(&mut self) -> Vec<u8> {
        self.wire.taken()
    }

    /// Notes that the gateway has received `bytes` more, as the network counts them.
    pub fn delivers(&mut self, bytes: usize) -> Received {
        self.wire.delivers(bytes)
    }

    /// The most bytes that this many bytes of plain text take on the network.
    pub fn sealed_bytes_max(&self, bytes: usize) -> usize {
        self.wire.sealed_bytes_max(bytes)
    }

    /// Decodes the bytes received since the last call.
    pub fn said(&mut self) -> Vec<Said> {
        let bytes = self.receive();
        self.decoder.decode(bytes)
    }

    /// The masked Close that begins the closing handshake, if the client may still send one.
    pub fn close(&mut self, code: CloseCode, mask: [u8; 4]) -> Option<Vec<u8>> {
        self.decoder.close(code).map(|close| written(close, mask))
    }

    /// The masked answer to the gateway's Close, if one is due.
    pub fn answer(&mut self, mask: [u8; 4]) -> Option<Vec<u8>> {
        self.decoder.take_answer().map(|answer| written(answer, mask))
    }

    /// Sets the fields that a 101 must have.
    pub fn expect(&mut self, expectation: Option<Expectation<'static>>) {
        self.decoder.expect(expectation);
    }

    /// From now on reads at most `bytes` each turn.
    pub fn read_at_most(&mut self, bytes: usize) {
        self.wire.client.reads_at_most(bytes);
    }

    /// From now on reads everything.
    pub fn read_freely(&mut self) {
        self.wire.client.resume_reading();
    }

    /// What became of it, if it is by TLS and over.
    pub fn outcome(&self) -> Option<Outcome> {
        self.wire.outcome()
    }

    /// Ends its side of the connection as `leaving` says, if at all.
    pub fn leave(&mut self, leaving: Leaving) {
        match leaving {
            Leaving::Stays | Leaving::FallsSilent => {}
            Leaving::HalfCloses => self.wire.half_close(),
            Leaving::Resets => self.wire.client.reset(),
            Leaving::Vanishes => self.wire.client.close(),
        }
    }

    /// Whether the gateway has sent FIN and everything before it was read.
    pub fn saw_fin(&self) -> bool {
        self.wire.client.saw_fin()
    }

    /// Whether the connection was reset, refused or broken by a fault.
    pub fn saw_reset(&self) -> bool {
        self.wire.client.saw_reset()
    }
}

fn written(frame: Control<'_>, mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.emit(&mut bytes, Some(mask));
    bytes
}
