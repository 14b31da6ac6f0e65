//! `compare`: several servers in turn under the same load. The slots are so short that a
//! disturbance of the machine that lasts longer than a round affects all servers alike.
//!
//! Ratios are computed per round. Each server has a tester process of its own, because the
//! descriptors of one process do not suffice for 10,000 connections to each of two servers. Between
//! its slots a tester waits on a pipe and uses no CPU.

pub mod command;
pub mod conclude;
pub mod load;
pub mod pool;
pub mod rounds;
pub mod sample;
pub mod serve;
pub mod slot;
pub mod table;
pub mod tester;
