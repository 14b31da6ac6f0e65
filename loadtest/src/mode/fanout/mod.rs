//! `fanout`: publishers publish events, and each must reach all subscribers once and in order.
//!
//! Subscribers and publishers have threads of their own, on one clock; they know of each other
//! only what [`traffic`] says.

pub mod command;
pub mod feed;
pub mod participants;
pub mod plans;
pub mod publish;
pub mod sides;
pub mod spread;
pub mod subscribe;
pub mod traffic;
