//! Listening sockets: one per core and address, sharing the port by SO_REUSEPORT.
//!
//! It binds and refuses; accepting belongs to the drivers.

use std::{
    fmt,
    fs::File,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::net::{SocketFlags, accept_with};
use socket2::{Domain, Protocol, Socket, Type};

use crate::socket_options::{RefusedOption, SocketOptions};

/// A bound, listening, non-blocking socket with SO_REUSEPORT.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: SocketAddr,
    backlog: i32,
    options: SocketOptions,
}

/// Why there is no listener.
#[derive(Debug)]
pub enum BindError {
    /// `bind(2)`: the address is in use or not this host's; or there is no descriptor.
    Address(io::Error),
    /// The kernel does not take an option.
    Option(RefusedOption),
}

impl Listener {
    /// Binds and listens with room for `backlog` connections not yet accepted (listen(2), bounded
    /// by net.core.somaxconn). Port 0 takes a free port. Accepted sockets have the options.
    ///
    /// # Errors
    /// The address or an option is refused.
    pub fn bind(
        address: SocketAddr,
        backlog: i32,
        options: &SocketOptions,
    ) -> Result<Self, BindError> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        options.set_on(&socket).map_err(BindError::Option)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        let address = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a TCP listener has an IP address"))?;
        Ok(Self { socket, address, backlog, options: *options })
    }

    /// Another listener like this one on the same address, for another core.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn sibling(&self) -> Result<Self, BindError> {
        Self::bind(self.address, self.backlog, &self.options)
    }

    /// Where it listens; the real port when bound to port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        Self::Address(error)
    }
}

impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Address(error) => error,
            BindError::Option(refused) => Self::other(refused),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(formatter),
            Self::Option(refused) => refused.fmt(formatter),
        }
    }
}

impl std::error::Error for BindError {}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A descriptor held in reserve, so that a full table can still turn clients away.
///
/// At the descriptor limit accept(2) fails and the client waits in the backlog for ever. Giving
/// up the reserve makes room to accept and close: the client learns at once.
#[derive(Debug)]
pub(crate) struct Reserve {
    descriptor: Option<OwnedFd>,
}

/// How long a driver leaves a listener alone after it ran out of descriptors, unless a connection
/// closes earlier: EMFILE never spins.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many waiting clients are turned away at a time, so that a flood cannot hold the loop.
const REFUSED_PER_TURN: u32 = 64;

impl Reserve {
    pub(crate) fn new() -> Self {
        let mut reserve = Self { descriptor: None };
        reserve.refill();
        reserve
    }

    /// Turns away clients that wait on `listener`; returns how many.
    pub(crate) fn refuse_waiting(&mut self, listener: BorrowedFd<'_>) -> u32 {
        if self.descriptor.take().is_none() {
            self.refill();
            return 0;
        }
        let mut refused = 0;
        while refused < REFUSED_PER_TURN
            && accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).is_ok()
        {
            refused += 1;
        }
        self.refill();
        refused
    }

    fn refill(&mut self) {
        self.descriptor = File::open("/dev/null").ok().map(OwnedFd::from);
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpStream};

    use super::*;

    fn listener() -> Listener {
        let address = "127.0.0.1:0".parse().unwrap();
        Listener::bind(address, 16, &SocketOptions::default()).unwrap()
    }

    #[test]
    fn siblings_share_a_port() {
        let first = listener();
        let second = first.sibling().unwrap();
        assert_eq!(first.address(), second.address());
    }

    #[test]
    fn waiting_clients_are_turned_away() {
        let listener = listener();
        let mut clients: Vec<_> =
            (0..3).map(|_| TcpStream::connect(listener.address()).unwrap()).collect();
        assert_eq!(Reserve::new().refuse_waiting(listener.as_fd()), 3);
        for client in &mut clients {
            assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
        }
    }
}
