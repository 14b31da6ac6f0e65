//! Outgoing connections: what to connect to and how its socket is made.
//!
//! It never waits and never tries again: the driver's owner decides about both.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Protocol, Socket, Type};

/// Names an attempt to connect until its connection has a name.
///
/// Attempts of one driver in progress at the same time have different tokens. A token whose attempt
/// has been answered is free again, and is ignored as long as no other attempt has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectToken(pub u64);

/// One attempt to connect, for [`Operation::Connect`](crate::Operation::Connect).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectRequest {
    /// The target and the options of the socket.
    pub connector: Connector,
    /// The source address, one of this host's and of the target's family; `None`: the routing
    /// table chooses.
    pub source: Option<IpAddr>,
    /// Identifies the attempt in its outcome.
    pub token: ConnectToken,
}

impl ConnectRequest {
    /// The same attempt from `source`.
    #[must_use]
    pub fn from_source(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }
}

/// TCP connections to one address.
///
/// ```
/// use ringway_acceptor::{ConnectToken, Connector, Operations};
/// let mut operations = Operations::default();
/// let connector = Connector::new("127.0.0.1:9001".parse().unwrap());
/// let request = connector.request(ConnectToken(1));
/// operations.connect(request.from_source("127.0.0.2".parse().unwrap()));
/// // `Completion::Connected` or `Completion::ConnectFailed` follows with that token.
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connector {
    /// The address to connect to.
    pub target: SocketAddr,
    receive_buffer_bytes: Option<usize>,
    send_buffer_bytes: Option<usize>,
    at_close: AtClose,
}

/// What close(2) sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtClose {
    Fin,
    Reset,
}

impl Connector {
    /// Connections to `target`, with the kernel's own buffer sizes.
    pub fn new(target: SocketAddr) -> Self {
        Self { target, receive_buffer_bytes: None, send_buffer_bytes: None, at_close: AtClose::Fin }
    }

    /// Sets the kernel's receive buffer (SO_RCVBUF in socket(7), which doubles it); before the
    /// connection is begun, so that the window offered to the peer follows.
    #[must_use]
    pub fn with_receive_buffer(self, bytes: usize) -> Self {
        Self { receive_buffer_bytes: Some(bytes), ..self }
    }

    /// Sets the kernel's send buffer (SO_SNDBUF in socket(7), which doubles it).
    #[must_use]
    pub fn with_send_buffer(self, bytes: usize) -> Self {
        Self { send_buffer_bytes: Some(bytes), ..self }
    }

    /// Ends connections with RST and not with FIN (SO_LINGER of 0 in socket(7)): unsent bytes are
    /// lost, and this host keeps no TIME_WAIT.
    #[must_use]
    pub fn with_reset_at_close(self) -> Self {
        Self { at_close: AtClose::Reset, ..self }
    }

    /// One attempt, which `token` names until it is answered.
    pub fn request(self, token: ConnectToken) -> ConnectRequest {
        ConnectRequest { connector: self, source: None, token }
    }

    /// A socket, non-blocking, close-on-exec and with TCP_NODELAY, ready for connect(2).
    ///
    /// # Errors
    /// - `EMFILE`, `ENFILE`: no descriptor left.
    /// - `EADDRNOTAVAIL`: `source` is not this host's.
    pub(crate) fn socket(&self, source: Option<IpAddr>) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(self.target), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = self.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        if self.at_close == AtClose::Reset {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        if let Some(source) = source {
            // ip(7): otherwise bind(2) searches for a port that is free for all targets.
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        Ok(socket)
    }

    /// A socket on which connect(2) was begun.
    ///
    /// # Errors
    /// - As [`Self::socket`].
    /// - `EADDRNOTAVAIL`: `source` has no port left for this target (net.ipv4.ip_local_port_range
    ///   in ip(7)).
    /// - `ECONNREFUSED`, `ENETUNREACH` and the like, if the kernel knows at once.
    pub(crate) fn begin(&self, source: Option<IpAddr>) -> io::Result<OwnedFd> {
        let socket = self.socket(source)?;
        match socket.connect(&self.target.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(socket.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

    use nix::sys::socket::getsockopt;
    use rustix::io::{FdFlags, fcntl_getfd};
    use socket2::SockRef;

    use super::*;

    fn listener() -> (TcpListener, Connector) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let connector = Connector::new(listener.local_addr().unwrap());
        (listener, connector)
    }

    #[test]
    fn a_socket_is_ready_for_a_driver() {
        let (listener, connector) = listener();
        let socket = connector.begin(None).unwrap();
        assert!(SockRef::from(&socket).nonblocking().unwrap());
        assert!(fcntl_getfd(&socket).unwrap().contains(FdFlags::CLOEXEC));
        assert!(SockRef::from(&socket).tcp_nodelay().unwrap());
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, TcpStream::from(socket).local_addr().unwrap());
    }

    #[test]
    fn a_reset_is_sent_on_request() {
        let (listener, connector) = listener();
        for (connector, expected) in [
            (connector, None),
            (connector.with_reset_at_close(), Some(io::ErrorKind::ConnectionReset)),
        ] {
            let socket = connector.begin(None).unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            drop(socket);
            let read = io::Read::read(&mut peer, &mut [0; 1]);
            assert_eq!(read.map_err(|error| error.kind()), expected.map_or(Ok(0), Err));
        }
    }

    #[test]
    fn a_source_address_is_used_without_reserving_its_port() {
        let (listener, connector) = listener();
        for last in 2..5 {
            let source = Ipv4Addr::new(127, 0, 0, last);
            let socket = connector.begin(Some(source.into())).unwrap();
            assert!(getsockopt(&socket, IpBindAddressNoPort).unwrap());
            assert_eq!(listener.accept().unwrap().1.ip(), source);
        }
    }

    #[test]
    fn a_source_address_may_be_ipv6() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
            return eprintln!("skipped: this host has no IPv6");
        };
        let connector = Connector::new(listener.local_addr().unwrap());
        let socket = connector.begin(Some(Ipv6Addr::LOCALHOST.into())).unwrap();
        assert!(getsockopt(&socket, IpBindAddressNoPort).unwrap());
        assert_eq!(listener.accept().unwrap().1.ip(), Ipv6Addr::LOCALHOST);
    }

    #[test]
    fn buffers_have_the_requested_size() {
        let (_listener, connector) = listener();
        let connector = connector.with_receive_buffer(20_000).with_send_buffer(30_000);
        let socket = connector.begin(None).unwrap();
        let socket = SockRef::from(&socket);
        // socket(7): the kernel doubles both for its own needs.
        assert_eq!(socket.recv_buffer_size().unwrap(), 40_000);
        assert_eq!(socket.send_buffer_size().unwrap(), 60_000);
    }

    #[test]
    fn a_source_address_of_another_host_is_an_error() {
        let (_listener, connector) = listener();
        // RFC 5737 §3: no host has an address in TEST-NET-1.
        let error = connector.begin(Some(Ipv4Addr::new(192, 0, 2, 1).into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
