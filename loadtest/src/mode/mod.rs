//! What connections are for: one folder for each command.
//!
//! Nothing here touches a socket.

use std::time::Duration;

pub mod calibrate;
pub mod churn;
pub mod compare;
pub mod echo;
pub mod fanout;
pub mod idle;
pub mod merge;
pub mod pace;
pub mod ready;
pub mod storm;
pub mod sweep;

/// A connection that was lost is opened again after this.
const REOPEN_DELAY: Duration = Duration::from_secs(1);
