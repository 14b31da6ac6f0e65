//! `merge`: combines the results of several processes or hosts that shared a run into one report.
//!
//! Histograms are added, not averaged, so quantiles are as exact as those of one process. The sum
//! is valid only if all parts are.

pub mod command;
mod sum;

pub use sum::merge;
