//! The machine and the date of a measurement. Never asks for privileges.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::process;

/// A machine on a day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    /// The date in UTC, such as 2026-11-22.
    pub date: String,
}

impl Machine {
    /// This machine, today.
    pub fn here() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut date = Command::new("date");
        date.args(["--utc", "+%Y-%m-%d"]);
        Ok(Self {
            processor: processor(&cpuinfo),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
            date: process::capture(date, Duration::from_secs(10))?.output.trim().to_owned(),
        })
    }

    /// All of it, on one line.
    pub fn line(&self) -> String {
        let Self { processor, cores, kernel, date } = self;
        format!("{cores} cores, {processor}, Linux {kernel}, {date}")
    }
}

/// The model of the first processor (proc_cpuinfo(5)); its field has other names elsewhere.
fn processor(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": ")).map_or("unknown CPU", |(_, name)| name);
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_found() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nmodel\t\t: 1\n";
        assert_eq!(processor(text), "AMD EPYC");
        assert_eq!(processor(""), "unknown CPU");
        let machine = Machine::here().unwrap();
        assert!(machine.cores > 0 && machine.date.len() == 10, "{}", machine.line());
    }
}
