//! The files of keys while the gateway runs, those of tokens and those of the private API: they are read
//! again when they change, and at SIGHUP.
//!
//! A fault changes nothing and is logged. A key is never logged.

use std::{env, path::Path, sync::Arc};

use tokio::sync::Notify;
use tracing::{info, warn};

use crate::{
    auth::{
        ApiKeys,
        token::{Tokens, keys::KeySet},
    },
    config::AuthKey,
    control::watched::{INTERVAL, Watched},
};

/// Follows the files of the private API's keys until the process ends; `reload` asks for it at once.
pub async fn watch_api(keys: Arc<ApiKeys>, reload: Arc<Notify>) {
    let read = || match keys.reload() {
        Ok(changed) if changed.is_empty() => {}
        Ok(changed) => {
            info!(keys = changed.join(", "), "keys of the private API were read again");
        }
        Err(error) => warn!(
            error = format!("{error:#}"),
            "the keys of the private API cannot be read again; those in use stay"
        ),
    };
    follow(|| keys.files(), &reload, read).await;
}

/// Follows the files of the keys of tokens. Sessions stay, also those whose key has gone.
pub async fn watch_tokens(tables: Vec<AuthKey>, tokens: Arc<Tokens>, reload: Arc<Notify>) {
    let read = || match KeySet::load(&tables, |name| env::var_os(name)) {
        Ok(keys) => {
            info!(keys = keys.iter().count(), "the keys of tokens were read again");
            tokens.issuers().replace_local(keys);
        }
        Err(error) => warn!(
            error = format!("{error:#}"),
            "the keys of tokens cannot be read again; those in use stay"
        ),
    };
    follow(|| KeySet::files(&tables), &reload, read).await;
}

async fn follow<'p, F: Iterator<Item = &'p Path>>(
    files: impl Fn() -> F,
    reload: &Notify,
    read: impl Fn(),
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut watched = Watched::of(files());
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            () = reload.notified() => true,
        };
        if watched.is_due(files(), is_asked) {
            read();
        }
    }
}
