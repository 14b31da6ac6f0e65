//! Is every file of `tuning/` what the program that reads it wants?
//!
//! A program that is not installed here is passed over, and said so; nothing on this machine is
//! changed: the script for network cards is run on a tree of files of its own.

#[path = "tuning/files.rs"]
mod files;
#[path = "tuning/rps.rs"]
mod rps;
#[path = "tuning/seccomp.rs"]
mod seccomp;
#[path = "tuning/unit.rs"]
mod unit;
