//! Tries each io_uring feature that the driver uses by itself, so that an operator learns which
//! of them a kernel lacks. `probe::check` decides whether io_uring can be used at all.
//!
//! It leaves nothing behind, and never judges by a version.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use io_uring::{cqueue, opcode, squeue, types::Fd};

use super::{
    buffers::Buffers,
    receive,
    ring::{Ring, Wait},
    sqe::{Bound, Expect, Plain},
};
use crate::{Listener, SocketOptions};

/// A feature, and whether this kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Its name in reports.
    pub name: &'static str,
    /// The Linux version that introduced it.
    pub since: (u32, u32),
    /// How the driver uses it.
    pub purpose: &'static str,
    /// The effect of its absence.
    pub need: Need,
    /// Whether this kernel offers it.
    pub offered: Offered,
}

/// The effect of a feature's absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// epoll is used instead.
    Required,
    /// io_uring is used, without this improvement.
    Better,
}

/// Whether this kernel offers a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// It worked.
    Yes,
    /// It failed, for this reason.
    No(String),
    /// It could not be tried, because a feature that it needs is missing.
    Untried,
}

/// Longer than any step takes on a healthy kernel.
const PATIENCE: Duration = Duration::from_secs(1);

/// A trial needs only a small ring.
const ENTRIES: u32 = 16;

const TOLD: u64 = 77;

type Trial = fn(&mut Bench) -> io::Result<bool>;

struct Row {
    name: &'static str,
    since: (u32, u32),
    purpose: &'static str,
    need: Need,
    trial: Trial,
}

const SETUP: Feature = Feature {
    name: "deferred task work",
    since: (6, 1),
    purpose: "the kernel works only when the core enters it",
    need: Need::Required,
    offered: Offered::Untried,
};

const BUFFER_RING: Feature = Feature {
    name: "provided-buffer ring",
    since: (5, 19),
    purpose: "an idle connection holds no receive buffer",
    need: Need::Required,
    offered: Offered::Untried,
};

/// The trials on a ring with its buffers.
const ROWS: [Row; 7] = [
    Row {
        name: "multishot accept",
        since: (5, 19),
        purpose: "one request accepts all clients",
        need: Need::Required,
        trial: Bench::accepts,
    },
    Row {
        name: "multishot receive",
        since: (6, 0),
        purpose: "one request receives all that a client sends",
        need: Need::Required,
        trial: Bench::receives,
    },
    Row {
        name: "silent inline send",
        since: (5, 17),
        purpose: "a send that succeeds posts no completion",
        need: Need::Required,
        trial: Bench::sends,
    },
    Row {
        name: "message to another ring",
        since: (5, 18),
        purpose: "cores wake each other without a system call of its own",
        need: Need::Required,
        trial: Bench::tells,
    },
    Row {
        name: "registered ring descriptor",
        since: (5, 18),
        purpose: "an enter looks up no descriptor",
        need: Need::Better,
        trial: |bench| Ok(bench.ring.has_registered_descriptor()),
    },
    Row {
        name: "minimum wait",
        since: (6, 12),
        purpose: "wake-ups are batched under load",
        need: Need::Better,
        trial: |bench| Ok(bench.ring.has_min_wait()),
    },
    Row {
        name: "bounded receive",
        since: (6, 17),
        purpose: "one client cannot fill a core's buffers in a turn",
        need: Need::Better,
        trial: |bench| receive::is_bounded(&mut bench.ring, &mut bench.buffers),
    },
];

/// Tries each feature on the calling thread, which should have no other use.
pub(super) fn try_all() -> Vec<Feature> {
    let (mut setup, mut buffer_ring) = (SETUP, BUFFER_RING);
    let mut bench = None;
    match Ring::new(ENTRIES) {
        Err(error) => setup.offered = Offered::No(error.to_string()),
        Ok(ring) => {
            setup.offered = Offered::Yes;
            buffer_ring.offered = match Buffers::register(ring.instance(), 4, 256) {
                Err(error) => Offered::No(error.to_string()),
                Ok(buffers) => {
                    bench = Some(Bench { ring, buffers });
                    Offered::Yes
                }
            };
        }
    }
    let mut features = vec![setup, buffer_ring];
    for Row { name, since, purpose, need, trial } in ROWS {
        let offered = match bench.as_mut().map(trial) {
            None => Offered::Untried,
            Some(Ok(true)) => Offered::Yes,
            Some(Ok(false)) => Offered::No("the kernel does not have it".to_owned()),
            Some(Err(error)) => Offered::No(error.to_string()),
        };
        features.push(Feature { name, since, purpose, need, offered });
    }
    features
}

/// All features, untried.
pub fn untried() -> Vec<Feature> {
    let of_row = |row: &Row| Feature {
        name: row.name,
        since: row.since,
        purpose: row.purpose,
        need: row.need,
        offered: Offered::Untried,
    };
    [SETUP, BUFFER_RING].into_iter().chain(ROWS.iter().map(of_row)).collect()
}

