//! What a visitor hears, held against what its script is owed.
//!
//! It is the model: which answer may come, what the gateway may say on its own account and when,
//! and which end of the stream is a fair one.

use ringway_frame::{CloseCode, emit_close};

use super::{LATENESS, Moment, Visitor};
use crate::{
    answers::Answer,
    manner::{Courtesy, Leaving, Reading},
    script::{Owed, mask},
};

impl Visitor {
    /// Holds one answer against what is owed.
    pub(super) fn hear(&mut self, answer: Answer, moment: Moment) {
        if let Some(farewell) = &self.farewell {
            panic!("{answer:?} after {farewell:?}");
        }
        if let Some(status) = self.turned_away {
            assert_eq!(answer, Answer::Response(status), "there is no room");
            (self.farewell, self.last_heard_at) = (Some(answer), Some(moment.now));
            return;
        }
        let owed = self.script.owed.get(self.heard);
        if owed.is_some_and(|owed| owed.answer == answer && owed.earliest <= self.sent) {
            self.heard += 1;
            if self.script.is_final && self.heard == self.script.owed.len() {
                self.last_heard_at = Some(moment.now);
            }
            return;
        }
        let allowed = match &answer {
            Answer::Ping => {
                let silent = moment.now.saturating_sub(self.connected_at);
                silent >= moment.ping_interval && self.is_open()
            }
            Answer::Close(Some(1001)) => {
                self.is_open()
                    && (moment.draining || (self.is_idle(moment) && !self.answers_pings()))
            }
            // Of a message that began after the connection did, and is not whole yet.
            Answer::Close(Some(1008)) => {
                let is_unfinished = owed.is_some_and(|owed| owed.latest > self.sent);
                let lasts = moment.now.saturating_sub(self.connected_at);
                self.is_open() && is_unfinished && lasts >= moment.message_timeout
            }
            Answer::Response(408) => !self.is_open() && self.is_late(moment),
            _ => false,
        };
        let due = owed.map(|owed| &owed.answer);
        assert!(allowed, "{answer:?} instead of {due:?} at {:?}: {}", moment.now, self.summary());
        match answer {
            Answer::Ping => self.pongs_due += 1,
            farewell => self.leave_after(farewell),
        }
    }

    /// The gateway has said its last word.
    fn leave_after(&mut self, farewell: Answer) {
        let answers = farewell.is_close() && self.manner.courtesy == Courtesy::Polite;
        if answers && !self.has_left && self.is_between_frames() {
            let mut bytes = Vec::new();
            emit_close(&mut bytes, mask(&mut self.rng), CloseCode::GOING_AWAY, "");
            self.client.as_ref().expect("it has come").send(&bytes);
        }
        self.farewell = Some(farewell);
    }

    /// The stream has ended in good order: was it all that was owed?
    pub(super) fn judge_end(&self, moment: Moment) {
        let (must, may) = self.owed_now();
        let heard = self.heard;
        assert!(heard <= may, "{heard} answers to a script that earned {may}");
        if let Some(at) = self.last_heard_at.filter(|_| self.manner.reading == Reading::Freely) {
            let took = moment.now - at;
            assert!(took <= LATENESS, "the FIN took {took:?}: {}", self.summary());
        }
        let was_told_to_leave = self.farewell.is_some();
        let crossed = was_told_to_leave && (moment.draining || self.turned_away.is_some());
        if crossed || self.is_forgiven(moment) {
            return;
        }
        let is_whole = heard >= must;
        assert!(is_whole, "{:?} is missing: {}", self.script.owed[heard].answer, self.summary());
        let is_last = heard == self.script.owed.len() && self.script.is_final;
        // RFC 9112 §9.5: an idle connection may be closed at any time.
        let is_idle_http = !self.is_open() && (moment.draining || self.is_late(moment));
        let has_reason = is_last || was_told_to_leave || self.has_left || is_idle_http;
        assert!(has_reason, "a FIN for no reason: {}", self.summary());
    }

    /// Whether the gateway may have given up on it: it does not read, or was told to leave before
    /// it had a WebSocket.
    fn is_forgiven(&self, moment: Moment) -> bool {
        let is_idle = matches!(self.manner.reading, Reading::Never(_));
        let has_vanished = self.has_left && self.manner.leaving == Leaving::Vanishes;
        is_idle || has_vanished || (moment.draining && !self.is_open())
    }

    /// How many answers the bytes so far must have, and may have.
    pub(super) fn owed_now(&self) -> (usize, usize) {
        let count = |at: fn(&Owed) -> usize| {
            self.script.owed.iter().take_while(|owed| at(owed) <= self.sent).count()
        };
        (count(|owed| owed.latest), count(|owed| owed.earliest))
    }

    /// Whether it has heard the 101.
    pub(super) fn is_open(&self) -> bool {
        self.script.owed[..self.heard].iter().any(|owed| owed.answer == Answer::Upgraded)
    }

    /// Whether it has been silent for so long that the gateway lets it go.
    fn is_idle(&self, moment: Moment) -> bool {
        moment.now >= self.sent_at + moment.silence_max
    }

    /// Whether it reads pings as they come, and can answer them.
    fn answers_pings(&self) -> bool {
        self.manner.reading == Reading::Freely
            && self.is_between_frames()
            && !(self.manner.leaving == Leaving::FallsSilent && self.has_said_all())
    }

    /// Whether its request is overdue.
    fn is_late(&self, moment: Moment) -> bool {
        moment.now >= self.connected_at + moment.handshake_timeout
    }
}
