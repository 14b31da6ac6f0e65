//! What a comparison in paired slots may be told, whatever it compares, and what follows from it.
//!
//! Which servers there are, and what they are loaded with, is each binary's own.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
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

/// A gateway that differs from the others by some settings: `NAME=KEY=VALUE,KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What its line is called.
    pub name: String,
    /// `KEY=VALUE` each.
    pub settings: Vec<String>,
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not NAME=KEY=VALUE or NAME=KEY=VALUE,KEY=VALUE");
        let (name, settings) = text.split_once('=').ok_or_else(wrong)?;
        let settings: Vec<String> = settings.split(',').map(str::to_owned).collect();
        if !settings.iter().all(|setting| setting.contains('=')) {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), settings })
    }
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

    /// Starts a gateway on the engine `io`, with further `settings` (`KEY=VALUE`), which win.
    ///
    /// # Errors
    /// See [`Gateway::start`].
    pub fn start_gateway(&self, binary: &Path, io: &str, settings: &[&str]) -> Result<Gateway> {
        let mut arguments = ["--io", io].map(str::to_owned).to_vec();
        let all = self.set.iter().map(String::as_str).chain(settings.iter().copied());
        arguments.extend(all.flat_map(|set| ["--set".to_owned(), set.to_owned()]));
        Gateway::start(binary, self.server_core, &arguments, &[])
    }

    /// How long to measure, in a closed loop.
    pub fn plan(&self, slot: Duration, latencies: Pool) -> Plan {
        let waiting_max = f64::from(self.calm) / 100.0;
        Plan { rounds: self.rounds, slot, rate: None, waiting_max, latencies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_has_a_name_and_settings() {
        let variant: Variant = "nagle=socket.nodelay=false,log.level=warn".parse().unwrap();
        assert_eq!(variant.name, "nagle");
        assert_eq!(variant.settings, ["socket.nodelay=false", "log.level=warn"]);
        assert!("nagle".parse::<Variant>().is_err());
        assert!("nagle=socket.nodelay".parse::<Variant>().is_err());
    }
}
