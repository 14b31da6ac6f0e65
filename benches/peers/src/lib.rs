//! The shared code of the small servers: where they listen, and how they announce it.
//!
//! Each of them has one thread. They exist only to be measured.

#![forbid(unsafe_code)]

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use clap::Parser;
use socket2::{Domain, Socket, Type};

/// Clients that may wait to be accepted; the kernel may allow fewer (listen(2)).
const BACKLOG: i32 = 4096;

/// The arguments of each server.
#[derive(Debug, Parser)]
#[command(version, about, after_help = "Example: floor --listen 127.0.0.1:0")]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

impl Args {
    /// Listens. Accepted sockets send without delay, because they inherit TCP_NODELAY (tcp(7)).
    ///
    /// # Errors
    /// The address is taken, or is not this machine's.
    pub fn listen(&self) -> Result<TcpListener> {
        let listen = || {
            let socket = Socket::new(Domain::for_address(self.listen), Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_tcp_nodelay(true)?;
            socket.bind(&self.listen.into())?;
            socket.listen(BACKLOG)?;
            Ok::<_, std::io::Error>(TcpListener::from(socket))
        };
        listen().with_context(|| format!("cannot listen on {}", self.listen))
    }
}

/// Prints the line that the process which started the server waits for.
///
/// # Errors
/// The socket has no address.
pub fn announce(listener: &TcpListener) -> Result<()> {
    eprintln!("listens on ws://{}", listener.local_addr()?);
    Ok(())
}
