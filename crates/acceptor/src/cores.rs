//! Which cores this process may use, which it shall use, and pinning a thread to one.
//!
//! It never pins a thread that it was not called on.

use std::{fmt, io, str::FromStr};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A choice of cores: a count (`2`) or a list (`0,2-3`; `5,` is core 5 alone).
///
/// ```
/// use ringway_acceptor::cores::Cores;
/// assert_eq!("0,2-3".parse(), Ok(Cores::List(vec![0, 2, 3])));
/// assert_eq!("2".parse(), Ok(Cores::Count(2)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cores {
    /// That many of the cores that the process may use, lowest first.
    Count(usize),
    /// Exactly these.
    List(Vec<usize>),
}

/// Why a choice of cores cannot be had. Says how to write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoresError(String);

impl fmt::Display for CoresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CoresError {}

impl FromStr for Cores {
    type Err = CoresError;

    fn from_str(text: &str) -> Result<Self, CoresError> {
        let error = || {
            CoresError(format!(
                "`{text}` is neither a count of cores such as `2` nor a list such as `0,2-3`"
            ))
        };
        if !text.contains([',', '-']) {
            let count = text.trim().parse().map_err(|_| error())?;
            return if count == 0 { Err(error()) } else { Ok(Self::Count(count)) };
        }
        let mut list = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().map_err(|_| error())?;
            let last: usize = last.trim().parse().map_err(|_| error())?;
            if first > last || last >= CpuSet::MAX_CPU {
                return Err(error());
            }
            list.extend(first..=last);
        }
        list.sort_unstable();
        list.dedup();
        if list.is_empty() { Err(error()) } else { Ok(Self::List(list)) }
    }
}

impl Cores {
    /// The core numbers, checked against what the process may use (sched_getaffinity(2)).
    ///
    /// # Errors
    /// More cores than there are, or one that the process may not use.
    pub fn resolve(&self) -> Result<Vec<usize>, CoresError> {
        let allowed = allowed().map_err(|error| CoresError(error.to_string()))?;
        match self {
            Self::Count(count) if *count > allowed.len() => Err(CoresError(format!(
                "{count} cores asked for, but this process may use {}",
                allowed.len()
            ))),
            Self::Count(count) => Ok(allowed[..*count].to_vec()),
            Self::List(list) => match list.iter().find(|core| !allowed.contains(core)) {
                Some(core) => Err(CoresError(format!(
                    "core {core} asked for, but this process may use only {allowed:?}"
                ))),
                None => Ok(list.clone()),
            },
        }
    }
}

/// The cores that this process may run on.
///
/// # Errors
/// `sched_getaffinity(2)`: more cores than a CPU set holds.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
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
    fn counts_and_lists_are_told_apart() {
        for (text, cores) in [
            ("1", Cores::Count(1)),
            ("5,", Cores::List(vec![5])),
            ("5-5", Cores::List(vec![5])),
            ("3,0-1,1", Cores::List(vec![0, 1, 3])),
        ] {
            assert_eq!(text.parse(), Ok(cores), "{text}");
        }
        for text in ["", "0", "-", ",", "a", "1-", "3-1", "0-99999999", "-1"] {
            assert!(text.parse::<Cores>().is_err(), "{text}");
        }
    }

    #[test]
    fn cores_that_do_not_exist_are_refused() {
        assert!(Cores::Count(CpuSet::MAX_CPU + 1).resolve().is_err());
        assert!(Cores::List(vec![CpuSet::MAX_CPU - 1]).resolve().is_err());
        assert_eq!(Cores::Count(1).resolve().unwrap().len(), 1);
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
