//! TLS by byte buffers, in both roles: sessions, certificates by name, and tickets.
//!
//! [`Session`] is the narrow type behind which rustls is. It never touches a socket and never
//! watches a file.

#![forbid(unsafe_code)]

pub mod certificates;
pub mod client;
mod error;
mod fault;
mod provider;
pub mod server;
mod session;
#[cfg(test)]
mod tests;
pub mod tickets;

pub use self::{
    error::TlsError,
    fault::{CertificateFault, Fault, Reason},
    provider::{Suite, install_for_process},
    session::{Opened, Session},
};
