//! The identity of a session's client: what the client may do, until when, and how both are renewed.

use std::time::Duration;

use ringway_acceptor::ConnectionId;

use crate::{
    auth::{Act, Grants, Identity},
    config::Clients,
    session::{Session, core_hub::CoreHub},
};

impl Session {
    /// What the client may do.
    pub fn grants(&self) -> &Grants {
        self.uncommon.as_ref().map_or(&Grants::BySettings, |uncommon| &uncommon.grants)
    }

    /// When its token expires, as time since 1970; `None`: it has none.
    pub fn expires_at(&self) -> Option<Duration> {
        self.uncommon.as_ref().and_then(|uncommon| uncommon.expires_at)
    }

    /// The JSON for the application in its token.
    pub fn meta(&self) -> Option<&str> {
        self.uncommon.as_ref().and_then(|uncommon| uncommon.meta.as_deref())
    }

    /// Takes over another token of the same client, and ends the subscriptions that it does not
    /// grant.
    pub fn renew(
        &mut self,
        identity: &Identity,
        connection: ConnectionId,
        clients: &Clients,
        hub: &mut CoreHub,
    ) {
        self.change_uncommon(|uncommon| {
            uncommon.grants.clone_from(&identity.grants);
            uncommon.expires_at = identity.expires_at;
            uncommon.meta.clone_from(&identity.meta);
        });
        let granted = identity.grants.names(Act::Subscribe, clients);
        let lost: Vec<Box<str>> = (self.topics.iter())
            .map(|topic| hub.subscriptions.topic_name(*topic))
            .filter(|topic| !granted.allow(topic))
            .filter(|topic| !identity.topics.iter().any(|own| **own == **topic))
            .map(Box::from)
            .collect();
        for topic in lost {
            self.unsubscribe(&topic, connection, hub);
        }
    }
}
