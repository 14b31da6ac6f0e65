//! Enters that consume fewer entries than are queued: injected, as by a kernel without memory.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixStream,
    },
};

use io_uring::{opcode, squeue, types::Fd};

use super::*;

/// The faults of the next enters.
#[derive(Debug, Default)]
pub(in crate::uring) struct Injected {
    pub(in crate::uring) next: VecDeque<Fault>,
    /// The fault of all enters after those.
    pub(in crate::uring) always: Option<Fault>,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::uring) enum Fault {
    /// Consumes this many entries, and does not wait (io_uring_enter(2)).
    Short(u32),
    /// Fails with this `errno`, having consumed nothing.
    Fails(i32),
}

impl Injected {
    /// The arguments of the enter that is really called.
    pub(super) fn next(
        &mut self,
        queued: u32,
        want: u32,
        flags: u32,
    ) -> io::Result<(u32, u32, u32)> {
        match self.next.pop_front().or(self.always) {
            None => Ok((queued, want, flags)),
            Some(Fault::Short(consumed)) if consumed < queued => Ok((consumed, 0, 0)),
            Some(Fault::Short(_)) => Ok((queued, want, flags)),
            Some(Fault::Fails(errno)) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Ring {
    pub(in crate::uring) fn inject(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.injected.next.extend(faults);
    }

    pub(in crate::uring) fn inject_always(&mut self, fault: Option<Fault>) {
        self.injected.always = fault;
    }
}

static BYTES: [u8; 26] = *b"abcdefghijklmnopqrstuvwxyz";

fn send_of(socket: &UnixStream, index: usize) -> squeue::Entry {
    opcode::Send::new(Fd(socket.as_raw_fd()), &BYTES[index], 1)
        .flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL)
        .build()
        .flags(squeue::Flags::SKIP_SUCCESS)
}

fn ring() -> Option<Ring> {
    let ring = Ring::new(8).inspect_err(|_| eprintln!("skipped: no io_uring"));
    ring.ok()
}

#[test]
fn a_submission_that_returns_has_consumed_everything_in_order() {
    use Fault::{Fails, Short};
    let faults = [
        vec![Short(0)],
        vec![Short(1), Short(1), Short(2)],
        vec![Fails(libc::EAGAIN), Short(3), Fails(libc::EBUSY), Fails(libc::EINTR), Short(1)],
        vec![Fails(libc::ETIME); 3],
    ];
    for faults in faults {
        let Some(mut ring) = ring() else { return };
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        for (turn, waits) in [true, false].into_iter().enumerate() {
            for index in 0..6 {
                // SAFETY: the bytes are static.
                unsafe { ring.push(&send_of(&ours, turn * 6 + index)) }.unwrap();
            }
            ring.inject(faults.iter().copied());
            if waits { ring.submit_and_wait(Wait::NONE) } else { ring.flush() }.unwrap();
            assert_eq!(ring.queued(), 0, "{faults:?}");
            let mut sent = [0; 6];
            theirs.read_exact(&mut sent).unwrap();
            assert_eq!(sent, BYTES[turn * 6..][..6], "{faults:?}");
        }
    }
}

/// A full queue is flushed by `push`; that enter may also consume only some entries.
#[test]
fn a_push_to_a_full_queue_loses_nothing() {
    let Some(mut ring) = ring() else { return };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    for index in 0..BYTES.len() {
        ring.inject([Fault::Short(1), Fault::Fails(libc::EAGAIN)]);
        // SAFETY: the bytes are static.
        unsafe { ring.push(&send_of(&ours, index)) }.unwrap();
    }
    ring.submit_and_wait(Wait::NONE).unwrap();
    let mut sent = [0; BYTES.len()];
    theirs.read_exact(&mut sent).unwrap();
    assert_eq!(sent, BYTES);
}

#[test]
fn a_kernel_that_takes_nothing_breaks_the_ring_within_bounds() {
    let Some(mut ring) = ring() else { return };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    for fault in [Fault::Short(0), Fault::Fails(libc::EAGAIN), Fault::Fails(libc::EBUSY)] {
        // SAFETY: the bytes are static.
        unsafe { ring.push(&send_of(&ours, 0)) }.unwrap();
        ring.inject_always(Some(fault));
        let start = Instant::now();
        let error = ring.submit_and_wait(Wait::NONE).unwrap_err();
        assert!(error.to_string().contains("takes no more operations"), "{error}");
        assert!(start.elapsed() < 3 * SUBMIT_PATIENCE, "{:?}", start.elapsed());
    }
    ring.inject_always(None);
    // Entries that were never submitted are dropped with the ring.
    drop(ring);
    assert!(theirs.read(&mut [0]).is_err());
}

#[test]
fn an_error_that_no_retry_mends_is_told_at_once() {
    let Some(mut ring) = ring() else { return };
    ring.inject([Fault::Fails(libc::EBADF)]);
    assert_eq!(ring.flush().unwrap_err().raw_os_error(), Some(libc::EBADF));
}

/// EBUSY: completions that were taken out early are still reported, and before later ones.
#[test]
fn completions_taken_out_of_the_way_are_kept_in_order() {
    let Some(mut ring) = ring() else { return };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    let poll = |user_data| Plain::established(ours.as_fd(), user_data);
    ring.push_plain(&poll(1)).unwrap();
    ring.submit_and_wait(Wait::NONE).unwrap();
    ring.push_plain(&poll(2)).unwrap();
    ring.inject([Fault::Fails(libc::EBUSY)]);
    ring.submit_and_wait(Wait::NONE).unwrap();
    let mut completions = Vec::new();
    ring.take_completions(&mut completions);
    assert_eq!(completions.iter().map(cqueue::Entry::user_data).collect::<Vec<_>>(), [1, 2]);
}
