//! Whether this kernel lets the driver use io_uring: tried, not guessed from a version.
//!
//! It leaves nothing behind.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::{
    UringDriver,
    features::{self, Feature},
    ring::Ring,
};
use crate::{
    Completion, ConnectionId, Driver, Listener, Operation, Operations, SendMark, Settings,
    SocketOptions, WaitMode,
};

/// What the kernel offers beyond the required features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Waits can be batched (Linux 6.12); otherwise every completion wakes.
    pub has_min_wait: bool,
    /// The bytes of one client in a turn are bounded (Linux 6.17).
    pub has_bounded_receive: bool,
}

/// Longer than any healthy kernel takes for a few loopback round trips.
const PATIENCE: Duration = Duration::from_secs(2);

/// Small socket buffers, so that few bytes cause a short send.
const SOCKET_BUFFER_BYTES: usize = 32 << 10;

/// Sets up a ring and tries accept, receive, inline send, short send and cancel over loopback;
/// then checks whether the rings of this many `cores` can exist at once.
///
/// # Errors
/// The reason why io_uring cannot be used, worded for an operator.
pub fn check(cores: usize) -> Result<Offer, String> {
    alone(run).and_then(|offer| alone(move || rehearse(cores)).map(|()| offer))
}

/// Each feature that the driver uses, tried by itself; all are untried if no thread can be started
/// for it.
pub fn features() -> Vec<Feature> {
    alone(|| Ok(features::try_all())).unwrap_or_else(|_| features::untried())
}

/// Memory that the kernel locks for the rings of this many cores and one more, which [`check`]
/// needs at once. It counts against the memlock limit (getrlimit(2), RLIMIT_MEMLOCK) of a process
/// without CAP_IPC_LOCK.
pub fn locked_bytes(cores: usize) -> u64 {
    (cores as u64 + 1) * Ring::kernel_bytes(Settings::default().submission_entries)
}

/// Runs it on its own thread: a ring belongs to one thread, and the caller's may live on without
/// it.
fn alone<T: Send + 'static>(
    test: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    std::thread::Builder::new()
        .spawn(test)
        .and_then(|test| test.join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))))
        .map_err(|error| explain(&error))
}

fn explain(error: &io::Error) -> String {
    let reason = match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has no io_uring, or a seccomp filter hides it",
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden: sysctl kernel.io_uring_disabled or a seccomp filter"
        }
        Some(libc::EINVAL) => "the kernel's io_uring lacks a feature: Linux 6.1 or newer is needed",
        Some(libc::ENOMEM) => "memory for the ring was refused: raise the memlock limit",
        Some(libc::EMFILE) => "no descriptor was left for the ring",
        _ => return format!("io_uring self-test: {error}"),
    };
    format!("{reason} ({error})")
}

/// Creates the rings of all cores at full size: together they may exceed the limit of locked memory
/// although the small ring of the self-test does not.
fn rehearse(cores: usize) -> io::Result<()> {
    let entries = Settings::default().submission_entries;
    // One more than the cores, for other rings of the process or its predecessor.
    let rings: io::Result<Vec<Ring>> = (0..=cores).map(|_| Ring::new(entries)).collect();
    rings.map(drop)
}

fn run() -> io::Result<Offer> {
    let options = SocketOptions {
        send_buffer_bytes: Some(SOCKET_BUFFER_BYTES as u32),
        ..SocketOptions::default()
    };
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), 4, &options)?;
    let address = listener.address();
    let settings = Settings {
        connections_max: 4,
        receive_buffers: 4,
        receive_buffer_bytes: 256,
        submission_entries: 16,
        wait: WaitMode::Latency,
    };
    let mut test = SelfTest {
        driver: UringDriver::new(&settings, vec![listener])?,
        operations: Operations::default(),
        give_up: Instant::now() + PATIENCE,
    };
    let mut client = connect(address)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let connection = test.until("accept", |completion| match completion {
        Completion::Accepted { connection, .. } => Some(connection),
        _ => None,
    })?;
    test.echoes(&mut client, connection)?;
    test.keeps_the_rest_of_a_short_send(&mut client, connection)?;
    test.cancels(&mut client, connection)?;
    Ok(Offer {
        has_min_wait: test.driver.has_min_wait(),
        has_bounded_receive: test.driver.has_bounded_receive(),
    })
}

/// Connects a client whose socket holds few unread bytes.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    Ok(socket.into())
}

struct SelfTest {
    driver: UringDriver,
    operations: Operations,
    give_up: Instant,
}

impl SelfTest {
    fn until<T>(
        &mut self,
        step: &str,
        mut found: impl FnMut(Completion<'_>) -> Option<T>,
    ) -> io::Result<T> {
        while Instant::now() < self.give_up {
            self.driver.submit(&mut self.operations);
            self.driver.wait(Some(Duration::from_millis(50)))?;
            let mut result = None;
            while let Some(completion) = self.driver.next() {
                result = result.or(found(completion));
            }
            if let Some(result) = result {
                return Ok(result);
            }
        }
        Err(io::Error::other(format!("{step} did not complete")))
    }

    fn echoes(&mut self, client: &mut TcpStream, connection: ConnectionId) -> io::Result<()> {
        client.write_all(b"ping")?;
        self.until("receive", |completion| match completion {
            Completion::Received { bytes, .. } => (bytes == b"ping").then_some(()),
            _ => None,
        })?;
        self.operations.send(connection, &mut SendMark::default(), |out| out.extend(b"pong"));
        self.driver.submit(&mut self.operations);
        self.driver.wait(Some(Duration::ZERO))?;
        while self.driver.next().is_some() {}
        let mut answer = [0; 4];
        client.read_exact(&mut answer)?;
        if answer == *b"pong" { Ok(()) } else { Err(io::Error::other("the send was garbled")) }
    }

    fn keeps_the_rest_of_a_short_send(
        &mut self,
        client: &mut TcpStream,
        connection: ConnectionId,
    ) -> io::Result<()> {
        // More than both socket buffers hold for a peer that does not read.
        const BYTES: usize = 16 * SOCKET_BUFFER_BYTES;
        self.operations.send_owned(connection, &mut SendMark::default(), vec![7; BYTES], 0);
        self.until("short send", |completion| {
            matches!(completion, Completion::Backlogged { .. }).then_some(())
        })?;
        let mut reader = client.try_clone()?;
        let reading = std::thread::Builder::new()
            .spawn(move || reader.read_exact(&mut vec![0; BYTES]).map(|()| BYTES))?;
        self.until("backlog send", |completion| {
            matches!(completion, Completion::Drained { .. }).then_some(())
        })?;
        reading.join().map_err(|_| io::Error::other("the reader panicked"))??;
        Ok(())
    }

    fn cancels(&mut self, client: &mut TcpStream, connection: ConnectionId) -> io::Result<()> {
        self.operations.push(Operation::Close(connection));
        self.until("cancel and close", |completion| {
            matches!(completion, Completion::Closed { .. }).then_some(())
        })?;
        match client.read(&mut [0]) {
            Ok(0) => Ok(()),
            _ => Err(io::Error::other("a close did not reach the peer")),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_kernel_passes_or_says_why() {
        if let Err(reason) = super::check(1) {
            assert!(reason.contains("io_uring") || reason.contains("ring"), "{reason}");
        }
    }
}
