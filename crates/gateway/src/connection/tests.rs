//! What an idle connection costs, field by field.

use ringway_acceptor::{epoll::EpollDriver, uring::UringDriver, wheel};
use ringway_frame::MessageReader;

use crate::{
    connection::{HeldRequest, *},
    rates::ConnectionRates,
};

/// The budget of an idle WebSocket is 256 bytes of user space; the allocator may take some of
/// them for itself.
#[test]
fn an_idle_connection_stays_within_its_budget() {
    let account = [
        ("name", size_of::<ConnectionId>(), 8),
        ("sending", size_of::<Sending>(), 20),
        ("counted", size_of::<u32>(), 4),
        ("deadlines", size_of::<Deadlines>(), 12),
        ("seat", size_of::<Option<Permit>>(), 8),
        ("reader", size_of::<MessageReader>(), 56),
        ("websocket", size_of::<WebSocket>(), 80),
        ("http", size_of::<HttpConnection>(), 40),
        ("stage", size_of::<Protocol>(), 80),
        ("peer", size_of::<Option<ClientConnection>>(), 152),
        ("deadline", wheel::SLOT_BYTES, 16),
        ("io_uring driver", UringDriver::CONNECTION_BYTES, 32),
        ("epoll driver", EpollDriver::CONNECTION_BYTES, 32),
    ];
    for (field, bytes, bytes_max) in account {
        assert!(bytes <= bytes_max, "{field} takes {bytes} bytes, its share is {bytes_max}");
    }
    // The budget of an idle client with a name and one subscription is 512 bytes. Beside these
    // are its name (32 bytes for a short one), its topics (8), and its entries in the tables of
    // the hub, whose sizes are asserted there.
    for (field, bytes, bytes_max) in [
        ("session", size_of::<Session>(), 80),
        ("stream", size_of::<Stream>(), 32),
        ("poll", size_of::<LongPoll>() + size_of::<HeldRequest>(), 72),
    ] {
        assert!(bytes <= bytes_max, "{field} takes {bytes} bytes, its share is {bytes_max}");
    }
    let driver = UringDriver::CONNECTION_BYTES.max(EpollDriver::CONNECTION_BYTES);
    let tables = wheel::SLOT_BYTES + ConnectionRates::SLOT_BYTES + driver;
    assert!(size_of::<Option<ClientConnection>>() + tables <= 208);
}
