//! Connections to servers behind the gateway.
//!
//! It knows no protocol yet: bytes pass through unchanged.

pub mod framing;
pub mod heads;
pub mod pool;
pub mod relay;
