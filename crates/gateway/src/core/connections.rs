//! The connections of one core, by slot.
//!
//! It grows in chunks, so that growing never moves a connection.

use ringway_acceptor::ConnectionId;

use crate::connection::ClientConnection;

const CHUNK: usize = 256;

/// A table of connections.
#[derive(Default)]
pub struct Peers {
    chunks: Vec<Box<[Option<ClientConnection>]>>,
    count: usize,
}

impl Peers {
    /// The number of connections.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no connections.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Only slots below this can be occupied.
    pub fn slots(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// Adds a connection; its slot must be free.
    pub fn insert(&mut self, peer: ClientConnection) {
        let slot = peer.connection().slot() as usize;
        while self.chunks.len() <= slot / CHUNK {
            self.chunks.push(std::iter::repeat_with(|| None).take(CHUNK).collect());
        }
        let entry = &mut self.chunks[slot / CHUNK][slot % CHUNK];
        assert!(entry.is_none(), "a driver reuses a slot only after Closed");
        *entry = Some(peer);
        self.count += 1;
    }

    /// The client of `connection`, unless it is gone.
    pub fn lookup(&self, connection: ConnectionId) -> Option<&ClientConnection> {
        let slot = connection.slot() as usize;
        let peer = self.chunks.get(slot / CHUNK)?[slot % CHUNK].as_ref();
        peer.filter(|peer| peer.connection() == connection)
    }

    /// As [`Peers::lookup`], mutable.
    #[inline]
    pub fn lookup_mut(&mut self, connection: ConnectionId) -> Option<&mut ClientConnection> {
        self.in_slot_mut(connection.slot()).filter(|peer| peer.connection() == connection)
    }

    /// The connection in `slot`.
    #[inline]
    pub fn in_slot_mut(&mut self, slot: u32) -> Option<&mut ClientConnection> {
        let slot = slot as usize;
        self.chunks.get_mut(slot / CHUNK)?.get_mut(slot % CHUNK)?.as_mut()
    }

    /// All connections, in the order of their slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut ClientConnection> {
        self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut().flatten())
    }

    /// Removes a connection.
    pub fn remove(&mut self, connection: ConnectionId) -> Option<ClientConnection> {
        self.lookup_mut(connection)?;
        self.count -= 1;
        let slot = connection.slot() as usize;
        self.chunks[slot / CHUNK][slot % CHUNK].take()
    }
}
