//! `merge`: what several processes or hosts have seen of one run, as one report.
//!
//! Histograms are added, not averaged, so quantiles are as exact as those of one process. It is
//! valid only if all parts are.

pub mod command;
mod sum;

pub use sum::merge;
