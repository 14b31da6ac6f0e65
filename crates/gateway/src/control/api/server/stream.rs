//! The streams of the private listener: by TCP, with TLS or without, or by a unix socket.
//!
//! It reads and writes bytes and knows no HTTP.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream, tcp, unix},
};

use ringway_tls::server::Server;

use super::tls_stream::TlsStream;
use crate::process::private_socket::PrivateSocket;

/// A socket that applications connect to.
pub enum Listener {
    /// On an address, with TLS if there is a server for it.
    Tcp(TcpListener, Option<Arc<Server>>),
    /// In the file system.
    Unix(UnixListener),
}

/// A connection.
pub enum Stream {
    /// By TCP.
    Tcp(TcpStream),
    /// By TLS.
    Tls(Box<TlsStream>),
    /// By a unix socket.
    Unix(UnixStream),
}

/// The reading half of a connection.
pub enum Reader<'s> {
    /// By TCP.
    Tcp(tcp::ReadHalf<'s>),
    /// By TLS.
    Tls(&'s TlsStream),
    /// By a unix socket.
    Unix(unix::ReadHalf<'s>),
}

/// The writing half of a connection.
pub enum Writer<'s> {
    /// By TCP.
    Tcp(tcp::WriteHalf<'s>),
    /// By TLS.
    Tls(&'s TlsStream),
    /// By a unix socket.
    Unix(unix::WriteHalf<'s>),
}

/// Who has connected, for the log.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// An address.
    Tcp(SocketAddr),
    /// A user of this machine, if the kernel names it (unix(7), SO_PEERCRED).
    Unix(Option<u32>),
}

/// Does the same with either kind.
macro_rules! either {
    ($value:expr, $inner:ident => $do:expr) => {
        match $value {
            Self::Tcp($inner) => $do,
            Self::Tls($inner) => $do,
            Self::Unix($inner) => $do,
        }
    };
}

impl Listener {
    /// Accepts on a socket of the process.
    ///
    /// # Errors
    /// The runtime does not take it.
    pub fn of(socket: &PrivateSocket, server: Option<Arc<Server>>) -> io::Result<Self> {
        match socket {
            PrivateSocket::Tcp(socket) => {
                let socket = socket.try_clone()?;
                socket.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(socket)?, server))
            }
            PrivateSocket::Unix(socket) => {
                let socket = socket.listener.try_clone()?;
                socket.set_nonblocking(true)?;
                UnixListener::from_std(socket).map(Self::Unix)
            }
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// accept(2).
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener, server) => {
                let (stream, address) = listener.accept().await?;
                // Without TCP_NODELAY, the second piece of an answer may wait for an
                // acknowledgement (tcp(7)).
                let _ = stream.set_nodelay(true);
                let stream = match server {
                    Some(server) => Stream::Tls(Box::new(TlsStream::new(stream, server.accept()))),
                    None => Stream::Tcp(stream),
                };
                Ok((stream, Peer::Tcp(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok((Stream::Unix(stream), Peer::Unix(user)))
            }
        }
    }
}

impl Stream {
    /// Both halves.
    pub fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            Self::Tls(stream) => (Reader::Tls(stream), Writer::Tls(stream)),
            Self::Unix(stream) => {
                let (reader, writer) = stream.split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
        }
    }

    /// The name in the certificate that the application has shown and that was verified.
    pub fn peer_name(&self) -> Option<String> {
        match self {
            Self::Tls(stream) => stream.peer_name(),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    /// Writes what the socket takes at once; nothing before a handshake.
    ///
    /// # Errors
    /// It takes nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.try_write(bytes))
    }
}

impl Reader<'_> {
    /// Waits for bytes, without a buffer.
    ///
    /// # Errors
    /// The connection has failed.
    pub async fn readable(&self) -> io::Result<()> {
        either!(self, half => half.readable().await)
    }
}

impl AsyncRead for Reader<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), half => Pin::new(half).poll_read(context, buffer))
    }
}

impl AsyncWrite for Writer<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), half => Pin::new(half).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), half => Pin::new(half).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), half => Pin::new(half).poll_shutdown(context))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(Some(user)) => write!(formatter, "unix:uid={user}"),
            Self::Unix(None) => formatter.write_str("unix"),
        }
    }
}
