//! The TLS server of the process, from its configuration.
//!
//! It reads certificates and ticket keys; it never serves a connection.

use std::{sync::Arc, time::SystemTime};

use ringway_tls::{
    TlsError,
    client::{Client, Trust},
    server::Server,
    tickets::Tickets,
};

use crate::{
    config::{Config, Listener, Route, upstream_url::Scheme},
    outbox::channel::{Channels, client_layer, tls_layer},
};

/// The servers of the process; `None` where plain text is spoken.
#[derive(Debug, Clone, Default)]
pub struct TlsServers {
    /// For the listeners that speak TLS.
    pub clients: Option<Arc<Server>>,
    /// For the private API.
    pub api: Option<Arc<Server>>,
}

/// The servers for the listeners and for the private API. They have the same ticket keys; a ticket of
/// one is only good for the other if both ask for the same certificates.
///
/// # Errors
/// A file is missing or wrong.
pub fn servers(config: &Config) -> Result<TlsServers, TlsError> {
    let for_api = config.server.api_speaks_tls;
    if !config.has_tls_listener() && !for_api {
        return Ok(TlsServers::default());
    }
    config.check_tls()?;
    let (lifetime, now) = (config.tls.ticket_lifetime, SystemTime::now());
    let tickets = match config.tls.ticket_key_file.as_str() {
        "" => Tickets::in_memory(lifetime, now)?,
        path => Tickets::in_file(path.into(), lifetime, now)?,
    };
    let server = |settings| Server::new(settings, Arc::clone(&tickets)).map(Arc::new);
    let for_clients = config.has_tls_listener().then(|| config.tls_settings());
    Ok(TlsServers {
        clients: for_clients.map(server).transpose()?,
        api: for_api.then(|| config.api_tls_settings()).map(server).transpose()?,
    })
}

impl TlsServers {
    /// The servers that there are.
    pub fn all(&self) -> Vec<Arc<Server>> {
        self.clients.iter().chain(&self.api).map(Arc::clone).collect()
    }
}

/// Adds the layers of connections to servers that speak TLS.
///
/// # Errors
/// A file of authorities is missing or wrong.
pub fn add_servers(channels: &mut Channels, routes: &[Route]) -> Result<(), TlsError> {
    for route in routes {
        let trust = match &route.upstream_ca_file {
            Some(path) => Trust::File(path.into()),
            None => Trust::System,
        };
        for url in route.upstream.iter().filter(|url| url.scheme == Scheme::Tls) {
            let client = Client::new(&url.address.ip().to_string(), &trust)?;
            let key = (url.address, route.upstream_ca_file.clone());
            channels.set_server(key, client_layer(client));
        }
    }
    Ok(())
}

/// How connections begin on listeners with these settings.
pub fn channels(server: Option<&Arc<Server>>, listeners: &[Listener]) -> Channels {
    let mut channels = Channels::default();
    for (number, listener) in (0..).zip(listeners) {
        if listener.proxy_protocol {
            channels.expect_proxy_header(number);
        }
        if let (true, Some(server)) = (listener.speaks_tls, server) {
            channels.set(number, tls_layer(Arc::clone(server)));
        }
    }
    channels
}
