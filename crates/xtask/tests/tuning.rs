//! Does every file of `tuning/` suit the program that reads it?
//!
//! A check whose program is not installed is skipped, and the test prints that. Nothing on this
//! machine is changed: the script for network cards runs on a separate tree of files.

#[path = "tuning/files.rs"]
mod files;
#[path = "tuning/rps.rs"]
mod rps;
#[path = "tuning/seccomp.rs"]
mod seccomp;
#[path = "tuning/unit.rs"]
mod unit;
