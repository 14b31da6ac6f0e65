//! Connections that speak HTTP: open as soon as they are connected, and read as responses.
//!
//! It counts what breaks a connection; what a status means is the workload's to say.

use super::{
    fleet::Fleet,
    opener::Secured,
    workload::{Ended, Workload},
};
use crate::wire::{
    failure::Reason,
    message::Form,
    opening::Exchange,
    response::{Ending, Part, Persistence, ResponseError, ResponseReader},
};

/// A thread's readers of responses: one for each link, or none at all.
pub(super) fn readers(exchange: Exchange, links: usize) -> Vec<ResponseReader> {
    let count = if exchange == Exchange::Requests { links } else { 0 };
    std::iter::repeat_with(ResponseReader::default).take(count).collect()
}

impl<W: Workload> Fleet<'_, W> {
    /// A socket is connected: there is no handshake but that of TLS, which is kept up with.
    pub(super) fn open_for_requests(&mut self, link: u32) {
        self.responses[link as usize] = ResponseReader::default();
        if self.opener.secure(link, &mut self.links) == Secured::Yes {
            self.links.flush(link);
            self.become_open(link, Form::Plain);
        }
    }

    pub(super) fn read_responses(&mut self, link: u32, mut bytes: &[u8]) {
        let Self { responses, workload, links, .. } = self;
        let Some(reader) = responses.get_mut(link as usize) else { return };
        loop {
            match reader.read(&mut bytes) {
                Ok(Some(part)) => {
                    // Before the workload hears of it, so that it sends nothing more.
                    if part == Part::End(Persistence::Closes) {
                        links.leave(link, Ended::Closed);
                    }
                    workload.response(link, part, links);
                }
                Ok(None) => break,
                Err(error) => {
                    links.seen.fail(Reason::named(match error {
                        ResponseError::Malformed => "response_not_http",
                        ResponseError::TooLong => "response_too_long",
                    }));
                    links.leave(link, Ended::Lost);
                    break;
                }
            }
        }
    }

    /// The stream of an open connection has ended. Servers may do so between two exchanges
    /// (RFC 9112 §9.3), so that is no failure.
    pub(super) fn end_of_responses(&mut self, link: u32) {
        match self.responses[link as usize].end() {
            Ending::Between => self.links.leave(link, Ended::Closed),
            Ending::Completes => {
                self.links.leave(link, Ended::Closed);
                self.workload.response(link, Part::End(Persistence::Closes), &mut self.links);
            }
            Ending::Cuts => {
                self.links.seen.fail(Reason::named("response_cut"));
                self.links.leave(link, Ended::Lost);
            }
        }
    }
}
