//! Connections to servers behind the gateway.
//!
//! It knows no protocol yet: bytes go through as they are.

pub mod relay;
