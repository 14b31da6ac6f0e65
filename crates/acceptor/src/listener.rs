//! Listening sockets: bound here, one per core and address, sharing the port by SO_REUSEPORT; or
//! inherited from the process that bound them.
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
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::socket_options::{RefusedOption, SocketOptions};

/// A bound, listening, non-blocking socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: SocketAddr,
    options: SocketOptions,
    origin: Origin,
}

/// Where a listener comes from, which decides how another core gets one like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Bound here with SO_REUSEPORT: each core binds a socket of its own, which needs the backlog.
    Bound { backlog: i32 },
    /// Bound by another process: the cores share the socket, since it may not have SO_REUSEPORT.
    Inherited,
}

/// Why there is no listener.
#[derive(Debug)]
pub enum BindError {
    /// `bind(2)`: the address is in use or not this host's; or no descriptor is left.
    Address(io::Error),
    /// The kernel refuses an option.
    Option(RefusedOption),
    /// An inherited descriptor is not a listening TCP socket.
    Kind(WrongKind),
}

/// What is wrong with an inherited descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongKind {
    /// Not a TCP socket over IPv4 or IPv6.
    NotTcp,
    /// listen(2) was not called on it.
    NotListening,
}

/// Whether a descriptor is a TCP socket that listens.
///
/// # Errors
/// The descriptor is not a listening TCP socket.
pub fn check_inherited(descriptor: &impl AsFd) -> Result<(), BindError> {
    let socket = SockRef::from(descriptor);
    let is_socket = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOTSOCK) => BindError::Kind(WrongKind::NotTcp),
        _ => BindError::Address(error),
    };
    let domain = socket.domain().map_err(is_socket)?;
    let is_ip = domain == Domain::IPV4 || domain == Domain::IPV6;
    if !is_ip || socket.protocol()? != Some(Protocol::TCP) {
        return Err(BindError::Kind(WrongKind::NotTcp));
    }
    if !socket.is_listener()? {
        return Err(BindError::Kind(WrongKind::NotListening));
    }
    Ok(())
}

impl Listener {
    /// Binds and listens with room for `backlog` connections not yet accepted (listen(2), bounded
    /// by net.core.somaxconn). Port 0 takes a free port. Accepted sockets inherit `options`.
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
        Ok(Self {
            address: address_of(&socket)?,
            socket,
            options: *options,
            origin: Origin::Bound { backlog },
        })
    }

    /// Takes over a socket that another process has bound and that listens already; its backlog
    /// is unchanged. Sockets accepted later inherit `options`; a client that connected before has
    /// the options that the socket had then.
    ///
    /// # Errors
    /// The descriptor is not a listening TCP socket, or an option is refused.
    pub fn inherit(descriptor: OwnedFd, options: &SocketOptions) -> Result<Self, BindError> {
        check_inherited(&descriptor)?;
        let socket = Socket::from(descriptor);
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        options.set_on(&socket).map_err(BindError::Option)?;
        Ok(Self {
            address: address_of(&socket)?,
            socket,
            options: *options,
            origin: Origin::Inherited,
        })
    }

    /// Another listener like this one on the same address, for another core. An inherited socket is
    /// shared: each client goes to one of the cores that accept from it.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn sibling(&self) -> Result<Self, BindError> {
        match self.origin {
            Origin::Bound { backlog } => Self::bind(self.address, backlog, &self.options),
            Origin::Inherited => Ok(Self { socket: self.socket.try_clone()?, ..*self }),
        }
    }

    /// Whether other cores or processes may accept from the same socket.
    pub(crate) fn may_be_shared(&self) -> bool {
        self.origin == Origin::Inherited
    }

    /// Where it listens; the real port when bound to port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn address_of(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("a TCP listener has an IP address"))
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
            error => Self::other(error),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(formatter),
            Self::Option(refused) => refused.fmt(formatter),
            Self::Kind(WrongKind::NotTcp) => formatter.write_str("it is not a TCP socket"),
            Self::Kind(WrongKind::NotListening) => formatter.write_str("it does not listen"),
        }
    }
}

impl std::error::Error for BindError {}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A descriptor held in reserve, so that clients can be refused at the descriptor limit.
///
/// At the descriptor limit accept(2) fails and the client waits in the backlog for ever. Closing
/// the reserve frees a descriptor to accept and close the client with, so it learns at once.
#[derive(Debug)]
pub(crate) struct Reserve {
    descriptor: Option<OwnedFd>,
}

/// How long a driver leaves a listener alone after it ran out of descriptors, unless a connection
/// closes earlier, so that it does not spin on EMFILE.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many waiting clients are refused at a time, so that a flood cannot delay the loop.
const REFUSED_PER_TURN: u32 = 64;

impl Reserve {
    pub(crate) fn new() -> Self {
        let mut reserve = Self { descriptor: None };
        reserve.refill();
        reserve
    }

    /// Refuses clients that wait on `listener`; returns how many.
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
    use std::{
        io::Read,
        net::{TcpListener, TcpStream, UdpSocket},
        os::unix::net::UnixListener,
    };

    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

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

    fn inherit(descriptor: impl Into<OwnedFd>) -> Result<Listener, BindError> {
        let options = SocketOptions { notsent_lowat_bytes: Some(4_321), ..Default::default() };
        Listener::inherit(descriptor.into(), &options)
    }

    #[test]
    fn an_inherited_socket_is_shared_with_its_options() {
        let maker = TcpListener::bind("127.0.0.1:0").unwrap();
        let descriptor = maker.try_clone().unwrap();
        fcntl_setfd(&descriptor, FdFlags::empty()).unwrap();
        let first = inherit(descriptor).unwrap();
        let second = first.sibling().unwrap();
        assert_eq!([first.address(), second.address()], [maker.local_addr().unwrap(); 2]);
        for listener in [&first, &second] {
            assert_eq!(fcntl_getfd(listener).unwrap(), FdFlags::CLOEXEC);
            let _client = TcpStream::connect(listener.address()).unwrap();
            let accepted = accept_with(listener.as_fd(), SocketFlags::CLOEXEC).unwrap();
            assert_eq!(Socket::from(accepted).tcp_notsent_lowat().unwrap(), 4_321);
        }
        // No client waits, so a blocking accept would hang here.
        assert!(accept_with(first.as_fd(), SocketFlags::CLOEXEC).is_err());
        // The socket of the process that bound it still accepts after the gateway's copies close.
        drop((first, second));
        let _client = TcpStream::connect(maker.local_addr().unwrap()).unwrap();
    }

    #[test]
    fn only_a_listening_tcp_socket_is_inherited() {
        let folder = std::env::temp_dir().join(format!("ringway-unix-{}", std::process::id()));
        let unix = UnixListener::bind(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let silent = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let not_tcp = [OwnedFd::from(unix), udp.into(), File::open("/dev/null").unwrap().into()];
        for descriptor in not_tcp {
            assert!(matches!(inherit(descriptor), Err(BindError::Kind(WrongKind::NotTcp))));
        }
        assert!(matches!(inherit(silent), Err(BindError::Kind(WrongKind::NotListening))));
    }

    #[test]
    fn waiting_clients_are_refused() {
        let listener = listener();
        let mut clients: Vec<_> =
            (0..3).map(|_| TcpStream::connect(listener.address()).unwrap()).collect();
        assert_eq!(Reserve::new().refuse_waiting(listener.as_fd()), 3);
        for client in &mut clients {
            assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
        }
    }
}
