//! Many subscribers of one topic: their bytes are counted, and not parsed.
//!
//! All are sent the same, so each is done when it has received as many bytes as were sent, and one
//! byte more is an error. It never sends.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{Timespec, epoll};

use crate::{
    client,
    handshake::{Link, Target},
};

/// Sockets read between two waits.
const BATCH_MAX: usize = 64;

/// Bytes read from one socket in a batch.
const READ_BYTES_MAX: usize = 64 * 1024;

/// The longest wait until all subscribers have all bytes.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(20);

/// Subscribers of one gateway.
pub struct Subscribers {
    epoll: OwnedFd,
    list: Vec<Subscriber>,
    buffer: Vec<u8>,
    /// Bytes that each is expected to receive.
    expected: u64,
    /// Subscribers that have not received all of them.
    awaited: usize,
}

struct Subscriber {
    socket: TcpStream,
    received: u64,
}

impl Subscribers {
    /// Connects `count` subscribers of `topic`, one after the other.
    ///
    /// # Errors
    /// A connection is refused.
    pub fn open(target: &Target, link: Link, count: u32, topic: &str) -> Result<Self> {
        let sockets = (0..count).map(|number| {
            let name = format!("client-{number:07}");
            client::connect(target, link, &name, topic)
                .with_context(|| format!("connecting {name}"))
        });
        Self::of(sockets.collect::<Result<_>>()?)
    }

    /// Wraps sockets that do not block, and on which nothing was sent yet.
    fn of(sockets: Vec<TcpStream>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut list = Vec::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            // Edge-triggered: bytes that one read leaves, or that come after it, are reported
            // again.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&epoll, &socket, epoll::EventData::new_u64(index as u64), flags)?;
            list.push(Subscriber { socket, received: 0 });
        }
        Ok(Self { epoll, list, buffer: vec![0; READ_BYTES_MAX], expected: 0, awaited: 0 })
    }

    /// Waits for the first subscriber's next frame, leaves it unread, and returns its length, which
    /// all later frames have, too.
    ///
    /// # Errors
    /// The event does not arrive.
    pub fn first_frame_bytes(&mut self) -> Result<usize> {
        let first = self.list.first().context("at least one subscriber is needed")?;
        let start = Instant::now();
        while start.elapsed() < ARRIVAL_TIME_MAX {
            let count = match first.socket.peek(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
            if let Some(bytes) = client::frame_bytes(&self.buffer[..count])? {
                return Ok(bytes);
            }
            thread::sleep(Duration::from_millis(1));
        }
        bail!("the first event did not arrive")
    }

    /// Waits until each has received this many frames more.
    ///
    /// # Errors
    /// One has lost its connection, receives more than was sent, or is late.
    pub fn read_all(&mut self, frame_bytes: usize, frames: u32) -> Result<()> {
        self.expected += frame_bytes as u64 * u64::from(frames);
        self.awaited = self.list.len();
        let start = Instant::now();
        while self.awaited > 0 {
            self.read()?;
            let missing = self.awaited;
            ensure!(
                start.elapsed() < ARRIVAL_TIME_MAX,
                "{missing} subscribers have not received \
                                                         every event"
            );
        }
        Ok(())
    }

    /// Reads from a batch of readable subscribers, without waiting.
    fn read(&mut self) -> Result<()> {
        let none =
            epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = [none; BATCH_MAX];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let count = epoll::wait(&self.epoll, &mut events, Some(&now))?;
        for event in &events[..count] {
            self.read_one(event.data.u64() as usize)?;
        }
        Ok(())
    }

    fn read_one(&mut self, index: usize) -> Result<()> {
        let subscriber = &mut self.list[index];
        loop {
            let count = match subscriber.socket.read(&mut self.buffer) {
                Ok(0) => bail!("the gateway has closed the connection of subscriber {index}"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            subscriber.received += count as u64;
            ensure!(
                subscriber.received <= self.expected,
                "subscriber {index} has {} bytes more than were sent to it",
                subscriber.received - self.expected
            );
            self.awaited -= usize::from(subscriber.received == self.expected);
            // A read that did not fill the buffer has emptied the socket.
            if count < READ_BYTES_MAX {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener};

    use super::*;

    const FRAME: [u8; 5] = [0x81, 3, b'a', b'b', b'c'];

    #[test]
    fn every_subscriber_must_receive_every_event_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = |_| TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let sockets: Vec<TcpStream> = (0..2).map(connect).collect();
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        let mut subscribers = Subscribers::of(sockets).unwrap();
        let mut served: Vec<_> = (0..2).map(|_| listener.accept().unwrap().0).collect();
        served[0].write_all(&FRAME).unwrap();
        assert_eq!(subscribers.first_frame_bytes().unwrap(), FRAME.len());
        served[0].write_all(&FRAME).unwrap();
        served[1].write_all(&[FRAME, FRAME].concat()).unwrap();
        subscribers.read_all(FRAME.len(), 2).unwrap();
        served[0].write_all(&[FRAME, FRAME].concat()).unwrap();
        let said = subscribers.read_all(FRAME.len(), 1).unwrap_err().to_string();
        assert!(said.contains("more than were sent"), "{said}");
    }
}
