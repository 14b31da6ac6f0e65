//! The peers of one core, by the slot of their connection.
//!
//! It grows in chunks, so that growing moves nobody.

use ringway_acceptor::ConnectionId;

use crate::connection::ClientConnection;

const CHUNK: usize = 256;

/// A table of peers.
#[derive(Default)]
pub struct Peers {
    chunks: Vec<Box<[Option<ClientConnection>]>>,
    count: usize,
}

impl Peers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Slots below this are all that may be occupied.
    pub fn slots(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// Adds a peer under its connection's name, whose slot is free.
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

    /// The peer of `connection`, unless it is gone.
    pub fn lookup(&self, connection: ConnectionId) -> Option<&ClientConnection> {
        let slot = connection.slot() as usize;
        let peer = self.chunks.get(slot / CHUNK)?[slot % CHUNK].as_ref();
        peer.filter(|peer| peer.connection() == connection)
    }

    /// As [`Peers::lookup`], to be changed.
    #[inline]
    pub fn lookup_mut(&mut self, connection: ConnectionId) -> Option<&mut ClientConnection> {
        self.in_slot_mut(connection.slot()).filter(|peer| peer.connection() == connection)
    }

    /// The peer in `slot`.
    #[inline]
    pub fn in_slot_mut(&mut self, slot: u32) -> Option<&mut ClientConnection> {
        let slot = slot as usize;
        self.chunks.get_mut(slot / CHUNK)?.get_mut(slot % CHUNK)?.as_mut()
    }

    /// All of them, in the order of their slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut ClientConnection> {
        self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut().flatten())
    }

    /// Takes a peer out.
    pub fn remove(&mut self, connection: ConnectionId) -> Option<ClientConnection> {
        self.lookup_mut(connection)?;
        self.count -= 1;
        let slot = connection.slot() as usize;
        self.chunks[slot / CHUNK][slot % CHUNK].take()
    }
}
