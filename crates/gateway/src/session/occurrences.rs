//! What a core hands over for applications: that its clients connect, subscribe and leave.
//!
//! Polls are not reported: they have no connection that stays. It never waits, and if no application
//! asks for a kind, that costs a comparison.

use std::collections::HashMap;

use ringway_acceptor::ConnectionId;
use ringway_hub::Name;

use crate::{
    notifications::{Kind, Occurrence},
    session::{Session, core_hub::CoreHub, perform},
};

/// Clients whose session has ended on a connection that is not closed yet: why it ends is known only
/// then. Empty if no application asks for it.
#[derive(Debug, Default)]
pub struct Leaving(HashMap<ConnectionId, Name>);

impl Leaving {
    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl CoreHub {
    /// A client has connected, with its first topics.
    pub fn report_connect(
        &self,
        session: &Session,
        connection: ConnectionId,
        transport: &'static str,
    ) {
        let client = session.client();
        if self.wants(Kind::Connect) {
            let occurrence = self.occurrence(Kind::Connect, client, connection);
            self.report(Occurrence { transport: Some(transport), ..occurrence });
        }
        if self.wants(Kind::Subscribe) {
            for topic in &session.topics {
                let topic = self.subscriptions.topic_name(*topic);
                self.report_subscription(Kind::Subscribe, client, connection, topic);
            }
        }
    }

    /// A subscription of a connection has begun or ended.
    pub fn report_subscription(
        &self,
        kind: Kind,
        client: &Name,
        connection: ConnectionId,
        topic: &str,
    ) {
        if self.wants(kind) {
            let occurrence = self.occurrence(kind, client, connection);
            self.report(Occurrence { topic: Some(topic.into()), ..occurrence });
        }
    }

    /// A session has ended; its connection soon will.
    pub fn note_leaving(&mut self, client: &Name, connection: ConnectionId) {
        if self.wants(Kind::Disconnect) {
            self.leaving.0.insert(connection, Name::clone(client));
        }
    }

    /// A connection has ended for this reason.
    pub fn report_disconnect(
        &mut self,
        connection: ConnectionId,
        transport: &'static str,
        reason: &'static str,
    ) {
        if self.leaving.is_empty() {
            return;
        }
        if let Some(client) = self.leaving.0.remove(&connection) {
            let occurrence = self.occurrence(Kind::Disconnect, &client, connection);
            let (transport, reason) = (Some(transport), Some(reason));
            self.report(Occurrence { transport, reason, ..occurrence });
        }
    }

    /// Whether any application asks for this kind.
    #[inline]
    fn wants(&self, kind: Kind) -> bool {
        self.broker.feed.wants(kind)
    }

    fn occurrence(&self, kind: Kind, client: &Name, connection: ConnectionId) -> Occurrence {
        let (client, connection) = (Name::clone(client), perform::name_of(self.core, connection));
        Occurrence { kind, client, connection, transport: None, reason: None, topic: None }
    }

    fn report(&self, occurrence: Occurrence) {
        self.broker.feed.hand_over(occurrence);
    }
}
