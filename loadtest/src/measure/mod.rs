//! Measured values: the order of arrival, times, counts, and the kernel's accounting of processes.
//!
//! Nothing here touches a connection.

pub mod arrivals;
pub mod encoding;
pub mod interval;
pub mod kernel;
pub mod ledger;
pub mod process;
pub mod quantiles;
pub mod run;
pub mod server;
pub mod sparse;
pub mod spread;
pub mod timeline;
