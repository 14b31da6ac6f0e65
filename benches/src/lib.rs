//! What the binaries share that measure a whole gateway: its process, clients of it, and its memory.
//!
//! Each module uses only those above it:
//!
//! ```text
//! process, handshake   what the kernel accounts to a process; a client's opening handshake
//! gateway              a gateway under measurement
//! client, memory       a client that has been welcomed; a gateway whose memory is read
//! subscribers, publisher
//! ```
//!
//! Nothing here is shipped, and nothing here is a load generator: that is `ringway-loadtest`.

#![forbid(unsafe_code)]

pub mod client;
pub mod gateway;
pub mod handshake;
pub mod memory;
pub mod process;
pub mod publisher;
pub mod subscribers;
