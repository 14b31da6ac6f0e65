//! The files of TLS while the gateway runs: certificates that change are read again, ticket keys are
//! rotated, and a certificate that expires soon is announced.
//!
//! A fault changes nothing and is logged. It never closes a connection.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ringway_tls::server::Server;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::control::watched::{INTERVAL, Watched};

/// How often ticket keys are read and, when they are due, renewed.
const TICKETS_INTERVAL: Duration = Duration::from_secs(10);

/// How long before its end a certificate is announced, and how often.
const EXPIRY_NOTICE: Duration = Duration::from_secs(14 * 86_400);
const EXPIRY_INTERVAL: Duration = Duration::from_secs(86_400);

/// Follows the files of servers until the process ends; `reload` asks for it at once. They have the
/// same certificates and ticket keys, and different authorities for their clients.
pub async fn watch(servers: Vec<Arc<Server>>, reload: Arc<Notify>) {
    let Some(first) = servers.first() else { return };
    let files = || servers.iter().flat_map(|server| server.files());
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut watched = Watched::of(files());
    let (mut tickets, mut expiry): (Option<Instant>, Option<Instant>) = (None, None);
    let is_due = |last: &Option<Instant>, interval| last.is_none_or(|at| at.elapsed() >= interval);
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            () = reload.notified() => true,
        };
        if watched.is_due(files(), is_asked) {
            read_again(&servers);
            expiry = None;
        }
        if is_due(&tickets, TICKETS_INTERVAL) {
            tickets = Some(Instant::now());
            if let Err(error) = first.tickets().rotate(SystemTime::now()) {
                warn!(%error, "the ticket keys in use stay");
            }
        }
        if is_due(&expiry, EXPIRY_INTERVAL) {
            expiry = Some(Instant::now());
            announce_expiry(first);
        }
    }
}

fn read_again(servers: &[Arc<Server>]) {
    for (number, server) in servers.iter().enumerate() {
        match server.reload() {
            // All have the same ones.
            Ok(()) if number > 0 => {}
            Ok(()) => announce(server),
            Err(error) => warn!(%error, "the certificates in use stay"),
        }
    }
}

fn announce(server: &Server) {
    for pair in server.certificates().pairs() {
        info!(
            names = pair.description().names.join(", "),
            key = %pair.description().key,
            not_after = %httpdate::fmt_http_date(pair.description().not_after),
            "a certificate was read again; it is for connections from now on"
        );
    }
}

fn announce_expiry(server: &Server) {
    let now = SystemTime::now();
    for pair in server.certificates().pairs() {
        let (not_after, file) = (pair.description().not_after, pair.files().certificate.display());
        let date = httpdate::fmt_http_date(not_after);
        match not_after.duration_since(now) {
            Err(_) => warn!(%file, not_after = date, "a certificate has expired; renew it"),
            Ok(left) if left < EXPIRY_NOTICE => {
                let days = left.as_secs() / 86_400;
                warn!(%file, not_after = date, days, "a certificate expires soon; renew it");
            }
            Ok(_) => {}
        }
    }
}
