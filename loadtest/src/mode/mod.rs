//! The modes: one folder for each command, with the workload of its connections.
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

/// The wait before a connection that was lost is opened again.
const REOPEN_DELAY: Duration = Duration::from_secs(1);
