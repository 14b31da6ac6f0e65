//! The server's process at one time, if it is on this host: its memory, and each thread's CPU time.
//!
//! It never judges; callers compute differences.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::process;

/// A process at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Total CPU time of its threads since they started.
    pub cpu: Duration,
    /// The name and the CPU time of each thread, by thread ID.
    threads: BTreeMap<u32, (String, Duration)>,
}

/// What one thread of the server did between two readings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerThread {
    /// Its name, as the server set it.
    pub name: String,
    /// CPU time.
    pub cpu_us: f64,
    /// The share of the time that it was on a CPU.
    pub busy: f64,
}

impl ServerState {
    /// Reads the current state.
    ///
    /// # Errors
    /// The process does not exist, or the kernel has no schedstat.
    pub fn now(pid: u32) -> Result<Self> {
        let mut threads = BTreeMap::new();
        for (number, scheduled) in process::threads(pid)? {
            let name = fs::read_to_string(format!("/proc/{pid}/task/{number}/comm"));
            // A thread may have ended meanwhile.
            if let Ok(name) = name {
                threads.insert(number, (name.trim_end().to_owned(), scheduled.cpu));
            }
        }
        let cpu = threads.values().map(|(_, cpu)| *cpu).sum();
        Ok(Self { resident_bytes: process::resident_bytes(pid)?, cpu, threads })
    }

    /// What each current thread did since `before`, the busiest first.
    pub fn threads_since(&self, before: &Self, elapsed: Duration) -> Vec<ServerThread> {
        let mut threads: Vec<_> = self
            .threads
            .iter()
            .map(|(number, (name, cpu))| {
                let began = before.threads.get(number).map_or(Duration::ZERO, |(_, cpu)| *cpu);
                let seconds = cpu.saturating_sub(began).as_secs_f64();
                let busy = seconds / elapsed.as_secs_f64().max(1e-9);
                ServerThread { name: name.clone(), cpu_us: 1e6 * seconds, busy }
            })
            .collect();
        threads.sort_by(|a, b| b.cpu_us.total_cmp(&a.cpu_us));
        threads
    }
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, thread, time::Instant};

    use super::*;

    #[test]
    fn the_busiest_thread_is_named_first() {
        let pid = std::process::id();
        let before = ServerState::now(pid).unwrap();
        let began = Instant::now();
        let (after, elapsed) = thread::scope(|scope| {
            let worker = thread::Builder::new().name("at-work".to_owned());
            let looks = worker.spawn_scoped(scope, || {
                let mut sum = 0u64;
                while began.elapsed() < Duration::from_millis(300) {
                    sum = black_box(sum.wrapping_add(1));
                }
                ServerState::now(pid).unwrap()
            });
            (looks.unwrap().join().unwrap(), began.elapsed())
        });
        let threads = after.threads_since(&before, elapsed);
        let found = threads.iter().find(|thread| thread.name == "at-work").expect("it is there");
        assert!(found.cpu_us > 0.0 && found.busy <= 1.1, "{found:?}");
        assert!(threads.windows(2).all(|pair| pair[0].cpu_us >= pair[1].cpu_us), "{threads:?}");
        assert!(after.resident_bytes > 100_000);
    }

    #[test]
    fn a_missing_process_is_named() {
        let error = ServerState::now(u32::MAX).unwrap_err();
        assert!(error.to_string().contains("4294967295"), "{error}");
    }
}
