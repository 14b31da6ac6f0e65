//! The number of WebSockets of a core that have not shown their token is bounded.

use super::*;
use crate::limits::FIRST_MESSAGES_MAX;

const OPENING: &str = "GET /ws?auth=message";

impl World {
    /// With this many WebSockets that have not shown their token, on slots from 0.
    fn unidentified(count: usize) -> Self {
        let mut world = Self::new(Refusing(Refusal::ForeignOrigin));
        world.shard.core.limiter = Arc::new(ConnectionLimiter::new(ConnectionLimits {
            connections_max: 2 * FIRST_MESSAGES_MAX as u32,
            connections_per_address_max: u32::MAX,
            exempt: Vec::new(),
        }));
        for slot in 0..count {
            world.opens(slot);
        }
        world
    }

    /// The status of the response to one more, on this slot.
    fn opens(&mut self, slot: usize) -> u16 {
        self.connection = ConnectionId::new(slot as u32, 0);
        if slot > 0 {
            self.connects();
        }
        self.sent.clear();
        self.requests(OPENING, UPGRADE);
        self.statuses()[0]
    }

    fn leaves(&mut self, slot: usize) {
        self.connection = ConnectionId::new(slot as u32, 0);
        self.complete(Completion::EndOfStream { connection: self.connection });
        (0..10).for_each(|_| self.turn());
        self.complete(Completion::Closed { connection: self.connection });
    }
}

#[test]
fn one_websocket_more_is_refused_until_another_has_shown_its_token_or_left() {
    let mut world = World::unidentified(FIRST_MESSAGES_MAX);
    assert_eq!(world.statuses(), [101], "the last one that has room");
    assert_eq!(world.shard.core.identities.first_messages(), FIRST_MESSAGES_MAX);
    assert_eq!(world.opens(FIRST_MESSAGES_MAX), 504);
    assert!(world.sent.contains("\"temporary\":true"), "{}", world.sent);
    // A request that needs no such place is served.
    world.sent.clear();
    world.requests("GET /", "");
    assert_eq!(world.statuses(), [200]);

    world.leaves(7);
    assert_eq!(world.opens(FIRST_MESSAGES_MAX + 1), 101);
    assert_eq!(world.opens(FIRST_MESSAGES_MAX + 2), 504);
    // A masked frame with a first message that is no token: the connection no longer counts.
    world.connection = ConnectionId::new(9, 0);
    let bytes = &mut b"\x81\x82\0\0\0\0{}".to_vec()[..];
    world.complete(Completion::Received { connection: world.connection, bytes });
    assert_eq!(world.opens(FIRST_MESSAGES_MAX + 3), 101);
}
