//! The listeners of each core, on addresses that are bound here or on inherited sockets, and the
//! socket options of the connections that they accept.
//!
//! It never starts a core. An error from the kernel names the key to change.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail, ensure};
use ringway_acceptor::{
    BindError, Listener, SocketOptions,
    socket_options::{Keepalive, Refusal, RefusedOption, SocketOption},
};

use crate::{
    config::{self, Config},
    limits::LISTENERS_MAX,
};

/// How long an address may stay in use after its process has ended.
const BIND_PATIENCE: Duration = Duration::from_secs(1);

/// The addresses, and for each core a set of listeners on all of them.
#[derive(Debug)]
pub struct Listeners {
    /// With the real ports.
    pub addresses: Vec<SocketAddr>,
    /// The settings of each address.
    pub settings: Vec<config::Listener>,
    /// One for each core.
    pub sets: Vec<Vec<Listener>>,
}

impl Listeners {
    fn none(cores: usize) -> Self {
        let sets = (0..cores).map(|_| Vec::new()).collect();
        Self { addresses: Vec::new(), settings: Vec::new(), sets }
    }
}

/// Binds all addresses of the configuration for each core.
///
/// # Errors
/// An address or an option is refused.
pub fn bind_all(config: &Config, cores: usize) -> anyhow::Result<Listeners> {
    let options = socket_options(&config.socket);
    let mut listeners = Listeners::none(cores);
    for listener in &config.listeners {
        let backlog = i32::try_from(listener.backlog).unwrap_or(i32::MAX);
        let bind = || {
            // With SO_REUSEPORT two gateways could share a port unnoticed, so the first bind is
            // without it.
            drop(bind_patiently(listener.address)?);
            let first = Listener::bind(listener.address, backlog, &options)?;
            let siblings = (1..cores).map(|_| first.sibling());
            let siblings = siblings.collect::<Result<Vec<_>, _>>()?;
            Ok((first, siblings))
        };
        let (first, siblings) = bind().map_err(|error| match error {
            BindError::Option(refused) => anyhow!(mended(&refused)),
            error => anyhow!(error).context(format!("cannot listen on {}", listener.address)),
        })?;
        listeners.addresses.push(first.address());
        listeners.settings.push(listener.clone());
        let all = std::iter::once(first).chain(siblings);
        listeners.sets.iter_mut().zip(all).for_each(|(set, listener)| set.push(listener));
    }
    Ok(listeners)
}

/// Spreads inherited sockets over the cores. Sockets with the same address (SO_REUSEPORT) go to one
/// core each, since the kernel spreads clients over all of them; cores without one share those of
/// others.
///
/// # Errors
/// An option is refused, or other machines could connect and the configuration does not allow that.
pub fn inherit_all(
    config: &Config,
    descriptors: Vec<OwnedFd>,
    cores: usize,
) -> anyhow::Result<Listeners> {
    let options = socket_options(&config.socket);
    let mut by_address: Vec<Vec<Listener>> = Vec::new();
    for descriptor in descriptors {
        let listener = Listener::inherit(descriptor, &options).map_err(inheriting)?;
        let address = listener.address();
        if let Some(fault) = config.exposure(&format!("the inherited socket on {address}"), address)
        {
            bail!(fault);
        }
        match by_address.iter_mut().find(|group| group[0].address() == address) {
            Some(group) => group.push(listener),
            None => by_address.push(vec![listener]),
        }
    }
    ensure!(
        by_address.len() as u64 <= LISTENERS_MAX,
        "clients' sockets on {} addresses were inherited; at most {LISTENERS_MAX} are allowed",
        by_address.len()
    );
    let mut listeners = Listeners::none(cores);
    for mut group in by_address {
        let address = group[0].address();
        listeners.addresses.push(address);
        listeners.settings.push(settings_of(config, address)?);
        for index in 0..cores.saturating_sub(group.len()) {
            group.push(group[index].sibling().map_err(inheriting)?);
        }
        for (index, listener) in group.into_iter().enumerate() {
            listeners.sets[index % cores].push(listener);
        }
    }
    Ok(listeners)
}

/// The settings of an inherited socket: those of the listener with its address, or of all listeners.
fn settings_of(config: &Config, address: SocketAddr) -> anyhow::Result<config::Listener> {
    let with_address = |listener: &config::Listener| {
        let listener = listener.clone();
        config::Listener { address, backlog: 0, ..listener }
    };
    let same = config.listeners.iter().find(|listener| listener.address == address);
    let settings = same.or(config.listeners.first()).map(with_address);
    let differs = |other| settings != Some(with_address(other));
    if same.is_none() && config.listeners.iter().any(differs) {
        bail!(
            "the socket on {address} was inherited, but no listener has that address and their \
             settings differ: give one of them listener.address = \"{address}\""
        );
    }
    settings.ok_or_else(|| anyhow!("there is no listener"))
}

