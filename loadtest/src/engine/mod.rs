//! Driving connections: one thread's many of them, what they are for, and all threads together.
//!
//! Nothing here knows what a message means.

mod channels;
pub mod conductor;
mod exchange;
pub mod fleet;
pub mod links;
pub mod opener;
pub mod plan;
pub mod signal;
pub mod worker;
pub mod workload;
