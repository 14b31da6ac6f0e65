//! The address of a server, and a client's opening handshake with it.
//!
//! It connects and judges responses; the caller drives the socket.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

use anyhow::{Context, Result, bail};
use ringway_frame::handshake::client::{Expectation, Request, Verdict, random_nonce};
use socket2::{Domain, Protocol, Socket, Type};

/// A longer response head is an error.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a segment on a narrow link: every path carries this many (RFC 9293 §3.7.1).
const NARROW_SEGMENT_BYTES: u32 = 536;

/// Receive buffer at the end of a narrow link; the kernel doubles it (socket(7)).
const NARROW_BUFFER_BYTES: usize = 2048;

/// connect(2): the attempt continues in the kernel.
const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

/// The kind of link to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Loopback unchanged: megabytes fit into its kernel buffers.
    Loopback,
    /// Small segments and a small receive buffer, so that the server's kernel buffers some ten
    /// segments, as for a client far away, and not megabytes.
    Narrow,
}

/// A server's `ws://` URL, split into its parts.
#[derive(Debug, Clone)]
pub struct Target {
    authority: String,
    path: String,
    address: SocketAddr,
}

impl Target {
    /// Splits a URL such as `ws://127.0.0.1:8080/echo`.
    ///
    /// # Errors
    /// Another scheme, no port, or a name that does not resolve.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("ws://").with_context(|| format!("{url} is not ws://"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = authority
            .to_socket_addrs()
            .with_context(|| format!("{authority} is not HOST:PORT"))?
            .next()
            .with_context(|| format!("{authority} resolves to no address"))?;
        Ok(Self { authority: authority.to_owned(), path: format!("/{path}"), address })
    }

    /// The same server at another path and query.
    pub fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// Connects a blocking socket.
    ///
    /// # Errors
    /// `connect(2)`, or no descriptor left.
    pub fn connect_blocking(&self, link: Link) -> Result<TcpStream> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if link == Link::Narrow {
            socket.set_tcp_mss(NARROW_SEGMENT_BYTES)?;
            socket.set_recv_buffer_size(NARROW_BUFFER_BYTES)?;
        }
        let connected = socket.connect(&self.address.into());
        connected.with_context(|| format!("connecting to {}", self.address))?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket.into())
    }

    /// Begins to connect, and does not wait.
    ///
    /// # Errors
    /// No descriptor left, or no route to the server.
    pub fn connect_later(&self) -> Result<TcpStream> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.address.into()) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => {
                Err(error).with_context(|| format!("connecting to {}", self.address))
            }
            _ => Ok(socket.into()),
        }
    }

    /// Appends the request; the returned handshake judges the response.
    ///
    /// # Errors
    /// The URL is not valid in a request.
    pub fn request(&self, out: &mut Vec<u8>) -> Result<Handshake<'_>> {
        let request = Request { host: &self.authority, target: &self.path, ..Request::default() };
        let expectation = request.emit(random_nonce()?, out)?;
        Ok(Handshake { expectation, head: Vec::new() })
    }
}

/// A handshake whose response is awaited.
#[derive(Debug)]
pub struct Handshake<'a> {
    expectation: Expectation<'a>,
    head: Vec<u8>,
}

/// The state of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeState {
    /// The response is incomplete.
    Awaited,
    /// The connection is open.
    Open,
}

impl Handshake<'_> {
    /// Takes bytes of the response.
    ///
    /// # Errors
    /// The server refuses, or sends frames right after its response.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<HandshakeState> {
        match self.read_head(bytes)? {
            Some(head_bytes) if head_bytes == self.head.len() => Ok(HandshakeState::Open),
            Some(_) => bail!("the server sends first, so it is not an echo"),
            None => Ok(HandshakeState::Awaited),
        }
    }

    /// Takes bytes of the response and returns the length of its head once that is complete. The
    /// server's first frames follow it.
    ///
    /// # Errors
    /// The server refuses.
    pub fn read_head(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        self.head.extend_from_slice(bytes);
        match self.expectation.verify(&self.head)? {
            Verdict::Accepted(accepted) => Ok(Some(accepted.head_bytes)),
            Verdict::Incomplete if self.head.len() > HEAD_BYTES_MAX => {
                bail!("the response's head is incomplete")
            }
            Verdict::Incomplete => Ok(None),
        }
    }
}
