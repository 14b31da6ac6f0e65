//! Integration tests: the real binary on loopback, on io_uring and on epoll.
//!
//! One module for each thing that a client or an operator can observe. They look at bytes,
//! exit codes, log lines and /proc, and at nothing inside the process.

mod support;

mod heads;
mod requests;
mod upgrade;
