//! Connections that use HTTP: they are open as soon as they are connected and encrypted, and responses are read.
//!
//! It counts what breaks a connection; the workload judges the status of a response.

use super::{
    connections::Connections,
    workload::{Ended, Workload},
};
use crate::wire::{failure::Reason, handshake::RESPONSE_LIMITS, message::Form};
use ringway_http::{Asked, Ending, KeepAlive, Part, ResponseReader};

impl<W: Workload> Connections<'_, W> {
    /// Called when plain text may be sent.
    pub(super) fn open_for_requests(&mut self, connection: u32) {
        self.responses[connection as usize] = ResponseReader::default();
        self.become_open(connection, Form::Plain);
    }

    pub(super) fn read_responses(&mut self, connection: u32, mut bytes: &[u8]) {
        let Self { responses, workload, table, .. } = self;
        let Some(reader) = responses.get_mut(connection as usize) else { return };
        loop {
            match reader.read(&mut bytes, Asked::Content, &RESPONSE_LIMITS) {
                Ok(Some(part)) => {
                    // Before the workload is called, so that it sends nothing more.
                    if part == Part::End(KeepAlive::Close) {
                        table.leave(connection, Ended::Closed);
                    }
                    workload.response(connection, part, table);
                }
                Ok(None) => break,
                Err(error) => {
                    table.seen.fail(Reason::of_http(error));
                    table.leave(connection, Ended::Lost);
                    break;
                }
            }
        }
    }

    /// Called at the end of the stream of an open connection. A server may end it between two
    /// exchanges (RFC 9112 §9.3), so that is not a failure.
    pub(super) fn end_of_responses(&mut self, connection: u32) {
        match self.responses[connection as usize].end() {
            Ending::Between => self.table.leave(connection, Ended::Closed),
            Ending::Completes => {
                self.table.leave(connection, Ended::Closed);
                self.workload.response(connection, Part::End(KeepAlive::Close), &mut self.table);
            }
            Ending::Cuts => {
                self.table.seen.fail(Reason::named("response_cut"));
                self.table.leave(connection, Ended::Lost);
            }
        }
    }
}
