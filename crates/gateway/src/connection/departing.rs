//! The end of a connection's session, and whether its socket has taken everything by then.
//!
//! It never ends the connection itself.

use ringway_hub::Name;

use crate::{
    connection::{ClientConnection, Protocol, Turn, log::EndReason, relay::Leaving},
    session::{Session, Settled, core_hub::CoreHub, departures::Departure},
};

impl ClientConnection {
    /// Ends the session, if there is one: no more events are sent.
    pub(super) fn retire(&mut self, settled: Settled, turn: &mut Turn<'_>) {
        self.take_request(turn);
        self.leave_authenticating(turn);
        self.leave_relay(Leaving::Close, turn);
        self.leave_proxy(Leaving::Reset, turn);
        let (hub, metrics) = (&mut *turn.hub, turn.context.metrics);
        let count = match &self.stage {
            Protocol::WebSocket(_) => &metrics.sessions.websocket,
            Protocol::Stream(stream) => stream.writer.format.counter(&metrics.sessions),
            _ => &metrics.sessions.long_poll,
        };
        let is_poll = matches!(self.stage, Protocol::Poll(..));
        let session = match &mut self.stage {
            Protocol::WebSocket(socket) => {
                if socket.shares_deflate() {
                    hub.deflated -= 1;
                }
                socket.retire().map(|session| *session)
            }
            Protocol::Stream(_) | Protocol::Poll(..) => {
                match std::mem::replace(&mut self.stage, Protocol::Lingering) {
                    Protocol::Stream(stream) => Some(*stream.session),
                    Protocol::Poll(poll, _) => Some(*poll.session),
                    _ => None,
                }
            }
            _ => None,
        };
        let Some(session) = session else { return };
        count.subtract(1);
        if !is_poll {
            hub.note_leaving(session.client(), self.connection);
        }
        self.depart(session, settled, turn);
    }

    /// Reports that the gateway ends before the connection does.
    pub fn report_left_behind(&mut self, hub: &mut CoreHub) {
        let (connection, transport) = (self.connection, self.transport.as_str());
        if !matches!(self.stage, Protocol::Poll(..))
            && let Some(session) = self.session_mut()
        {
            hub.note_leaving(session.client(), connection);
        }
        self.note_end(EndReason::GoingAway);
        hub.report_disconnect(connection, transport, self.end_reason.as_str());
    }

    /// Ends a session. If it is not known yet whether the socket has taken the last send, the turn
    /// after the send decides it.
    pub(super) fn depart(&self, session: Session, settled: Settled, turn: &mut Turn<'_>) {
        let client = Name::clone(session.client());
        let (at, departed) = session.leave(self.connection.slot(), settled, turn.hub);
        if let Settled::Unknown { sent_in } = settled {
            let (connection, is_beside) = (self.connection, departed.is_beside);
            let departure = Departure { connection, client, at, is_beside, sent_in };
            turn.hub.departures.note(departure);
        }
    }

    /// Whether the socket is known to have taken everything. A driver reports a backlog in the turn
    /// after the send, in any order among that turn's completions.
    pub(super) fn settled(&self, turn: &Turn<'_>) -> Settled {
        let is_unanswered =
            matches!(&self.stage, Protocol::Poll(poll, _) if poll.collected.is_some());
        if is_unanswered || self.sending.is_backlogged() {
            Settled::No
        } else {
            let sent_in = [turn.context.now, turn.before];
            let sent_in = sent_in.into_iter().find(|turn| self.sending.is_unsettled(*turn));
            sent_in.map_or(Settled::Yes, |sent_in| Settled::Unknown { sent_in })
        }
    }
}
