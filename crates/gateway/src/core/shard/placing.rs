//! Where the driver may receive a client's large message: in the buffer in which it is assembled.
//!
//! It only finds the client; the message's reader bounds the buffer.

use ringway_acceptor::{ConnectionId, PLACE_BYTES_MAX, Place, Places};

use crate::{config::Limits, core::shard::Shard};

impl Places for Shard {
    fn place(&mut self, connection: ConnectionId) -> Place<'_> {
        // Input beyond the bound of a turn would be copied, to be served later.
        if self.core.hub.is_spent() {
            return Place::Later;
        }
        let Self { peers, core, .. } = self;
        // A rate is no more exact than one receive.
        if bytes_of_burst(&core.settings.limits) < PLACE_BYTES_MAX as f64 {
            return Place::Lent;
        }
        let place = peers.lookup_mut(connection).and_then(|peer| peer.place(&core.hub));
        place.map_or(Place::Lent, Place::In)
    }
}

/// What a connection may send at once.
fn bytes_of_burst(limits: &Limits) -> f64 {
    limits.bytes_per_second_max as f64 * limits.burst_time.as_secs_f64()
}