/// A ring for the trials.
struct Bench {
    // Dropped first: the kernel releases the buffers before they are freed.
    ring: Ring,
    buffers: Buffers,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !self.ring.cancel_all() {
            self.buffers.keep();
        }
    }
}

impl Bench {
    #[allow(unsafe_code)]
    fn accepts(&mut self) -> io::Result<bool> {
        let listener =
            Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), 4, &SocketOptions::default())?;
        let _client = TcpStream::connect_timeout(&listener.address(), PATIENCE)?;
        self.ring.push_plain(&Plain::accept(listener.as_fd(), 0))?;
        let entry = next_of(&mut self.ring)?;
        if entry.result() < 0 {
            return Err(io::Error::from_raw_os_error(-entry.result()));
        }
        // SAFETY: a completed accept passes the ownership of a new descriptor to us, once.
        drop(unsafe { OwnedFd::from_raw_fd(entry.result()) });
        let is_multishot = cqueue::more(entry.flags());
        if is_multishot {
            self.ring.push_plain(&Plain::cancel(0, 1))?;
            next_of(&mut self.ring)?;
        }
        Ok(is_multishot)
    }

    fn receives(&mut self) -> io::Result<bool> {
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.write_all(b"1")?;
        self.ring.push_plain(&Plain::receive(ours.as_fd(), 0, Bound::None, Expect::Bytes))?;
        let entry = self.next_recycled()?;
        if entry.result() < 0 {
            return Err(io::Error::from_raw_os_error(-entry.result()));
        }
        let is_multishot = cqueue::more(entry.flags());
        if is_multishot {
            drop(theirs);
            self.next_recycled()?;
        }
        Ok(is_multishot)
    }

    #[allow(unsafe_code)]
    fn sends(&mut self) -> io::Result<bool> {
        static BYTES: [u8; 4] = *b"ping";
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let entry = opcode::Send::new(Fd(ours.as_raw_fd()), BYTES.as_ptr(), BYTES.len() as u32)
            .flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: the bytes are static.
        unsafe { self.ring.push(&entry)? };
        self.ring.submit_and_wait(Wait::NONE)?;
        let mut completions = Vec::new();
        self.ring.take_completions(&mut completions);
        let mut received = [0; BYTES.len()];
        let is_there =
            matches!(theirs.read(&mut received), Ok(count) if received[..count] == BYTES);
        Ok(is_there && completions.is_empty())
    }

    fn tells(&mut self) -> io::Result<bool> {
        let mut other = Ring::new(ENTRIES)?;
        let target = other.instance().as_raw_fd();
        self.ring.push_plain(&Plain::message(target, TOLD, 1))?;
        self.ring.submit_and_wait(Wait::NONE)?;
        let mut completions = Vec::new();
        self.ring.take_completions(&mut completions);
        match completions.first() {
            Some(entry) => Err(io::Error::from_raw_os_error(-entry.result())),
            None => Ok(next_of(&mut other)?.user_data() == TOLD),
        }
    }

    /// The next completion; its buffer is given back.
    fn next_recycled(&mut self) -> io::Result<cqueue::Entry> {
        let entry = next_of(&mut self.ring)?;
        if let Some(id) = cqueue::buffer_select(entry.flags()) {
            self.buffers.recycle(id);
            self.buffers.publish();
        }
        Ok(entry)
    }
}

fn next_of(ring: &mut Ring) -> io::Result<cqueue::Entry> {
    let give_up = Instant::now() + PATIENCE;
    let mut completions = Vec::new();
    while completions.is_empty() {
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::other("it did not complete"));
        }
        ring.submit_and_wait(Wait { timeout: Some(left), ..Wait::NONE })?;
        ring.take_completions(&mut completions);
    }
    Ok(completions.swap_remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_self_test_needs_is_what_the_features_say() {
        let features = try_all();
        let misses =
            |need| features.iter().any(|one| one.need == need && one.offered != Offered::Yes);
        match super::super::probe::check(1) {
            Ok(offer) => {
                assert!(!misses(Need::Required), "{features:#?}");
                let named = |name| features.iter().find(|one| one.name == name).unwrap();
                let has = |name| named(name).offered == Offered::Yes;
                assert_eq!(has("minimum wait"), offer.has_min_wait);
                assert_eq!(has("bounded receive"), offer.has_bounded_receive);
            }
            Err(reason) => assert!(misses(Need::Required), "{reason}: {features:#?}"),
        }
    }

    #[test]
    fn what_is_tried_is_what_is_listed() {
        let names =
            |features: Vec<Feature>| features.iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!(names(try_all()), names(untried()));
        assert!(untried().iter().all(|one| one.offered == Offered::Untried));
    }

    #[test]
    fn trying_twice_leaves_no_descriptor_behind() {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        try_all();
        let before = count();
        (0..5).for_each(|_| drop(try_all()));
        // Other tests open and close descriptors meanwhile.
        assert!(count() < before + 15, "{} after {before}", count());
    }
}
