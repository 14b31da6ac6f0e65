//! Property: a client gets the answers that its script requires, in order, and nothing else.
//!
//! It defines what the gateway may send by itself and when, and when it may end the stream.

use std::time::Duration;

use ringway::config::FastSender;

use super::{
    Owed,
    client::{Moment, ScriptedClient},
};
use crate::{
    behaviour::{Courtesy, Leaving, Reading},
    checkers::{LATENESS, check, check_eq},
    connection::Connection,
    decoder::Said,
    playback::Playback,
    sealing::Outcome,
};

pub(super) const PROPERTY: &str =
    "a client gets the answers that its script is owed, in order, and nothing else";

impl ScriptedClient {
    /// Checks one answer against the required ones.
    pub(super) fn check(&mut self, said: Said, moment: Moment<'_>) {
        let said = match said {
            // The reason is for people.
            Said::Close(code, _) => Said::Close(code, String::new()),
            said => said,
        };
        check!(self.farewell.is_none(), "{said:?} after {:?}", self.farewell);
        if let Some(status) = self.rejected {
            check_eq!(said, Said::Response(status), "a client over the limit");
            (self.farewell, self.last_received_at) = (Some(said), Some(moment.now));
            return;
        }
        let Playback { script, sent, connected_at, .. } = &self.playback;
        let owed = script.owed.get(self.received);
        if owed.is_some_and(|owed| owed.answer == said && owed.earliest <= *sent) {
            self.received += 1;
            if script.is_final && self.received == script.owed.len() {
                self.last_received_at = Some(moment.now);
            }
            return;
        }
        let lasts = moment.now.saturating_sub(*connected_at);
        let allowed = match &said {
            Said::Ping => lasts >= moment.settings.websocket.ping_interval && self.is_open(),
            Said::Close(Some(1001), _) => {
                self.is_open()
                    && (moment.draining || (self.is_idle(moment) && !self.answers_pings()))
            }
            Said::Close(Some(1012), _) => self.is_open() && self.is_old(moment),
            // For a message that began after the connection did, and is not complete yet.
            Said::Close(Some(1008), _) if self.may_be_too_fast(moment) => self.is_open(),
            Said::Response(429) => !self.is_open() && self.may_be_too_fast(moment),
            Said::Close(Some(1008), _) => {
                let is_unfinished = owed.is_some_and(|owed| owed.latest > *sent);
                self.is_open()
                    && is_unfinished
                    && lasts >= moment.settings.websocket.message_timeout
            }
            Said::Response(408) => !self.is_open() && self.is_late(moment),
            _ => false,
        };
        let due = owed.map(|owed| &owed.answer);
        check!(allowed, "{said:?} instead of {due:?} at {:?}: {}", moment.now, self.summary());
        match said {
            Said::Ping => self.pongs_due += 1,
            farewell => self.leave_after(farewell),
        }
    }

    /// Notes the gateway's last message.
    fn leave_after(&mut self, farewell: Said) {
        let Playback { behaviour, has_left, .. } = &self.playback;
        let is_close = matches!(farewell, Said::Close(..));
        let answers = is_close && behaviour.courtesy == Courtesy::Polite && !has_left;
        if answers && self.playback.is_between_frames() {
            let key = self.rng.u32(..).to_ne_bytes();
            let connection = self.playback.connection();
            let answer = connection.answer(key).expect("the gateway has closed");
            connection.send(&answer);
        }
        self.farewell = Some(farewell);
    }

