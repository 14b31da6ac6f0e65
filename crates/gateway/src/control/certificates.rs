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

/// Follows the files of a server until the process ends; `reload` asks for it at once.
pub async fn watch(server: Arc<Server>, reload: Arc<Notify>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut watched = Watched::of(server.files());
    let (mut tickets, mut expiry): (Option<Instant>, Option<Instant>) = (None, None);
    let is_due = |last: &Option<Instant>, interval| last.is_none_or(|at| at.elapsed() >= interval);
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            () = reload.notified() => true,
        };
        if watched.is_due(server.files(), is_asked) {
            read_again(&server);
            expiry = None;
        }
        if is_due(&tickets, TICKETS_INTERVAL) {
            tickets = Some(Instant::now());
            if let Err(error) = server.tickets().rotate(SystemTime::now()) {
                warn!(%error, "the ticket keys in use stay");
            }
        }
        if is_due(&expiry, EXPIRY_INTERVAL) {
            expiry = Some(Instant::now());
            announce_expiry(&server);
        }
    }
}

fn read_again(server: &Server) {
    match server.reload() {
        Ok(()) => {
            for pair in server.certificates().pairs() {
                info!(
                    names = pair.description().names.join(", "),
                    key = %pair.description().key,
                    not_after = %httpdate::fmt_http_date(pair.description().not_after),
                    "a certificate was read again; it is for connections from now on"
                );
            }
        }
        Err(error) => warn!(%error, "the certificates in use stay"),
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
