//! The parts of `xtask` that its tests also use. The commands are in `main`.

#![forbid(unsafe_code)]

pub mod layering;