    /// Checks, when the stream has ended normally, that all required answers came.
    pub(super) fn check_end(&self, moment: Moment<'_>) {
        let Playback { script, behaviour, has_left, connection, .. } = &self.playback;
        let ((must, may), received) = (self.owed_now(), self.received);
        check!(received <= may, "{received} answers to a script that earned {may}");
        if let Some(at) = self.last_received_at.filter(|_| behaviour.reading == Reading::Freely) {
            let took = moment.now - at;
            check!(took <= LATENESS, "the FIN took {took:?}: {}", self.summary());
        }
        let was_told_to_leave = self.farewell.is_some();
        let is_asked_to_leave = moment.draining || self.is_old(moment);
        let crossed = was_told_to_leave && (is_asked_to_leave || self.rejected.is_some());
        // What it sent after that was not served.
        let was_too_fast = was_told_to_leave && self.may_be_too_fast(moment);
        // Nothing can be sent after an alert, and the answers to input that waited for a turn, or for
        // a pause to end, come later.
        let has_broken_tls =
            connection.as_ref().and_then(Connection::outcome) == Some(Outcome::Alerted);
        if crossed || was_too_fast || has_broken_tls || self.is_forgiven(moment) {
            return;
        }
        let missing = script.owed.get(received).map(|owed| &owed.answer);
        check!(received >= must, "{missing:?} is missing: {}", self.summary());
        let is_last = missing.is_none() && script.is_final;
        // RFC 9112 §9.5: an idle connection may be closed at any time.
        let is_idle_http = !self.is_open() && (is_asked_to_leave || self.is_late(moment));
        let has_reason = is_last || was_told_to_leave || *has_left || is_idle_http;
        check!(has_reason, "a FIN for no reason: {}", self.summary());
    }

    /// Whether the gateway may have given it up: it does not read, or was told to leave before its
    /// upgrade.
    fn is_forgiven(&self, moment: Moment<'_>) -> bool {
        let Playback { behaviour, has_left, .. } = &self.playback;
        let reads_nothing = matches!(behaviour.reading, Reading::Never(_));
        let has_vanished = *has_left && behaviour.leaving == Leaving::Vanishes;
        let is_asked_to_leave = moment.draining || self.is_old(moment);
        reads_nothing || has_vanished || (is_asked_to_leave && !self.is_open())
    }

    /// Whether its connection is so old that it may be told to leave.
    fn is_old(&self, moment: Moment<'_>) -> bool {
        let age_max = moment.settings.server.max_connection_age;
        age_max > Duration::ZERO && moment.now >= self.playback.connected_at + age_max.mul_f64(0.8)
    }

    /// How many answers the bytes sent so far require, and allow.
    pub(super) fn owed_now(&self) -> (usize, usize) {
        let Playback { script, sent, .. } = &self.playback;
        let count = |at: fn(&Owed) -> usize| {
            script.owed.iter().take_while(|owed| at(owed) <= *sent).count()
        };
        (count(|owed| owed.latest), count(|owed| owed.earliest))
    }

    /// Whether it has sent so much that it may be closed for that.
    fn may_be_too_fast(&self, moment: Moment<'_>) -> bool {
        moment.settings.limits.fast_sender == FastSender::Close && self.exceeds_rates(moment)
    }

    /// Whether it may have sent more than the gateway takes at once.
    fn exceeds_rates(&self, moment: Moment<'_>) -> bool {
        let Playback { script, sent, .. } = &self.playback;
        let limits = &moment.settings.limits;
        let burst = limits.burst_time.as_secs_f64();
        let messages = script.frame_ends.iter().take_while(|end| *end <= sent).count();
        let answers = script.owed.iter().take_while(|owed| owed.earliest <= *sent).count();
        (messages + answers + self.received) as f64
            > burst * f64::from(limits.messages_per_second_max)
            || *sent as f64 > burst * limits.bytes_per_second_max as f64
    }

    /// Whether it has received the 101.
    pub(super) fn is_open(&self) -> bool {
        self.playback.script.owed[..self.received].iter().any(|owed| owed.answer == Said::Open)
    }

    /// Whether it has been silent for so long that the gateway closes it.
    fn is_idle(&self, moment: Moment<'_>) -> bool {
        let websocket = &moment.settings.websocket;
        let silence_max = websocket.ping_interval + websocket.pong_timeout;
        moment.now >= self.playback.sent_at + silence_max
    }

    /// Whether it reads pings as they come, and can answer them.
    fn answers_pings(&self) -> bool {
        self.playback.behaviour.reading == Reading::Freely
            && self.playback.is_between_frames()
            && !self.is_silent()
    }

    /// Whether it sends nothing any more, including pongs.
    pub(super) fn is_silent(&self) -> bool {
        let leaving = self.playback.behaviour.leaving;
        leaving == Leaving::FallsSilent && self.playback.has_said_all()
    }

    /// Whether its request is overdue.
    fn is_late(&self, moment: Moment<'_>) -> bool {
        let limits = &moment.settings.limits;
        let timeout = limits.handshake_timeout.min(limits.keep_alive_timeout);
        moment.now >= self.playback.connected_at + timeout
    }
}
