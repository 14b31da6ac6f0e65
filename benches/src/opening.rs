//! Where a server is, and a client's opening handshake with it.
//!
//! It connects and judges responses; driving the socket is the caller's.

use std::{
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    os::fd::OwnedFd,
};

use anyhow::{Context, Result, bail};
use ringway_frame::handshake::client::{Expectation, Request, Verdict, random_nonce};

/// A response head longer than this is not one.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A server's `ws://` URL, taken apart.
#[derive(Debug, Clone)]
pub struct Target {
    authority: String,
    path: String,
    address: SocketAddr,
}

impl Target {
    /// Takes a URL such as `ws://127.0.0.1:8080/echo` apart.
    ///
    /// # Errors
    /// Another scheme, no port, or a name that resolves to nothing.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("ws://").with_context(|| format!("{url} is not ws://"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = authority
            .to_socket_addrs()
            .with_context(|| format!("{authority} is not HOST:PORT"))?
            .next()
            .with_context(|| format!("{authority} resolves to nothing"))?;
        Ok(Self { authority: authority.to_owned(), path: format!("/{path}"), address })
    }

    /// Connects. On loopback this does not wait for the server, only for its backlog.
    ///
    /// # Errors
    /// `connect(2)`, or no descriptor left.
    pub fn connect(&self) -> Result<OwnedFd> {
        let stream = TcpStream::connect(self.address)
            .with_context(|| format!("connecting to {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream.into())
    }

    /// Appends the request; the answer judges the response.
    ///
    /// # Errors
    /// A URL that cannot stand in a request.
    pub fn request(&self, out: &mut Vec<u8>) -> Result<Opening<'_>> {
        let request = Request { host: &self.authority, target: &self.path, ..Request::default() };
        let expectation = request.emit(random_nonce()?, out)?;
        Ok(Opening { expectation, head: Vec::new() })
    }
}

/// A handshake whose response is awaited.
#[derive(Debug)]
pub struct Opening<'a> {
    expectation: Expectation<'a>,
    head: Vec<u8>,
}

/// Whether a connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Openness {
    /// More of the response is to come.
    Awaited,
    /// It is.
    Open,
}

impl Opening<'_> {
    /// Takes bytes of the response.
    ///
    /// # Errors
    /// The server refuses, or sends something before it was sent anything.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Openness> {
        self.head.extend_from_slice(bytes);
        match self.expectation.verify(&self.head)? {
            Verdict::Accepted(accepted) if accepted.head_bytes == self.head.len() => {
                Ok(Openness::Open)
            }
            Verdict::Accepted(_) => bail!("the server speaks first: this is no echo"),
            Verdict::Incomplete if self.head.len() > HEAD_BYTES_MAX => {
                bail!("the response's head does not end")
            }
            Verdict::Incomplete => Ok(Openness::Awaited),
        }
    }
}
