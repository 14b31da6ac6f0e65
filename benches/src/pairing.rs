//! What a comparison in paired slots may be told, whatever it compares, and what follows from it.
//!
//! Which servers there are, and what they are loaded with, is each binary's own.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};

use crate::{
    gateway::{Gateway, binary_beside_this_one},
    rounds::{Plan, Pool},
};

/// The part of a command line that all comparisons share.
#[derive(Debug, clap::Args)]
pub struct PairingArgs {
    /// Measure the base server a second time, as `control`: shows the noise
    #[arg(long)]
    pub control: bool,
    /// Slots of each server
    #[arg(long, default_value_t = 30)]
    pub rounds: usize,
    /// Set a key of all gateways, such as server.receive_buffer_bytes=65536; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The ringway binary [default: the one beside this one]
    #[arg(long)]
    pub server: Option<PathBuf>,
    /// Count only rounds in which no server and no tester waited longer for its CPU, in percent
    /// of a slot: on a machine with other work
    #[arg(long, value_name = "PERCENT", default_value_t = 100)]
    pub calm: u32,
    /// The servers' core
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// The testers' core
    #[arg(long, default_value_t = 1)]
    pub tester_core: usize,
}

impl PairingArgs {
    /// Whether anything can be measured so.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self) -> Result<()> {
        ensure!(self.server_core != self.tester_core, "a server and its tester need a core each");
        ensure!(self.rounds > 0, "at least one round");
        Ok(())
    }

    /// The gateway's program.
    ///
    /// # Errors
    /// None was named, and none is beside this one.
    pub fn binary(&self) -> Result<PathBuf> {
        self.server.clone().map_or_else(binary_beside_this_one, Ok)
    }

    /// Starts a gateway on the engine `io`, with one further `setting` (`KEY=VALUE`).
    ///
    /// # Errors
    /// See [`Gateway::start`].
    pub fn start_gateway(&self, binary: &Path, io: &str, setting: &str) -> Result<Gateway> {
        let mut arguments = ["--io", io, "--set", setting].map(str::to_owned).to_vec();
        arguments.extend(self.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
        Gateway::start(binary, self.server_core, &arguments, &[])
    }

    /// How long to measure, in a closed loop.
    pub fn plan(&self, slot: Duration, latencies: Pool) -> Plan {
        let waiting_max = f64::from(self.calm) / 100.0;
        Plan { rounds: self.rounds, slot, rate: None, waiting_max, latencies }
    }
}
