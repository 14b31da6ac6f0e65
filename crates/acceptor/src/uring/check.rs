//! Asks sockets whether they are broken, if the kernel would not report it by itself.
//!
//! A multishot receive that has emptied its socket waits for the next event. An error that came
//! together with the last bytes belongs to the event before: no other event follows, and the
//! receive would never end. A send does report such an error. So the driver sends zero bytes on a
//! connection that received bytes and sends none in the same turn: that runs inline, puts nothing
//! on the wire, and posts a completion only when it fails.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    os::fd::AsFd,
    time::Duration,
};

use io_uring::cqueue;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use super::{
    UringDriver,
    buffers::Buffers,
    ring::{Ring, Wait},
    socket::{Ending, Health, Stream},
    sqe::{Bound, Expect, Plain},
    user_data::{self, Kind},
};
use crate::{Completion, ConnectionId};

/// Loopback takes microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// After which receives a socket is asked. Asking costs about 200 ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The first after arming: bytes and an error that are there by then are reported as one event.
    First,
    /// Every one: this kernel also merges two events that both come before it looks.
    Every,
}

impl Doubt {
    /// Tries whether the kernel sees an error that comes right behind bytes. If the trial itself
    /// fails, the kernel is not trusted.
    pub(super) fn of_kernel(ring: &mut Ring, buffers: &mut Buffers) -> Self {
        match sees_both(ring, buffers) {
            Ok(true) => Self::First,
            Ok(false) | Err(_) => Self::Every,
        }
    }
}

/// Lets bytes and then a reset reach an armed receive before the ring is entered.
fn sees_both(ring: &mut Ring, buffers: &mut Buffers) -> io::Result<bool> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut theirs = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    let (ours, _) = listener.accept()?;
    let receive = user_data::of_index(Kind::Ignored, 0);
    ring.push_plain(&Plain::receive(ours.as_fd(), receive, Bound::None, Expect::Bytes))?;
    ring.submit_and_wait(Wait::NONE)?;
    let tried = theirs.write_all(b"bytes").and_then(|()| reset(theirs, &ours));
    let mut is_over = false;
    let mut take = |ring: &mut Ring, wait| -> io::Result<bool> {
        ring.submit_and_wait(wait)?;
        let mut completions = Vec::new();
        ring.take_completions(&mut completions);
        for entry in completions.iter().filter(|entry| entry.user_data() == receive) {
            cqueue::buffer_select(entry.flags()).into_iter().for_each(|id| buffers.recycle(id));
            is_over |= !cqueue::more(entry.flags());
        }
        Ok(is_over)
    };
    let waited = Wait { want: 1, timeout: Some(PATIENCE), ..Wait::NONE };
    let has_seen = take(ring, waited)? || take(ring, Wait::NONE)?;
    if !has_seen {
        // The receive must end before its socket is dropped and before other use of the ring.
        let ignored = user_data::of_index(Kind::Ignored, 1);
        ring.push_plain(&Plain::cancel(receive, ignored))?;
        ours.shutdown(Shutdown::Both).ok();
        if !take(ring, waited)? {
            return Err(io::Error::other("a receive was not cancelled"));
        }
    }
    tried.map(|()| has_seen)
}

