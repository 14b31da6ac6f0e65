//! `fanout`: publishers publish events, and each must reach all subscribers once and in order.
//!
//! Subscribers and publishers have separate threads on one clock; they share only [`traffic`].

pub mod command;
pub mod feed;
pub mod participants;
pub mod plans;
pub mod publish;
pub mod sides;
pub mod spread;
pub mod subscribe;
pub mod traffic;
