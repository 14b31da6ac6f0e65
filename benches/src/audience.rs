//! Many clients that listen: their bytes are counted, and not parsed, so that a tester costs less
//! than the server that it tests.
//!
//! All are sent the same; so each is done when it has as many bytes as there were sent, and one
//! byte more is a fault. It never sends.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use ringway_frame::Opcode;
use rustix::event::{Timespec, epoll};

use crate::{
    opening::{Link, Target},
    visit::{self, Visit},
};

/// Sockets read between two looks at anything else.
const BATCH_MAX: usize = 64;

/// Bytes read from one socket in a batch.
const READ_BYTES_MAX: usize = 64 * 1024;

/// What is sent to all arrives by then.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(20);

/// The first byte of an event: a whole text message (RFC 6455 §5.2).
const EVENT_FIRST_BYTE: u8 = 0x80 | Opcode::Text as u8;

/// Clients of one server that listen.
pub struct Audience {
    epoll: OwnedFd,
    members: Vec<Member>,
    buffer: Vec<u8>,
    /// What each is to have received.
    target: u64,
    /// What each had received before the last [`Audience::expect`].
    base: u64,
    /// The end of the first frame that is expected.
    first: u64,
    awaited: usize,
    begun: bool,
    faults: u64,
}

struct Member {
    socket: TcpStream,
    received: u64,
}

/// How far the members are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether one of them has a whole frame of what is expected.
    pub begun: bool,
    /// How many do not have all of it.
    pub awaited: usize,
    /// Sockets that had something to read.
    pub read: usize,
}

impl Audience {
    /// Has all of `visits` come, one after the other.
    ///
    /// # Errors
    /// One is refused.
    pub fn open(target: &Target, link: Link, visits: impl Iterator<Item = Visit>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut members = Vec::new();
        for visit in visits {
            let socket = visit
                .begin(target, link)
                .with_context(|| format!("client {} comes", members.len()))?;
            // Edge-triggered: what one read leaves, or what comes after it, is told again.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            let index = epoll::EventData::new_u64(members.len() as u64);
            epoll::add(&epoll, &socket, index, flags)?;
            members.push(Member { socket, received: 0 });
        }
        Ok(Self {
            epoll,
            members,
            buffer: vec![0; READ_BYTES_MAX],
            target: 0,
            base: 0,
            first: 0,
            awaited: 0,
            begun: false,
            faults: 0,
        })
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Events that did not begin as one.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// Waits for the first member's next frame, leaves it unread, and says how long it is: so long
    /// are all that follow.
    ///
    /// # Errors
    /// It does not come.
    pub fn first_frame_bytes(&mut self) -> Result<usize> {
        let member = self.members.first().context("nobody listens")?;
        let start = Instant::now();
        while start.elapsed() < ARRIVAL_TIME_MAX {
            let count = match member.socket.peek(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
            if let Some(bytes) = visit::frame_bytes(&self.buffer[..count])? {
                return Ok(bytes);
            }
            thread::sleep(Duration::from_millis(1));
        }
        bail!("the first event does not come")
    }

    /// From now on each is to receive so many frames more.
    pub fn expect(&mut self, frame_bytes: usize, frames: u32) {
        debug_assert_eq!(self.awaited, 0, "all before has arrived");
        self.base = self.target;
        self.first = self.base + frame_bytes as u64;
        self.target = self.base + frame_bytes as u64 * u64::from(frames);
        self.awaited = self.members.len();
        self.begun = false;
    }

    /// Reads from a batch of those who have something to read, without waiting.
    ///
    /// # Errors
    /// One has lost its connection, or receives more than was sent.
    pub fn read(&mut self) -> Result<Standing> {
        let none =
            epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = [none; BATCH_MAX];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let read = epoll::wait(&self.epoll, &mut events, Some(&now))?;
        for event in &events[..read] {
            self.read_member(event.data.u64() as usize)?;
        }
        Ok(Standing { begun: self.begun, awaited: self.awaited, read })
    }

    #[inline]
    fn read_member(&mut self, index: usize) -> Result<()> {
        let member = &mut self.members[index];
        loop {
            let count = match member.socket.read(&mut self.buffer) {
                Ok(0) => bail!("the server has closed the connection of client {index}"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let before = member.received;
            member.received += count as u64;
            ensure!(
                member.received <= self.target,
                "client {index} has {} bytes more than were sent to it",
                member.received - self.target
            );
            self.faults += u64::from(before == self.base && self.buffer[0] != EVENT_FIRST_BYTE);
            self.begun |= member.received >= self.first;
            self.awaited -= usize::from(member.received == self.target);
            // A read that was not full has emptied the socket.
            if count < READ_BYTES_MAX {
                return Ok(());
            }
        }
    }

    /// Makes sure that nobody is sent anything that is not expected.
    ///
    /// # Errors
    /// Somebody is.
    pub fn expect_silence(&mut self) -> Result<()> {
        let standing = self.read()?;
        ensure!(standing.read == 0 && standing.awaited == 0, "the server speaks unasked");
        Ok(())
    }

    /// Reads until all have what is expected.
    ///
    /// # Errors
    /// As [`Self::read`], or something is missing after a while.
    pub fn read_all(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.awaited > 0 {
            let standing = self.read()?;
            ensure!(
                start.elapsed() < ARRIVAL_TIME_MAX,
                "{} clients have not received all",
                standing.awaited
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener};

    use super::*;
    use crate::visit::Route;

    const FRAME: [u8; 5] = [EVENT_FIRST_BYTE, 3, b'a', b'b', b'c'];

    /// Polls are sent nothing until there is an event, so they need no server.
    fn audience(count: usize) -> (Audience, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let visits = (0..count).map(|_| Visit::new(Route::Poll, "ann", "news"));
        let target = Target::parse(&url).unwrap();
        let audience = Audience::open(&target, Link::Narrow, visits).unwrap();
        let served = (0..count).map(|_| listener.accept().unwrap().0).collect();
        (audience, served)
    }

    #[test]
    fn members_are_done_when_they_have_all() {
        let (mut audience, mut served) = audience(2);
        audience.expect_silence().unwrap();
        served[0].write_all(&FRAME).unwrap();
        assert_eq!(audience.first_frame_bytes().unwrap(), FRAME.len());
        audience.expect(FRAME.len(), 2);
        let standing = audience.read().unwrap();
        assert_eq!(standing, Standing { begun: true, awaited: 2, read: 1 });
        served[0].write_all(&FRAME).unwrap();
        served[1].write_all(&[FRAME, FRAME].concat()).unwrap();
        audience.read_all().unwrap();
        assert_eq!(audience.faults(), 0);
        audience.expect_silence().unwrap();
    }

    #[test]
    fn what_is_no_event_or_too_much_is_noticed() {
        let (mut audience, mut served) = audience(1);
        audience.expect(FRAME.len(), 1);
        served[0].write_all(b"hello").unwrap();
        audience.read_all().unwrap();
        assert_eq!(audience.faults(), 1);
        served[0].write_all(&FRAME).unwrap();
        assert!(audience.read().is_err(), "nothing more was expected");
    }
}
