//! The machine that a run was made on, described as far as its figures depend on it.
//!
//! It never reveals the machine's name or addresses.

use std::fs;

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's name and release, such as `Linux 6.18.0`.
    pub kernel: String,
    /// The processor's model.
    pub cpu: String,
    /// Processors that this program may run on.
    pub cores: usize,
    /// Total memory.
    pub memory_bytes: u64,
}

impl Machine {
    /// This machine; values that cannot be read are `unknown` or 0.
    pub fn here() -> Self {
        let uname = rustix::system::uname();
        let kernel = [uname.sysname(), uname.release()].map(|name| name.to_string_lossy());
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        Self {
            kernel: kernel.join(" "),
            cpu: cpu.unwrap_or_else(|| "unknown".to_owned()),
            cores: ringway_acceptor::cores::allowed().map_or(0, |cores| cores.len()),
            memory_bytes: memory.unwrap_or(0) * 1024,
        }
    }
}
