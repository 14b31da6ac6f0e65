//! A gateway that is ready: its process and its addresses.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Server, address_after};

/// How long a gateway may take to start; machines that run tests are busy.
const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A gateway that is ready. It is a [`Server`] whose addresses are known.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
    /// The address for clients.
    pub address: SocketAddr,
    /// The address of the private API.
    pub api: SocketAddr,
    /// What clients speak.
    listener: Listener,
}

/// What clients speak with a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    Plain,
    Tls,
}

impl Gateway {
    /// Waits until a process that has just been started is ready.
    ///
    /// # Errors
    /// The gateway ends, or is not ready in time. The error quotes its last lines.
    pub fn watch(mut server: Server) -> Result<Self> {
        let line = server.says("is listening", START_LIMIT).context("the gateway")?;
        server.says("is serving", START_LIMIT).context("the gateway")?;
        let address = |scheme| {
            address_after(&line, scheme).with_context(|| format!("no {scheme} in {line:?}"))
        };
        let (listener, address_of_clients) = match address("ws://") {
            Ok(address) => (Listener::Plain, address),
            Err(_) => (Listener::Tls, address("wss://")?),
        };
        Ok(Self { address: address_of_clients, api: address("http://")?, listener, server })
    }

    /// The URL of a path, by `ws` or `http`, or by `wss` or `https`.
    fn url(&self, schemes: [&str; 2], path: &str) -> String {
        let scheme = match self.listener {
            Listener::Plain => schemes[0],
            Listener::Tls => schemes[1],
        };
        format!("{scheme}://{}{path}", self.address)
    }

    /// The URL of the WebSocket echo.
    pub fn echo_url(&self) -> String {
        self.url(["ws", "wss"], "/echo")
    }

    /// The URL of the demo page.
    pub fn page_url(&self) -> String {
        self.url(["http", "https"], "/")
    }

    /// All of its metrics, as text.
    ///
    /// # Errors
    /// The gateway does not answer.
    pub fn metrics(&self) -> Result<String> {
        let address = self.api;
        let mut stream = TcpStream::connect(address).context("asking for its metrics")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Sends SIGTERM, and expects exit status 0.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub fn stop(mut self) -> Result<()> {
        self.server.stop(STOP_LIMIT).context("the gateway")
    }
}

impl Deref for Gateway {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Gateway {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
