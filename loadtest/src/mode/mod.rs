//! What connections are for: one file for each command.
//!
//! Nothing here touches a socket.

pub mod calibrate;
pub mod echo;
pub mod ready;
