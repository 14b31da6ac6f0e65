//! A poll: the events since a cursor in one answer, held back until there are some.
//!
//! While it is held it has a session like any other client; what it is sent it reads from the log
//! when it is answered, so that the answer has all events and the cursor after them.

use std::{ops::ControlFlow, time::Duration};

use super::{encoding::Frame, poll::Body};
use crate::{
    desk::Desk,
    feed::Word,
    http::{connection::HttpConnection, cors::Cors, refusal::After},
    metrics::CoreMetrics,
    session::{Missed, Pace, Session},
};

/// A poll that waits for its answer.
pub struct LongPoll {
    /// The client's place in the hub.
    pub session: Session,
    /// Who may read the answer.
    pub cors: Cors,
    /// What becomes of the connection after it.
    pub after: After,
    /// The connection, which goes on after the answer.
    pub http: HttpConnection,
    /// A gap that is known before anything was read.
    pub gap: Option<Box<Missed>>,
}

/// Whether there is something to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There are events, or there is a gap.
    Something,
    /// There is nothing yet.
    Nothing,
}

impl LongPoll {
    /// Reads what there is into `body`, up to about `bytes_max`.
    pub fn read(
        &mut self,
        desk: &Desk,
        now: Duration,
        bytes_max: usize,
        metrics: &CoreMetrics,
        body: &mut Vec<u8>,
    ) -> Found {
        let mut answer = Body::begin(body);
        let mut found = Found::Nothing;
        if let Some(gap) = self.gap.take() {
            write_gap(*gap, &mut answer, body);
            found = Found::Something;
        }
        let epoch = desk.commons.log.epoch();
        while self.session.pace() != Pace::Live {
            let client = self.session.client().clone();
            let mut full = ControlFlow::Continue(());
            let read = self.session.read_on(desk, now, |event| {
                if event.except() != Some(&*client) {
                    answer.item(body, Frame::of(event, epoch).text());
                    metrics.deliveries.add(1);
                    found = Found::Something;
                }
                if answer.bytes(body) > bytes_max {
                    full = ControlFlow::Break(());
                }
                full
            });
            match read {
                Ok(()) => break,
                Err(gap) => {
                    metrics.gaps.add(1);
                    let [from, to] = [gap.from, gap.to].map(|place| desk.commons.cursor(place));
                    write_gap((from, to), &mut answer, body);
                    found = Found::Something;
                }
            }
        }
        answer.end(body, &self.session.cursor(desk).to_string());
        found
    }
}

fn write_gap((from, to): Missed, answer: &mut Body, body: &mut Vec<u8>) {
    let mut text = Vec::new();
    Word::Gap { from, to }.write_json(&mut text);
    answer.item(body, str::from_utf8(&text).expect("it was made from strings"));
}
