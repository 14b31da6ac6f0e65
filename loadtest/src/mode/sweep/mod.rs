//! `sweep`: the highest rate of echoes at which 99 in 100 come back in time.
//!
//! Each step is an open loop on the same connections: the rate doubles until one fails, and then
//! the interval is halved. A longer step confirms the result; a rate that passed once by luck is
//! not reported.

pub mod command;
pub mod curve;
pub mod search;
pub mod step;
