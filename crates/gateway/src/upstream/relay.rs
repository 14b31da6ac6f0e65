//! A relay of two plain connections on one core: each side gets the bytes that the other one sends.
//!
//! A side that does not read pauses the other one, so a relay keeps only the driver's two backlogs.
//! The end of one stream is passed on and the other direction continues. When one connection
//! breaks, the other one is reset. A relay reads no clock: its owner ends a relay that takes too
//! long, with [`Relay::abort`].

use ringway_acceptor::{
    Completion, ConnectFailure, ConnectRequest, ConnectToken, ConnectionId, Operation, Operations,
    SendMark,
};

use crate::limits::RELAY_KEPT_BYTES_MAX;

/// A client's connection and the connection to its upstream.
///
/// Call order: [`Relay::begin`]; then in each turn [`Relay::complete`] for every completion of the
/// relay, and once [`Relay::end_turn`], which returns the next step.
#[derive(Debug)]
pub struct Relay {
    stage: SideState,
    /// The attempt to connect, until it has succeeded or failed.
    attempt: Option<ConnectToken>,
    client: End,
    upstream: End,
    /// The bytes that the client sent before its upstream was connected.
    early: Vec<u8>,
    kept_bytes_max: usize,
}

/// What the owner of a relay must do after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Nothing until the relay has another completion.
    Wait,
    /// Call [`Relay::end_turn`] after the next turn too, and do not sleep in that turn.
    Settle,
    /// Drop the relay: the upstream was not connected. The client belongs to the owner again, and
    /// receives nothing until the owner resumes or closes it.
    Unconnected(ConnectionId, ConnectFailure),
    /// Drop the relay: both connections are closed.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SideState {
    /// The upstream is being connected, and the client is paused.
    Connecting,
    /// Bytes pass in both directions.
    Joined,
    /// The attempt to connect has failed.
    Unconnected(ConnectFailure),
    /// Both connections are being closed; no more bytes are passed on.
    Closing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

/// One side's connection.
#[derive(Debug, Default)]
struct End {
    /// `None`: not connected yet, or closed.
    connection: Option<ConnectionId>,
    mark: SendMark,
    /// Bytes that the driver keeps for this side.
    unsent_bytes: usize,
    sent: Sent,
    stream: Stream,
}

/// Whether the driver may still report a backlog of bytes that were sent to this side.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sent {
    #[default]
    Nothing,
    Bytes,
}

/// Whether this side can still send bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stream {
    #[default]
    Open,
    Ended,
}

impl End {
    fn push(&self, operation: fn(ConnectionId) -> Operation, operations: &mut Operations) {
        if let Some(connection) = self.connection {
            operations.push(operation(connection));
        }
    }
}

impl Relay {
    /// Pauses a client and connects its upstream. Bytes that the client sends meanwhile are passed
    /// on later.
    pub fn begin(
        client: ConnectionId,
        request: ConnectRequest,
        operations: &mut Operations,
    ) -> Self {
        operations.push(Operation::PauseReceive(client));
        operations.connect(request);
        Self {
            stage: SideState::Connecting,
            attempt: Some(request.token),
            client: End { connection: Some(client), ..End::default() },
            upstream: End::default(),
            early: Vec::new(),
            kept_bytes_max: RELAY_KEPT_BYTES_MAX,
        }
    }

    /// Resets both connections if more than this is kept for one of them.
    #[must_use]
    pub fn with_kept_bytes_max(self, kept_bytes_max: usize) -> Self {
        Self { kept_bytes_max, ..self }
    }

    /// Bytes that are kept for both sides, by the relay and by the driver.
    pub fn kept_bytes(&self) -> usize {
        self.early.len() + self.client.unsent_bytes + self.upstream.unsent_bytes
    }

    /// Takes a completion of either connection or of the attempt to connect.
    pub fn complete(&mut self, completion: Completion<'_>, operations: &mut Operations) {
        match completion {
            Completion::Connected { connection, token } if self.attempt == Some(token) => {
                self.join(connection, operations);
            }
            Completion::ConnectFailed { token, failure } if self.attempt == Some(token) => {
                self.attempt = None;
                if self.stage == SideState::Connecting {
                    self.stage = SideState::Unconnected(failure);
                }
            }
            Completion::Closed { connection } => {
                if let Some(side) = self.side(connection) {
                    self.ends(side).0.connection = None;
                }
            }
            _ if self.stage == SideState::Closing => {}
            Completion::Received { connection, bytes } => {
                if let Some(side) = self.side(connection) {
                    self.pass_on(side, bytes, operations);
                }
            }
            Completion::EndOfStream { connection } => {
                if let Some(side) = self.side(connection) {
                    let (from, to) = self.ends(side);
                    from.stream = Stream::Ended;
                    to.push(Operation::Shutdown, operations);
                }
            }
            Completion::Backlogged { connection, unsent_bytes, .. } => {
                if let Some(side) = self.side(connection) {
                    self.hold_back(side, unsent_bytes, operations);
                }
            }
            Completion::Drained { connection } => {
                if let Some(side) = self.side(connection) {
                    let (reader, writer) = self.ends(side);
                    reader.unsent_bytes = 0;
                    writer.push(Operation::ResumeReceive, operations);
                }
            }
            Completion::Failed { connection, .. } => {
                if self.side(connection).is_some() {
                    self.abort(operations);
                }
            }
            Completion::Connected { .. }
            | Completion::ConnectFailed { .. }
            | Completion::Accepted { .. }
            | Completion::Placed { .. }
            | Completion::Progress { .. }
            | Completion::Refused { .. }
            | Completion::Woken => {}
        }
    }

