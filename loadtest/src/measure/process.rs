//! The kernel's accounting of processes, from proc(5): CPU time and resident memory.
//!
//! It never samples by itself: a caller reads before and after.

use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// The scheduler's figures of a thread since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// Time on a CPU.
    pub cpu: Duration,
    /// Time that it was runnable and waited for a CPU.
    pub waited: Duration,
}

/// The current threads of a process, by thread ID.
///
/// # Errors
/// The process does not exist, or the kernel has no schedstat.
pub fn threads(pid: u32) -> Result<BTreeMap<u32, Scheduled>> {
    let folder = format!("/proc/{pid}/task");
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(&folder).with_context(|| format!("there is no process {pid}"))? {
        let task = task?;
        let Some(number) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match schedstat(&task.path().join("schedstat")) {
            Ok(scheduled) => drop(threads.insert(number, scheduled)),
            // A thread may end while the directory is read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("reading {folder}")),
        }
    }
    Ok(threads)
}

/// The scheduler's figures of some processes since they started.
#[derive(Debug, Clone, Default)]
pub struct ProcessTimes {
    /// Their current threads, by thread ID.
    pub threads: BTreeMap<u32, Scheduled>,
    /// CPU time of all threads that they ever had, in whole ticks.
    whole: Duration,
}

impl ProcessTimes {
    /// Reads the current figures.
    ///
    /// # Errors
    /// A process does not exist, or the kernel has no schedstat.
    pub fn now(pids: &[u32]) -> Result<Self> {
        let mut times = Self::default();
        for pid in pids {
            times.threads.extend(threads(*pid)?);
            times.whole += whole_cpu_time(*pid)?;
        }
        Ok(times)
    }

    /// The difference to `before`. The times of threads that have ended are missing: if that is
    /// much, the processes' own CPU time is used, which is coarser.
    pub fn since(&self, before: &Self) -> Scheduled {
        let mut sum = Scheduled::default();
        for (number, now) in &self.threads {
            let then = before.threads.get(number).copied().unwrap_or_default();
            sum.cpu += now.cpu.saturating_sub(then.cpu);
            sum.waited += now.waited.saturating_sub(then.waited);
        }
        let whole = self.whole.saturating_sub(before.whole);
        if whole > sum.cpu + 2 * tick() {
            sum.cpu = whole;
        }
        sum
    }
}

/// `utime` and `stime` of `/proc/PID/stat`.
fn whole_cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("there is no process {pid}"))?;
    // The process's name comes before, in parentheses.
    let (_, fields) = text.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let ticks = fields.split_whitespace().skip(USER_FIELD).take(2);
    let ticks: u32 = ticks.map(|field| field.parse().unwrap_or(0)).sum();
    Ok(ticks * tick())
}

/// Index of `utime` in the fields after the name.
const USER_FIELD: usize = 11;

/// The unit of times in proc(5).
fn tick() -> Duration {
    Duration::from_secs(1) / rustix::param::clock_ticks_per_second().max(1) as u32
}

/// The number of CPUs that a process may run on (`Cpus_allowed` of `/proc/PID/status`).
///
/// # Errors
/// The process does not exist.
pub fn cores(pid: u32) -> Result<u32> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("there is no process {pid}"))?;
    let mask = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed:"));
    let mask = mask.with_context(|| format!("{path} has no Cpus_allowed"))?;
    Ok(mask.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum())
}

/// The scheduler's figures of the calling thread.
///
/// # Errors
/// The kernel has no schedstat.
pub fn scheduled_here() -> io::Result<Scheduled> {
    let waited = schedstat(Path::new("/proc/thread-self/schedstat"))?.waited;
    // schedstat lags behind by up to a tick while a thread runs.
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    Ok(Scheduled { cpu: Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32), waited })
}

/// How often the calling thread was preempted although it had work (`nonvoluntary_ctxt_switches` in
/// proc(5)); 0 if that is unknown.
pub fn preemptions_here() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Time for which the host of this virtual machine withheld its CPUs (`steal` in proc(5)), summed
/// over all CPUs; 0 if that is unknown.
pub fn stolen() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Option<u32> = text
        .lines()
        .find_map(|line| line.strip_prefix("cpu "))
        .and_then(|line| line.split_whitespace().nth(STEAL_FIELD)?.parse().ok());
    ticks.unwrap_or(0) * tick()
}

/// Index after `user`, `nice`, `system`, `idle`, `iowait`, `irq` and `softirq`.
const STEAL_FIELD: usize = 7;

fn schedstat(path: &Path) -> io::Result<Scheduled> {
    let text = fs::read_to_string(path)?;
    let mut fields = text.split_whitespace().map_while(|field| field.parse().ok());
    match (fields.next(), fields.next()) {
        (Some(cpu), Some(waited)) => {
            Ok(Scheduled { cpu: Duration::from_nanos(cpu), waited: Duration::from_nanos(waited) })
        }
        _ => Err(io::Error::other("schedstat has no two numbers")),
    }
}

/// Resident memory of a process, in bytes (`VmRSS` of `/proc/PID/status`).
///
/// # Errors
/// The process does not exist.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("there is no process {pid}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} has no VmRSS"))? * 1024)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_cpu() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        let before = ProcessTimes::now(&[pid]).unwrap();
        let mut sum = 0u64;
        while ProcessTimes::now(&[pid]).unwrap().since(&before).cpu.is_zero() {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(scheduled_here().unwrap().cpu > Duration::ZERO);
        assert!(cores(pid).unwrap() >= 1);
    }

    #[test]
    fn a_thread_that_has_ended_is_counted() {
        let pid = std::process::id();
        let before = ProcessTimes::now(&[pid]).unwrap();
        let work = || while scheduled_here().unwrap().cpu < Duration::from_millis(200) {};
        thread::spawn(work).join().unwrap();
        let since = ProcessTimes::now(&[pid]).unwrap().since(&before);
        assert!(since.cpu > Duration::from_millis(150), "{since:?}");
    }

    #[test]
    fn a_thread_that_shares_its_core_is_seen_waiting() {
        let core = ringway_acceptor::cores::allowed().unwrap()[0];
        let ended = AtomicBool::new(false);
        let spin = || {
            ringway_acceptor::cores::pin(core).unwrap();
            while !ended.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            scheduled_here().unwrap().waited
        };
        thread::scope(|scope| {
            let both = [scope.spawn(spin), scope.spawn(spin)];
            thread::sleep(Duration::from_millis(200));
            ended.store(true, Ordering::Relaxed);
            let waited: Duration = both.map(|one| one.join().unwrap()).iter().sum();
            assert!(waited > Duration::from_millis(100), "{waited:?}");
        });
    }

    #[test]
    fn a_missing_process_is_named() {
        let error = ProcessTimes::now(&[u32::MAX]).unwrap_err();
        assert!(error.to_string().contains("4294967295"), "{error}");
    }
}
