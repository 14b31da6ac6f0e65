//! Clients of the hub in a simulated world: two real shards over one log, on every transport, and a
//! model of what each client is owed.
//!
//! The clients touch the gateway by bytes alone. The model knows the log, the place at which each
//! command was carried out, and what each socket took; it never looks into a session.

mod checker;
mod command;
mod connect_params;
mod connection;
mod cores;
mod interest;
mod model;
mod oracle;
mod person;
mod reference_log;
mod scenario;
mod service;
mod taken;
mod workload;
mod world;

pub use scenario::Scenario;
pub use world::{Tally, World};
