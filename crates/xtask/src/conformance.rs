//! `conformance`.
use crate::{checkout::Checkout, step::Outcome};
use anyhow::Result;
use clap::Args;
/// Autobahn.
#[derive(Args, Default)]
pub struct Options {}
pub fn run(_: &Checkout, _: &Options) -> Result<Outcome> {
    Ok(Outcome::Skipped("unwritten".into()))
}
