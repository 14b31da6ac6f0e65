//! The parts of `xtask` that its tests use too. The commands are in `main`.

#![forbid(unsafe_code)]

pub mod layering;
