//! Listening sockets that systemd opened before the gateway started (sd_listen_fds(3)), by their
//! names.
//!
//! It never binds an address, and accepts no socket with an unknown name.

use std::{env, io, net::TcpListener, os::fd::OwnedFd};

use anyhow::{anyhow, bail, ensure};
use listenfd::ListenFd;
use ringway_acceptor::{BindError, WrongKind, listener};

/// `FileDescriptorName=` of sockets that clients connect to.
pub const CLIENTS: &str = "clients";

/// `FileDescriptorName=` of the private API's socket.
pub const API: &str = "api";

/// SD_LISTEN_FDS_START of sd_listen_fds(3).
const FIRST: usize = 3;

/// The sockets that the gateway inherited. The others are bound as configured.
#[derive(Debug, Default)]
pub struct Inherited {
    /// For clients, instead of `[[listener]]`.
    pub clients: Vec<OwnedFd>,
    /// For the private API, instead of `server.api_listen`.
    pub api: Option<TcpListener>,
}

impl Inherited {
    /// Takes them from the environment and removes the variables. Must be called before anything
    /// else opens a descriptor or starts a thread.
    ///
    /// # Errors
    /// A socket has an unknown name, or is of another kind. The error says what to change.
    pub fn take() -> anyhow::Result<Self> {
        let mut inherited = Self::default();
        // `listenfd` does not require LISTEN_PID, but without it the descriptors may belong to
        // anything.
        if env::var_os("LISTEN_PID").is_none_or(|pid| pid.is_empty()) {
            return Ok(inherited);
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        // This removes the other variables, without which LISTEN_FDNAMES has no meaning.
        let mut sockets = ListenFd::from_env();
        if sockets.len() == 0 {
            return Ok(inherited);
        }
        let names: Vec<&str> = names.split(':').collect();
        ensure!(
            names.len() == sockets.len(),
            "{} sockets were inherited (LISTEN_FDS), and LISTEN_FDNAMES names {} of them: start the \
             gateway by a systemd unit whose [Socket] section has FileDescriptorName=",
            sockets.len(),
            names.len()
        );
        for (index, name) in names.into_iter().enumerate() {
            let descriptor = FIRST + index;
            ensure!(
                name == CLIENTS || name == API,
                "the inherited socket {descriptor} has the name {name:?}, which is unknown: set \
                 FileDescriptorName={CLIENTS} in the [Socket] section of its unit if clients connect \
                 to it, or FileDescriptorName={API} if it is for the private API"
            );
            let socket = listening(sockets.take_tcp_listener(index)).map_err(|error| {
                anyhow!(error.to_string())
                    .context(format!("the inherited socket {descriptor} ({name}) cannot be used"))
            })?;
            inherited.add(name, socket)?;
        }
        Ok(inherited)
    }

    fn add(&mut self, name: &str, socket: TcpListener) -> anyhow::Result<()> {
        if name == CLIENTS {
            self.clients.push(socket.into());
        } else if self.api.replace(socket).is_some() {
            bail!(
                "two inherited sockets have the name {API}, and the private API has one address: \
                 leave one ListenStream= in the unit with FileDescriptorName={API}"
            );
        }
        Ok(())
    }
}

fn listening(socket: io::Result<Option<TcpListener>>) -> Result<TcpListener, &'static str> {
    const NOT_TCP: &str = "it is not a TCP socket; in the [Socket] section of its unit use \
                           ListenStream= with a port, or with an IP address and a port";
    let socket = socket.ok().flatten().ok_or(NOT_TCP)?;
    match listener::check_inherited(&socket) {
        Ok(()) => Ok(socket),
        Err(BindError::Kind(WrongKind::NotListening)) => {
            Err("it does not listen; set Accept=no in the [Socket] section of its unit, as the \
                 gateway accepts clients itself")
        }
        Err(_) => Err(NOT_TCP),
    }
}
