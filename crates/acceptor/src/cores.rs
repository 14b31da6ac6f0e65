//! Which cores this process may use, and pinning a thread to one.
//!
//! It never pins a thread that it was not called on.

use std::{fmt, io};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Why the chosen cores are unavailable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoresError(String);

impl fmt::Display for CoresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CoresError {}

/// The first `count` of the cores that this process may use.
///
/// # Errors
/// There are fewer than `count`.
pub fn first(count: usize) -> Result<Vec<usize>, CoresError> {
    let mut allowed = allowed()?;
    if count > allowed.len() {
        return Err(CoresError(format!(
            "{count} cores asked for, but this process may use {}",
            allowed.len()
        )));
    }
    allowed.truncate(count);
    Ok(allowed)
}

/// Exactly the cores of `list`.
///
/// # Errors
/// One of them does not exist, or this process may not use it.
pub fn exactly(list: &[usize]) -> Result<Vec<usize>, CoresError> {
    let allowed = allowed()?;
    match list.iter().find(|core| !allowed.contains(core)) {
        Some(core) => Err(CoresError(format!(
            "core {core} asked for, but this process may use only {allowed:?}"
        ))),
        None => Ok(list.to_vec()),
    }
}

/// The cores that this process may run on.
///
/// # Errors
/// `sched_getaffinity(2)`: more cores than a CPU set holds.
pub fn allowed() -> Result<Vec<usize>, CoresError> {
    let set = sched_getaffinity(None).map_err(|error| CoresError(error.to_string()))?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Pins the calling thread to `core`.
///
/// # Errors
/// `sched_setaffinity(2)`: no such core, or a cpuset forbids it.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_that_do_not_exist_are_refused() {
        assert!(first(CpuSet::MAX_CPU + 1).is_err());
        assert!(exactly(&[CpuSet::MAX_CPU - 1]).is_err());
        assert_eq!(first(1).unwrap().len(), 1);
        assert_eq!(exactly(&first(1).unwrap()), first(1));
    }

    #[test]
    fn a_pinned_thread_runs_on_its_core_alone() {
        std::thread::spawn(|| {
            let core = *allowed().unwrap().last().unwrap();
            pin(core).unwrap();
            assert_eq!(allowed().unwrap(), [core]);
        })
        .join()
        .unwrap();
    }
}
