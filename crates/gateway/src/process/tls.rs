//! The TLS server of the process, from its configuration.
//!
//! It reads certificates and ticket keys; it never serves a connection.

use std::{sync::Arc, time::SystemTime};

use ringway_tls::{TlsError, server::Server, tickets::Tickets};

use crate::{
    config::{Config, Listener},
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
    config.check_tls()?;
    let (lifetime, now) = (config.tls.ticket_lifetime, SystemTime::now());
    let tickets = match config.tls.ticket_key_file.as_str() {
        "" => Tickets::in_memory(lifetime, now)?,
        path => Tickets::in_file(path.into(), lifetime, now)?,
    };
    Server::new(config.tls_settings(), tickets).map(|server| Some(Arc::new(server)))
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
