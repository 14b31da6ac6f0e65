//! The TLS servers of the process, from its configuration: one for clients, one for the private API.
//!
//! It reads certificates and ticket keys; it never serves a connection.

use std::{sync::Arc, time::SystemTime};

use ringway_tls::{TlsError, server::Server, tickets::Tickets};

use crate::{
    config::{Config, tls::TlsUse},
    outbox::channel::{Channels, tls_layer},
};

/// The servers that the configuration asks for.
#[derive(Debug, Clone, Default)]
pub struct TlsServers {
    /// For listeners for clients.
    pub clients: Option<Arc<Server>>,
    /// For the private API.
    pub api: Option<Arc<Server>>,
}

impl TlsServers {
    /// Reads all files.
    ///
    /// # Errors
    /// A file is missing or wrong.
    pub fn new(config: &Config) -> Result<Self, TlsError> {
        if !config.has_tls_listener() && !config.server.api_tls {
            return Ok(Self::default());
        }
        let (lifetime, now) = (config.tls.ticket_lifetime, SystemTime::now());
        let tickets = match &config.tls.ticket_key_file {
            Some(path) => Tickets::in_file(path.clone(), lifetime, now)?,
            None => Tickets::in_memory(lifetime, now)?,
        };
        let server = |tls_use, is_on: bool| {
            let make = || Server::new(&config.tls_settings(tls_use), Arc::clone(&tickets));
            is_on.then(make).transpose().map(|server| server.map(Arc::new))
        };
        Ok(Self {
            clients: server(TlsUse::Clients, config.has_tls_listener())?,
            api: server(TlsUse::PrivateApi, config.server.api_tls)?,
        })
    }

    /// The channels of `listeners` listeners for clients, which may be inherited sockets: these
    /// speak TLS if every listener of the configuration does.
    pub fn channels(&self, config: &Config, listeners: usize, are_inherited: bool) -> Channels {
        let mut channels = Channels::default();
        let Some(server) = &self.clients else { return channels };
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
}
