//! Shared by the binaries that measure a whole gateway: its process, its clients, and its memory.
//!
//! Each module uses only those above it:
//!
//! ```text
//! process, handshake   the kernel's accounting of a process; a client's opening handshake
//! gateway              a gateway under measurement
//! client, memory       a client that has been welcomed; a gateway whose memory is read
//! subscribers, publisher
//! ```
//!
//! Nothing here is shipped. The load generator is `ringway-loadtest`.

#![forbid(unsafe_code)]

pub mod client;
pub mod gateway;
pub mod handshake;
pub mod memory;
pub mod process;
pub mod publisher;
pub mod subscribers;
