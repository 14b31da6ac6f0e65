//! Attacks on the gateway while 1,000 good clients are connected: none of them loses an event or its
//! connection, and the p99 of their deliveries is printed and loosely bounded.
//!
//! `good` is what all of them share; each other file is one kind of attack.

mod connections;
mod frames;
mod good;
mod identities;
mod memory;
mod rates;
mod slow;
