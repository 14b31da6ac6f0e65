//! A seeded network in memory behind the same trait as the real drivers, for tests.
//!
//! Time is virtual, faults are drawn from the seed, and a breach of the driver's contract by its
//! owner panics with that seed. It never opens a socket and never sleeps.

mod client;
mod connect;
mod driver;
mod faults;
mod leases;
mod link;
mod network;
mod server;
mod socket;
mod submission;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use driver::SimDriver;
pub use faults::Faults;
pub use leases::POISON;
pub use network::Network;
pub use server::Server;
