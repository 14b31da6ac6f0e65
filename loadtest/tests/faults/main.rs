//! Servers with a known fault, loaded by the program itself: its report must have each fault, in
//! the right number, and no other.
//!
//! No test asserts a tight time: the machine may be busy. A run that is invalid for that reason
//! must still count correctly.

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
