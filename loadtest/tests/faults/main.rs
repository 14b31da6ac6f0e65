//! Servers with a known fault, loaded by the program itself: each fault must be in its report, in
//! the right number, and no other.
//!
//! No test asserts a tight time: the machine may be busy. A run that is invalid for that is still
//! counted right.

#![forbid(unsafe_code)]

mod calibration;
mod ending;
mod latency;
mod ledger;
mod many;
mod opening;
mod run;
mod server;
mod timeline;
mod unstamped;
mod usage;
mod validity;
mod whole;
