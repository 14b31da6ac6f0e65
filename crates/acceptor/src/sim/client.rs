//! The test's end of a simulated connection.
//!
//! It never blocks: sends are queued on the network, and reads return the bytes that have arrived.

use std::net::SocketAddr;

use super::{
    Network,
    link::{Link, Reading, Tail},
};

/// A client of a [`Network`]. Dropping it leaves its connection as it is.
#[derive(Debug)]
pub struct Client {
    network: Network,
    link: usize,
    gate: Option<usize>,
}

impl Client {
    pub(super) fn new(network: Network, link: usize, gate: Option<usize>) -> Self {
        Self { network, link, gate }
    }

    /// The address that the driver reports.
    pub fn address(&self) -> SocketAddr {
        self.look(|link| link.address)
    }

    /// Sends `bytes`; they are lost if the connection is over.
    pub fn send(&self, bytes: &[u8]) {
        self.act(|link| {
            if link.tail == Tail::Open {
                link.inbound.extend(bytes);
            }
        });
    }

    /// The bytes that have arrived since the last call.
    pub fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.network.world().links[self.link].arrived)
    }

    /// The bytes that the driver's socket has taken since the last call, which a reset may keep
    /// from arriving. The first call only starts the recording.
    pub fn taken(&self) -> Vec<u8> {
        let taken = &mut self.network.world().links[self.link].taken;
        taken.replace(Vec::new()).unwrap_or_default()
    }

    /// Sends FIN, and continues to read.
    pub fn half_close(&self) {
        self.act(|link| {
            if link.tail == Tail::Open {
                link.tail = Tail::Fin;
            }
        });
    }

    /// Sends RST; bytes in flight may be lost.
    pub fn reset(&self) {
        let world = &mut *self.network.world();
        world.links[self.link].reset(&mut world.rng);
        if let Some(gate) = self.gate {
            world.stir(gate);
        }
    }

    /// Closes the socket: sends FIN now, and RST if the driver sends more.
    pub fn close(&self) {
        self.half_close();
        self.act(|link| link.client_closed = true);
    }

    /// Reads no more than `bytes` per turn, so that the driver's send buffer fills.
    pub fn reads_at_most(&self, bytes: usize) {
        self.act(|link| link.reading = Reading::AtMost(bytes));
    }

    /// Reads nothing.
    pub fn pause_reading(&self) {
        self.reads_at_most(0);
    }

    /// Reads all bytes.
    pub fn resume_reading(&self) {
        self.act(|link| link.reading = Reading::Freely);
    }

    /// Whether the driver's side has finished, after all that it sent was read.
    pub fn saw_fin(&self) -> bool {
        self.look(|link| link.saw_fin)
    }

    /// Whether the connection was reset, refused or broken by a fault.
    pub fn saw_reset(&self) -> bool {
        self.look(|link| link.saw_reset)
    }

    /// Whether nothing more can arrive.
    pub fn is_closed(&self) -> bool {
        self.saw_fin() || self.saw_reset()
    }

    fn look<T>(&self, at: impl FnOnce(&Link) -> T) -> T {
        at(&self.network.world().links[self.link])
    }

    fn act(&self, on: impl FnOnce(&mut Link)) {
        let world = &mut *self.network.world();
        on(&mut world.links[self.link]);
        if let Some(gate) = self.gate {
            world.stir(gate);
        }
    }
}
