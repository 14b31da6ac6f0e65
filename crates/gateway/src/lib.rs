//! Skeleton.

pub mod args;
pub mod config;
pub mod limits;