fn inheriting(error: BindError) -> anyhow::Error {
    match error {
        BindError::Option(refused) => anyhow!(mended(&refused)),
        error => anyhow!(error).context("a socket for clients cannot be inherited"),
    }
}

/// Binds an address that may become free at any moment: the kernel closes the sockets of a process
/// that used io_uring only after the process has ended, so a gateway that is restarted at once may
/// find its own address in use.
///
/// # Errors
/// `bind(2)`.
pub fn bind_patiently(address: SocketAddr) -> io::Result<TcpListener> {
    let start = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && start.elapsed() < BIND_PATIENCE =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

fn socket_options(socket: &config::Socket) -> SocketOptions {
    let unless_zero = |time: Duration| (!time.is_zero()).then_some(time);
    SocketOptions {
        nodelay: socket.nodelay,
        defer_accept: unless_zero(socket.defer_accept),
        notsent_lowat_bytes: socket.notsent_lowat_bytes.exactly(),
        keepalive: unless_zero(socket.keepalive_idle).map(|idle| Keepalive {
            idle,
            interval: socket.keepalive_interval.exactly(),
            probes: socket.keepalive_probes.exactly(),
        }),
        user_timeout: socket.user_timeout.exactly(),
        receive_buffer_bytes: socket.receive_buffer_bytes.exactly(),
        send_buffer_bytes: socket.send_buffer_bytes.exactly(),
        busy_poll: socket
            .busy_poll_us
            .exactly()
            .map(|microseconds| Duration::from_micros(microseconds.into())),
    }
}

/// The message for the operator: the key, what is wrong with it, and how to fix it.
fn mended(refused: &RefusedOption) -> String {
    let (key, sysctl) = match refused.option {
        SocketOption::NoDelay => ("socket.nodelay", None),
        SocketOption::DeferAccept => ("socket.defer_accept", None),
        SocketOption::NotsentLowat => ("socket.notsent_lowat_bytes", None),
        SocketOption::Keepalive => ("socket.keepalive_idle", None),
        SocketOption::UserTimeout => ("socket.user_timeout", None),
        SocketOption::ReceiveBuffer => ("socket.receive_buffer_bytes", Some("net.core.rmem_max")),
        SocketOption::SendBuffer => ("socket.send_buffer_bytes", Some("net.core.wmem_max")),
        SocketOption::BusyPoll => ("socket.busy_poll_us", Some("net.core.busy_read")),
    };
    let mend = match (&refused.refusal, sysctl) {
        (Refusal::Lowers { .. }, Some(sysctl)) => {
            format!("lower it to that, or raise the sysctl {sysctl}")
        }
        (Refusal::Fails(error), Some(sysctl))
            if error.kind() == io::ErrorKind::PermissionDenied =>
        {
            format!(
                "give the gateway CAP_NET_ADMIN, or leave it at \"auto\" and set the sysctl {sysctl}"
            )
        }
        _ => "leave it at its default".to_owned(),
    };
    format!("{key}: {refused}; {mend}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Automatic;

    #[test]
    fn a_refusal_names_the_key_and_the_correction() {
        let told = |option, refusal| mended(&RefusedOption { option, refusal });
        let denied = || Refusal::Fails(io::ErrorKind::PermissionDenied.into());
        assert_eq!(
            told(SocketOption::BusyPoll, denied()),
            "socket.busy_poll_us: the kernel refuses SO_BUSY_POLL: permission denied; give the \
             gateway CAP_NET_ADMIN, or leave it at \"auto\" and set the sysctl net.core.busy_read"
        );
        assert_eq!(
            told(SocketOption::NotsentLowat, denied()),
            "socket.notsent_lowat_bytes: the kernel refuses TCP_NOTSENT_LOWAT: permission denied; \
             leave it at its default"
        );
        assert_eq!(
            told(SocketOption::ReceiveBuffer, Refusal::Lowers { wanted: 2000, allowed: 1000 }),
            "socket.receive_buffer_bytes: the kernel lowers SO_RCVBUF from 2000 to 1000 bytes; \
             lower it to that, or raise the sysctl net.core.rmem_max"
        );
    }

    #[test]
    fn zero_and_auto_set_no_socket_option() {
        let socket = config::Socket {
            keepalive_idle: Duration::ZERO,
            keepalive_interval: Automatic::Auto,
            user_timeout: Automatic::Auto,
            notsent_lowat_bytes: Automatic::Auto,
            ..Config::default().socket
        };
        assert_eq!(socket_options(&socket), SocketOptions::default());
    }

    #[test]
    fn the_defaults_bound_what_a_vanished_or_slow_client_costs() {
        let options = socket_options(&Config::default().socket);
        assert_eq!(options.user_timeout, Some(Duration::from_secs(30)));
        assert_eq!(options.notsent_lowat_bytes, Some(32 << 10));
        let keepalive = options.keepalive.unwrap();
        assert_eq!(keepalive.idle, Duration::from_secs(30));
        assert_eq!(keepalive.interval, Some(Duration::from_secs(5)));
    }
}
