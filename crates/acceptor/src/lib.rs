//! The connection engine: listeners, one driver per core, receive buffers, timers and wake-ups.
//!
//! A [`Driver`] turns [`Operations`] into bytes on sockets and bytes on sockets into
//! [`Completion`]s. There are three: [`uring`] (io_uring, the product's data path), [`epoll`]
//! (where io_uring is forbidden) and [`sim`] (a seeded network with faults, for tests).
//! It knows nothing about WebSockets, HTTP or policies.

#![deny(unsafe_code)]

pub mod completion;
mod connecting;
pub mod connection;
pub mod connector;
pub mod cores;
pub mod descriptors;
pub mod driver;
pub mod engine;
pub mod epoll;
pub mod listener;
pub mod operation;
mod places;
pub mod sim;
pub mod slots;
pub mod socket_options;
#[allow(unsafe_code)]
mod tcp_progress;
pub mod uring;
pub mod waker;
pub mod wheel;

pub use completion::{Completion, ConnectFailure, Failure};
pub use connection::ConnectionId;
pub use connector::{ConnectRequest, ConnectToken, Connector};
pub use driver::{Counters, Driver, Settings, WaitMode};
pub use listener::{BindError, Listener, WrongKind};
pub use operation::{Operation, Operations, Outgoing, Piece, SendMark, Staged};
pub use places::{Nowhere, PLACE_BYTES_MAX, Place, Places};
pub use socket_options::SocketOptions;
pub use waker::Waker;
pub use wheel::Wheel;
