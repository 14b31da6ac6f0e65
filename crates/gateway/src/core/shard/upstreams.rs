//! Completions of the connections to other servers: which client each belongs to.
//!
//! The client's connection decides what they mean.

use std::time::Duration;

use ringway_acceptor::{
    Completion, ConnectFailure, ConnectToken, ConnectionId, Operation, Operations,
};

use crate::core::shard::Shard;

impl Shard {
    /// Serves a completion of a connection to a server; returns any other one.
    #[inline]
    pub(super) fn serve_server<'c>(
        &mut self,
        completion: Completion<'c>,
        now: Duration,
        operations: &mut Operations,
    ) -> Option<Completion<'c>> {
        let (Completion::Received { connection: server, .. }
        | Completion::EndOfStream { connection: server }
        | Completion::Failed { connection: server, .. }
        | Completion::Backlogged { connection: server, .. }
        | Completion::Drained { connection: server }
        | Completion::Closed { connection: server }) = completion
        else {
            return Some(completion);
        };
        let Some(client) = self.core.upstreams.client_of(server) else { return Some(completion) };
        if client == server {
            self.serve_idle(server, &completion, now, operations);
            return None;
        }
        match completion {
            Completion::Received { bytes, .. } => {
                self.with(client, now, operations, |peer, turn| {
                    peer.server_received(server, bytes, turn);
                })
            }
            Completion::EndOfStream { .. } => self.with(client, now, operations, |peer, turn| {
                peer.server_ended(server, turn);
            }),
            Completion::Failed { .. } => self.with(client, now, operations, |peer, turn| {
                peer.server_failed(server, turn);
            }),
            Completion::Backlogged { unsent_bytes, .. } => {
                self.with(client, now, operations, |peer, turn| {
                    peer.server_backlogged(server, unsent_bytes, turn);
                });
            }
            Completion::Drained { .. } => self.with(client, now, operations, |peer, turn| {
                peer.server_drained(server, turn);
            }),
            _ => self.core.upstreams.forget(server),
        }
        None
    }

    /// A connection to a server that no client uses: nothing is expected on it.
    fn serve_idle(
        &mut self,
        server: ConnectionId,
        completion: &Completion<'_>,
        now: Duration,
        operations: &mut Operations,
    ) {
        match completion {
            Completion::Closed { .. } => self.core.upstreams.forget(server),
            _ => {
                self.core.upstreams.close_idle(server, operations, now);
            }
        }
    }

    pub(super) fn server_connected(
        &mut self,
        token: ConnectToken,
        server: ConnectionId,
        now: Duration,
        operations: &mut Operations,
    ) {
        let mut is_awaited = false;
        if let Some(client) = self.core.upstreams.end_attempt(token) {
            self.with(client, now, operations, |peer, turn| {
                is_awaited = peer.server_connected(token, server, turn);
            });
        }
        if !is_awaited {
            operations.push(Operation::Reset(server));
        }
    }

    pub(super) fn server_unconnected(
        &mut self,
        token: ConnectToken,
        failure: ConnectFailure,
        now: Duration,
        operations: &mut Operations,
    ) {
        if let Some(client) = self.core.upstreams.end_attempt(token) {
            self.with(client, now, operations, |peer, turn| {
                peer.server_unconnected(token, failure, turn);
            });
        }
    }
}
