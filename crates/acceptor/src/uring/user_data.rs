//! The 64 bits that travel with an operation: its kind, and the connection or index that it is for.
//!
//! Layout: kind in bits 56-63, generation in 32-55, slot (or index) in 0-31.

use crate::ConnectionId;

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Cancels, messages and trials, whose results do not matter. It is the first one, so that an
    /// operation without user data is never taken for another kind, least of all for an accept.
    Ignored,
    /// Multishot accept; the index is the listener's.
    Accept,
    /// Connect of a connection that is being established, or the poll that replaces it.
    Connect,
    /// Multishot receive of a connection.
    Receive,
    /// Send that ran inline; the index is the operation's place in the turn.
    InlineSend,
    /// Send of a backlog, with memory pinned until its completion.
    BacklogSend,
    /// Empty send that fails on a broken connection.
    Check,
    /// Poll of the waker's eventfd.
    Wake,
    /// Message that wakes another core's ring; the index is the operation's place in the turn.
    WakeOther,
}

const KINDS: [Kind; 9] = [
    Kind::Ignored,
    Kind::Accept,
    Kind::Connect,
    Kind::Receive,
    Kind::InlineSend,
    Kind::BacklogSend,
    Kind::Check,
    Kind::Wake,
    Kind::WakeOther,
];

/// User data of an operation on a connection.
pub(super) fn of_connection(kind: Kind, connection: ConnectionId) -> u64 {
    (kind as u64) << 56 | u64::from(connection.generation()) << 32 | u64::from(connection.slot())
}

/// User data of an operation on something else.
pub(super) fn of_index(kind: Kind, index: u32) -> u64 {
    (kind as u64) << 56 | u64::from(index)
}

/// The kind of a completion.
pub(super) fn kind(user_data: u64) -> Kind {
    KINDS.get((user_data >> 56) as usize).copied().unwrap_or(Kind::Ignored)
}

/// The connection of a completion.
pub(super) fn connection(user_data: u64) -> ConnectionId {
    ConnectionId::new(user_data as u32, (user_data >> 32) as u32)
}

/// The index of a completion.
pub(super) fn index(user_data: u64) -> u32 {
    user_data as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        for of in KINDS {
            let name = ConnectionId::new(u32::MAX, ConnectionId::GENERATIONS - 1);
            let data = of_connection(of, name);
            assert_eq!((kind(data), connection(data)), (of, name));
            let data = of_index(of, 77);
            assert_eq!((kind(data), index(data)), (of, 77));
        }
        assert_eq!((kind(0), kind(u64::MAX)), (Kind::Ignored, Kind::Ignored));
    }
}
