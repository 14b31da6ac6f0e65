//! Properties of the cores, checked after every turn and when all clients have left.
//!
//! It sees each completion before the shard does.

use std::time::Duration;

use ringway::{
    config::settings::Settings,
    edge::limiter::{ConnectionLimiter, ConnectionLimits},
};
use ringway_acceptor::Completion;

use super::{check, check_eq, permits::Permits, silence::Silence};
use crate::core::Core;

const PROPERTY: &str = "a core keeps nothing for connections that are closed";

/// The model of the connections of all cores.
pub struct Audit {
    permits: Permits,
    silence: Silence,
}

impl Audit {
    /// An audit without connections.
    pub fn new(limits: ConnectionLimits, settings: &Settings) -> Self {
        Self { permits: Permits::new(limits), silence: Silence::new(settings) }
    }

    /// Notes a completion for a shard. Returns the status with which an accepted connection must be
    /// rejected. `patience` is that of [`Silence::close`].
    pub fn note(
        &mut self,
        core: usize,
        completion: &Completion<'_>,
        patience: Option<Duration>,
        now: Duration,
    ) -> Option<u16> {
        self.silence.note(core, completion, now);
        match *completion {
            Completion::Accepted { connection, peer, .. } => {
                return self.permits.accept((core, connection), peer.ip());
            }
            Completion::Closed { connection } => {
                self.permits.close((core, connection));
                self.silence.close((core, connection), patience, now);
            }
            _ => {}
        }
        None
    }

    /// Checks a core that has finished a turn.
    pub fn after_turn(&self, number: usize, core: &Core, limiter: &ConnectionLimiter) {
        let clients = core.shard.clients();
        if !core.relays {
            check_eq!(clients, self.silence.connections(number), "clients");
            self.permits.check(limiter);
        }
        if clients == 0 {
            check_eq!(core.metrics.held_bytes.value(), 0, "bytes held without clients");
        }
    }

    /// Checks that no core has a connection.
    pub fn at_last(&self, limiter: &ConnectionLimiter) {
        self.permits.check(limiter);
        check_eq!(limiter.connections(), 0, "permits");
    }

    /// Checks a core when nothing is in flight to it.
    pub fn at_rest(core: &Core) {
        check_eq!(core.driver.leases_taken(), 0, "leases");
    }

    /// Checks a core without connections at the end of a run.
    pub fn at_end(core: &Core, has_drained: bool, now: Duration) {
        Self::at_rest(core);
        check_eq!(core.driver.connections(), 0, "connections of the driver");
        let deadline = core.shard.next_deadline(now).filter(|_| !has_drained);
        check_eq!(deadline, None, "deadlines");
        let hub = core.shard.hub();
        check_eq!(hub.subscriptions.clients(), 0, "clients that may be sent something");
        check_eq!(hub.subscriptions.topics(), 0, "topics with subscribers");
        check_eq!(hub.deflated, 0, "clients that share compression");
        check!(hub.submissions.is_empty(), "commands that wait");
        check!(hub.rates.errors.is_empty() && hub.served.is_faultless(), "errors that count");
        check!(hub.ready.is_empty() && hub.dispatch.is_empty(), "something to do");
        check_eq!(hub.dispatch.bytes(), 0, "bytes to be sent");
        let sessions = &core.metrics.sessions;
        let counts = [
            &sessions.websocket,
            &sessions.sse,
            &sessions.stream,
            &sessions.iframe,
            &sessions.long_poll,
        ];
        check!(counts.iter().all(|count| count.value() == 0), "sessions: {sessions:?}");
        check_eq!(core.metrics.relays.value(), 0, "relays");
    }
}
