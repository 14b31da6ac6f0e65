//! Servers behind the gateway: which requests they serve, and the connections to them.
//!
//! It knows no client: `connection` joins a client with the connection to its server.

pub mod answer;
mod core_upstreams;
pub mod end;
pub mod forwarded;
pub mod framing;
pub mod heads;
pub mod pool;
pub mod routes;

pub use core_upstreams::CoreUpstreams;
