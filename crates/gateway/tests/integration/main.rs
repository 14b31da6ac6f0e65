//! Integration tests: the real binary on loopback, on io_uring and on epoll.
//!
//! There is one module for each aspect that a client or an operator can observe. The tests look at
//! bytes, exit codes, log lines and /proc, and never inside the process.

mod support;

mod agreement;
mod api;
mod attacks;
mod bodies;
mod bulk;
mod commands;
mod compressed_events;
mod configuration;
mod crowds;
mod cursors;
mod departures;
mod descriptors;
mod doctor;
mod draining;
mod faults;
mod first_message;
mod framing;
mod heads;
mod heartbeats;
mod inflating;
mod inherited;
mod issuer_keys;
mod kernel_memory;
mod large_events;
mod last_events;
mod limits;
mod logging;
mod many_cores;
mod memory;
mod messages;
mod negotiation;
mod notifying;
mod origins;
mod polling;
mod private_api;
mod private_bodies;
mod private_listener;
mod publishing;
mod requests;
mod resets;
mod routes;
mod sandbox;
mod sending;
mod slow_readers;
mod sockets;
mod start;
mod stated_limits;
mod steady_readers;
mod stop;
mod streaming;
mod third_party;
mod tls;
mod tls_choices;
mod token_command;
mod tokens;
mod topic_retention;
mod turns;
mod upgrade;
mod vanishing;
