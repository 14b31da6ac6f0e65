//! The machine that a run was made on, as far as a reader of its figures needs to know.
//!
//! It never tells its name or its addresses.

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
    /// Memory in all.
    pub memory_bytes: u64,
}

impl Machine {
    /// This one; what cannot be read is `unknown` or 0.
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
