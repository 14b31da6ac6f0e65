//! Where the driver may receive a client's large message: in the buffer in which it is assembled.
//!
//! It only finds the client; the message's reader bounds the buffer.

use ringway_acceptor::{ConnectionId, Place, Places};

use crate::core::shard::Shard;

impl Places for Shard {
    fn place(&mut self, connection: ConnectionId) -> Place<'_> {
        // Input beyond the bound of a turn would be copied, to be served later.
        if self.core.hub.is_spent() {
            return Place::Later;
        }
        let Self { peers, core, .. } = self;
        let place = peers.lookup_mut(connection).and_then(|peer| peer.place(&core.hub));
        place.map_or(Place::Lent, Place::In)
    }
}
