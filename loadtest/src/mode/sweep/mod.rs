//! `sweep`: the highest rate of echoes at which 99 in 100 come back in time.
//!
//! Steps of an open loop on the same open connections: twice the rate until one is too much, then
//! halves of what is between. What is found is confirmed by a longer step; a rate that held once
//! by luck is not quoted.

pub mod command;
pub mod curve;
pub mod search;
pub mod step;
