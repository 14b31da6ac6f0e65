//! Drives connections: those of one thread, their workload, and all threads together.
//!
//! Nothing here knows what a message means.

mod channels;
pub mod connections;
pub mod coordinator;
pub mod dialer;
mod exchange;
pub mod plan;
pub mod signal;
pub mod table;
pub mod worker;
pub mod workload;
