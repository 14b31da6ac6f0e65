//! `compare`: several servers under the same load by turns, in slots so short that what disturbs
//! the machine for longer than a round disturbs all alike.
//!
//! Ratios are taken per round. Each server has a tester of its own, a process: the descriptors of
//! one do not suffice for 10,000 connections to each of two servers. Between its slots a tester
//! waits on a pipe and costs nothing.

pub mod command;
pub mod conclude;

pub mod load;
pub mod rounds;
pub mod serve;
pub mod slot;
pub mod table;
pub mod tester;
