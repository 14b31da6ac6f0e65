//! Clients of the hub in a simulated world: two real shards over one log, on every transport, and a
//! model of what each client is owed.
//!
//! The clients touch the gateway by bytes alone. The model knows the log, the place at which each
//! command was carried out, and what each socket took; it never looks into a session.

mod acting;
mod application;
mod command;
mod cores;
mod course;
mod ear;
mod hearing;
mod interest;
mod late_log;
mod line;
mod model;
mod people;
mod service;
mod truth;
mod view;
mod world;

pub use course::Course;
pub use world::{Story, World};
