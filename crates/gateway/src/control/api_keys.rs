//! The files of the private API's keys while the gateway runs: they are read again when they change,
//! and at SIGHUP.
//!
//! A fault changes nothing and is logged; a key is never.

use std::sync::Arc;

use tokio::sync::Notify;
use tracing::{info, warn};

use crate::{
    auth::ApiKeys,
    control::watched::{INTERVAL, Watched},
};

/// Follows the files until the process ends; `reload` asks for it at once.
pub async fn watch(keys: Arc<ApiKeys>, reload: Arc<Notify>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut watched = Watched::of(keys.files());
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            () = reload.notified() => true,
        };
        if !watched.is_due(keys.files(), is_asked) {
            continue;
        }
        match keys.reload() {
            Ok(changed) if changed.is_empty() => {}
            Ok(changed) => {
                info!(keys = changed.join(", "), "keys of the private API were read again");
            }
            Err(error) => warn!(error = format!("{error:#}"), "the keys of the private API stay"),
        }
    }
}
