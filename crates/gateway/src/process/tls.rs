//! The TLS server of the process, from its configuration.
//!
//! It reads certificates and ticket keys; it never serves a connection.

use std::{sync::Arc, time::SystemTime};

use ringway_tls::{TlsError, server::Server, tickets::Tickets};

use crate::{
    config::Config,
    outbox::channel::{Channels, tls_layer},
};

/// The server for the listeners that speak TLS; `None` if none does.
///
/// # Errors
/// A file is missing or wrong.
pub fn server(config: &Config) -> Result<Option<Arc<Server>>, TlsError> {
    if !config.has_tls_listener() {
        return Ok(None);
    }
    let (lifetime, now) = (config.tls.ticket_lifetime, SystemTime::now());
    let tickets = match &config.tls.ticket_key_file {
        Some(path) => Tickets::in_file(path.into(), lifetime, now)?,
        None => Tickets::in_memory(lifetime, now)?,
    };
    Server::new(config.tls_settings(), tickets).map(|server| Some(Arc::new(server)))
}

/// The channels of this many listeners. Inherited sockets speak TLS if every listener of the
/// configuration does.
pub fn channels(
    server: Option<&Arc<Server>>,
    config: &Config,
    listeners: usize,
    are_inherited: bool,
) -> Channels {
    let mut channels = Channels::default();
    let Some(server) = server else { return channels };
    let all = config.listeners.iter().all(|listener| listener.tls);
    for number in 0..listeners {
        let speaks_tls = match are_inherited {
            true => all,
            false => config.listeners.get(number).is_some_and(|listener| listener.tls),
        };
        if speaks_tls {
            let number = u16::try_from(number).expect("there are few listeners");
            channels.set(number, tls_layer(Arc::clone(server)));
        }
    }
    channels
}
