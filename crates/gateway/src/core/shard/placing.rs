//! Where the driver may receive a client's large message: in the buffer in which it is assembled.
//!
//! It only finds the client; the message's reader bounds the buffer.

use ringway_acceptor::{ConnectionId, Places};

use crate::core::shard::Shard;

impl Places for Shard {
    /// Where a client's large message is assembled. Once a turn has used up its bound, bytes are
    /// lent and put off.
    fn place(&mut self, connection: ConnectionId) -> Option<&mut Vec<u8>> {
        if self.core.hub.is_spent() {
            return None;
        }
        self.peers.lookup_mut(connection)?.place()
    }
}
