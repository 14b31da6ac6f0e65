//! Outgoing connections: how one is begun, and how a driver takes it over.
//!
//! It begins and never waits; which errors to count and when to try again is its caller's to say.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Connection, Driver};

/// Begins TCP connections to one address.
///
/// ```no_run
/// use ringway_acceptor::{Connect, Connector, epoll::EpollDriver};
/// # fn open(driver: &mut EpollDriver) -> std::io::Result<()> {
/// let connector = Connector::new("127.0.0.1:9001".parse().unwrap());
/// let socket = connector.begin(Some("127.0.0.2".parse().unwrap()))?;
/// let connection = driver.connect(socket).expect("a free slot");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connector {
    /// Where to.
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

    /// Bounds what the kernel keeps of what was received (SO_RCVBUF in socket(7), which doubles
    /// it); set before the connection is begun, so that the window offered to the peer follows.
    #[must_use]
    pub fn with_receive_buffer(self, bytes: usize) -> Self {
        Self { receive_buffer_bytes: Some(bytes), ..self }
    }

    /// Bounds what the kernel keeps of what was sent (SO_SNDBUF in socket(7), which doubles it).
    #[must_use]
    pub fn with_send_buffer(self, bytes: usize) -> Self {
        Self { send_buffer_bytes: Some(bytes), ..self }
    }

    /// Ends connections with RST and not with FIN (SO_LINGER of 0 in socket(7)): what was not sent
    /// is lost, and this host keeps no TIME_WAIT.
    #[must_use]
    pub fn with_reset_at_close(self) -> Self {
        Self { at_close: AtClose::Reset, ..self }
    }

    /// A socket, non-blocking, close-on-exec and with TCP_NODELAY, on which connect(2) was begun;
    /// [`Connect::connect`] takes it from there. `source` is the address to come from, any of this
    /// host's and of the target's family; otherwise the routing table chooses.
    ///
    /// # Errors
    /// - `EMFILE`, `ENFILE`: no descriptor left.
    /// - `EADDRNOTAVAIL`: `source` is not this host's, or has no port left for this target
    ///   (net.ipv4.ip_local_port_range in ip(7)).
    /// - `ECONNREFUSED`, `ENETUNREACH` and the like where the kernel knows at once.
    pub fn begin(&self, source: Option<IpAddr>) -> io::Result<OwnedFd> {
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
            // ip(7): otherwise bind(2) takes a port from all targets at once, and searches for it.
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&self.target.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(socket.into()),
        }
    }
}

/// A driver that also takes connections which this host begins.
pub trait Connect: Driver {
    /// Takes a socket on which connect(2) was begun, as by [`Connector::begin`], whether it is
    /// established by now or not.
    ///
    /// It is reported in a later turn, once: [`Completion::Connected`], from which on it is like
    /// an accepted connection, or [`Completion::Failed`] with the error of the connect
    /// (`ECONNREFUSED`, `ETIMEDOUT`, ...). Before that, sends and
    /// [`Operation::Shutdown`](crate::Operation::Shutdown) on it are ignored; pausing and closing
    /// are not. As of any other, it is told that it is closed only after
    /// [`Operation::Close`](crate::Operation::Close), which a failed one needs too.
    ///
    /// May be called at any time, also between two calls of [`Driver::next`].
    ///
    /// # Errors
    /// The descriptor itself when `connections_max` are held.
    ///
    /// [`Completion::Connected`]: crate::Completion::Connected
    /// [`Completion::Failed`]: crate::Completion::Failed
    fn connect(&mut self, socket: OwnedFd) -> Result<Connection, OwnedFd>;
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
    fn a_reset_is_sent_if_asked_for() {
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
    fn it_comes_from_the_source_without_keeping_its_port_from_others() {
        let (listener, connector) = listener();
        for last in 2..5 {
            let source = Ipv4Addr::new(127, 0, 0, last);
            let socket = connector.begin(Some(source.into())).unwrap();
            assert!(getsockopt(&socket, IpBindAddressNoPort).unwrap());
            assert_eq!(listener.accept().unwrap().1.ip(), source);
        }
    }

    #[test]
    fn a_source_may_be_of_ipv6() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
            return eprintln!("skipped: this host has no IPv6");
        };
        let connector = Connector::new(listener.local_addr().unwrap());
        let socket = connector.begin(Some(Ipv6Addr::LOCALHOST.into())).unwrap();
        assert!(getsockopt(&socket, IpBindAddressNoPort).unwrap());
        assert_eq!(listener.accept().unwrap().1.ip(), Ipv6Addr::LOCALHOST);
    }

    #[test]
    fn buffers_are_as_large_as_asked_for() {
        let (_listener, connector) = listener();
        let connector = connector.with_receive_buffer(20_000).with_send_buffer(30_000);
        let socket = connector.begin(None).unwrap();
        let socket = SockRef::from(&socket);
        // socket(7): the kernel doubles both for its own needs.
        assert_eq!(socket.recv_buffer_size().unwrap(), 40_000);
        assert_eq!(socket.send_buffer_size().unwrap(), 60_000);
    }

    #[test]
    fn a_source_that_is_not_ours_is_told() {
        let (_listener, connector) = listener();
        // RFC 5737 §3: TEST-NET-1 is nobody's.
        let error = connector.begin(Some(Ipv4Addr::new(192, 0, 2, 1).into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