/// Closes with a reset, and returns when `peer` has received it.
fn reset(socket: TcpStream, peer: &TcpStream) -> io::Result<()> {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    drop(socket);
    let mut broken = [PollFd::new(peer, PollFlags::empty())];
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    match poll(&mut broken, Some(&patience))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

impl UringDriver {
    /// Bytes were received, and the receive continues with these `flags`: unless the socket is
    /// known to hold more, the kernel has stopped looking at it.
    pub(super) fn doubt(&mut self, connection: ConnectionId, flags: u32) {
        let doubt = self.doubt;
        if let Some(socket) = self.sockets.lookup_mut(connection)
            && (socket.health == Health::Unknown
                || (doubt == Doubt::Every && socket.health == Health::Sound))
            && !cqueue::sock_nonempty(flags)
        {
            socket.health = Health::Doubted;
            self.doubted.push(connection);
        }
    }

    /// Asks the sockets that received bytes in the last turn and send none in this one.
    pub(super) fn check_doubted(&mut self) {
        while let Some(connection) = self.doubted.pop() {
            let Some(socket) = self.sockets.lookup_mut(connection) else { continue };
            if socket.health != Health::Doubted {
                continue;
            }
            socket.health = Health::Sound;
            // An armed backlog send reports an error, too.
            if socket.stream != Stream::Open || socket.is_closing() || socket.is_sending() {
                continue;
            }
            let user_data = user_data::of_connection(Kind::Check, connection);
            let entry = Plain::check(socket.descriptor.as_fd(), user_data);
            self.push_plain(&entry);
        }
    }

    /// The empty send failed with `errno`.
    pub(super) fn complete_check(
        &mut self,
        connection: ConnectionId,
        errno: i32,
    ) -> Option<Completion<'static>> {
        let socket = self.sockets.lookup(connection)?;
        // send(2): our own FIN leads to EPIPE, too; a reset is ECONNRESET then.
        if errno == libc::EPIPE && socket.ending >= Ending::Shutdown {
            return None;
        }
        self.fail(connection, errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Driver, Listener, Operations, Settings, SocketOptions};

    #[test]
    fn trying_it_out_leaves_nothing_in_the_ring() {
        let Ok(mut ring) = Ring::new(16) else { return eprintln!("skipped: no io_uring") };
        let mut buffers = Buffers::register(ring.instance(), 4, 256).unwrap();
        for _ in 0..20 {
            Doubt::of_kernel(&mut ring, &mut buffers);
            buffers.publish();
            ring.submit_and_wait(Wait::NONE).unwrap();
            let mut completions = Vec::new();
            ring.take_completions(&mut completions);
            assert!(completions.iter().all(cqueue_is_ignored), "{completions:?}");
        }
    }

    fn cqueue_is_ignored(entry: &cqueue::Entry) -> bool {
        user_data::kind(entry.user_data()) == Kind::Ignored
            && cqueue::buffer_select(entry.flags()).is_none()
    }

    /// Old kernels lose errors that new ones report, so there every receive is doubted: the same
    /// bytes and ends must be reported, and a connection that works must not fail.
    #[test]
    fn doubting_every_receive_changes_nothing_that_is_reported() {
        for doubt in [Doubt::First, Doubt::Every] {
            let loopback = (Ipv4Addr::LOCALHOST, 0).into();
            let listener = Listener::bind(loopback, 8, &SocketOptions::default()).unwrap();
            let address = listener.address();
            let Ok(mut driver) = UringDriver::new(&Settings::default(), vec![listener]) else {
                return eprintln!("skipped: no io_uring");
            };
            driver.doubt = doubt;
            let mut client = TcpStream::connect(address).unwrap();
            let (mut received, mut failures) = (0, 0);
            let mut turn = |driver: &mut UringDriver| {
                driver.submit(&mut Operations::default());
                driver.wait(Some(Duration::from_millis(20))).unwrap();
                while let Some(completion) = driver.next() {
                    match completion {
                        Completion::Received { bytes, .. } => received += bytes.len(),
                        Completion::Failed { failure, .. } => {
                            assert!(failure.is_reset());
                            failures += 1;
                        }
                        _ => {}
                    }
                }
                (received, failures)
            };
            for round in 1..=20 {
                client.write_all(b"0123456789").unwrap();
                while turn(&mut driver).0 < 10 * round {}
                assert_eq!(turn(&mut driver), (10 * round, 0));
            }
            client.write_all(b"the last").unwrap();
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
            while turn(&mut driver).1 == 0 {}
            assert_eq!(turn(&mut driver), (208, 1));
        }
    }
}