    /// Ends the relay at once: resets both connections, or gives up connecting.
    pub fn abort(&mut self, operations: &mut Operations) {
        if self.stage != SideState::Closing {
            self.close(Operation::Reset, operations);
            if let Some(token) = self.attempt {
                operations.push(Operation::CancelConnect(token));
            }
        }
    }

    /// Ends a turn that had a completion of the relay, or that [`NextStep::Settle`] asked for.
    pub fn end_turn(&mut self, operations: &mut Operations) -> NextStep {
        let client_sent = std::mem::take(&mut self.client.sent);
        let upstream_sent = std::mem::take(&mut self.upstream.sent);
        match self.stage {
            SideState::Connecting => NextStep::Wait,
            SideState::Unconnected(failure) => match self.client.connection {
                Some(client) => NextStep::Unconnected(client, failure),
                None => NextStep::Over,
            },
            SideState::Joined => {
                let has_ended = |end: &End| end.stream == Stream::Ended;
                if !has_ended(&self.client) || !has_ended(&self.upstream) {
                    return NextStep::Wait;
                }
                // Whether the kernel has all of it is known when the next turn is over.
                if (client_sent, upstream_sent) != (Sent::Nothing, Sent::Nothing) {
                    return NextStep::Settle;
                }
                if self.kept_bytes() == 0 {
                    self.close(Operation::Close, operations);
                }
                NextStep::Wait
            }
            SideState::Closing => {
                let is_over = self.client.connection.is_none()
                    && self.upstream.connection.is_none()
                    && self.attempt.is_none();
                if is_over { NextStep::Over } else { NextStep::Wait }
            }
        }
    }

    fn join(&mut self, upstream: ConnectionId, operations: &mut Operations) {
        self.attempt = None;
        self.upstream.connection = Some(upstream);
        if self.stage == SideState::Closing {
            // It was connected in the turn that ends the relay, so the cancel comes too late.
            return self.upstream.push(Operation::Reset, operations);
        }
        self.stage = SideState::Joined;
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            operations.send_owned(upstream, &mut self.upstream.mark, early, 0);
            self.upstream.sent = Sent::Bytes;
        }
        match self.client.stream {
            Stream::Open => self.client.push(Operation::ResumeReceive, operations),
            Stream::Ended => self.upstream.push(Operation::Shutdown, operations),
        }
    }

    fn pass_on(&mut self, from: Side, bytes: &[u8], operations: &mut Operations) {
        let to = self.ends(from).1;
        if let Some(connection) = to.connection {
            operations.send(connection, &mut to.mark, |out| out.extend_from_slice(bytes));
            to.sent = Sent::Bytes;
        } else if self.early.len() + bytes.len() <= self.kept_bytes_max {
            self.early.extend_from_slice(bytes);
        } else {
            self.abort(operations);
        }
    }

    /// `reader` has not taken everything that it was sent: the other side waits until it has.
    fn hold_back(&mut self, reader: Side, unsent_bytes: usize, operations: &mut Operations) {
        let kept_bytes_max = self.kept_bytes_max;
        let (reader, writer) = self.ends(reader);
        reader.unsent_bytes = unsent_bytes;
        if unsent_bytes > kept_bytes_max {
            self.abort(operations);
        } else {
            writer.push(Operation::PauseReceive, operations);
        }
    }

    fn close(&mut self, how: fn(ConnectionId) -> Operation, operations: &mut Operations) {
        self.stage = SideState::Closing;
        self.early = Vec::new();
        self.client.push(how, operations);
        self.upstream.push(how, operations);
    }

    fn side(&self, connection: ConnectionId) -> Option<Side> {
        match Some(connection) {
            name if name == self.client.connection => Some(Side::Client),
            name if name == self.upstream.connection => Some(Side::Upstream),
            _ => None,
        }
    }

    /// The connection at `side`, and the other one.
    fn ends(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::Client => (&mut self.client, &mut self.upstream),
            Side::Upstream => (&mut self.upstream, &mut self.client),
        }
    }
}
