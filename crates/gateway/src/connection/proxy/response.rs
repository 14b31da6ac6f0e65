//! The way back: the head of a response, its body and its trailers, in the framing that the client
//! understands; and the end of the exchange.

use ringway_http::{
    Asked, Ending, Framing, KeepAlive, Part, ResponseLimits, chunk, head::FIELDS_MAX,
};

use crate::{
    connection::{
        ClientConnection, Protocol, Turn,
        deadlines::Deadline,
        log::EndReason,
        outbox,
        proxy::{Progress, Proxy},
        relay::Leaving,
    },
    edge::response,
    limits::UPSTREAM_HEAD_BYTES_MAX,
    refusal::UpstreamFault,
    upstream::{
        heads::{self, Delimited},
        pool::Outcome,
    },
};

/// A body may have any length: it is passed on as it arrives.
const LIMITS: ResponseLimits = ResponseLimits {
    head_bytes_max: UPSTREAM_HEAD_BYTES_MAX,
    fields_max: FIELDS_MAX,
    body_bytes_max: usize::MAX,
};

/// What is added to a piece of a body, or to a head, on its way to the client.
const ADDED_BYTES_MAX: usize = 256;

/// What follows a part of a response.
enum Next {
    /// Another part.
    Part,
    /// The server is to blame for what it has sent.
    Invalid,
    /// There is no memory for the part.
    OutOfMemory,
    /// The response is complete.
    End(KeepAlive),
}

impl ClientConnection {
    /// Passes on what the server has sent.
    pub(in crate::connection) fn read_response(&mut self, mut input: &[u8], turn: &mut Turn<'_>) {
        loop {
            match self.read_part(&mut input, turn) {
                None => return,
                Some(Next::Part) => {}
                Some(Next::Invalid) => return self.fail_response(turn),
                Some(Next::OutOfMemory) => return self.close_for_memory(turn),
                // Bytes that nobody has asked for: the next response could not be trusted.
                Some(Next::End(_)) if !input.is_empty() => {
                    return self.finish_response(KeepAlive::Close, turn);
                }
                Some(Next::End(keep_alive)) => return self.finish_response(keep_alive, turn),
            }
        }
    }

    /// Passes the next part on; `None`: more bytes are needed.
    fn read_part(&mut self, input: &mut &[u8], turn: &mut Turn<'_>) -> Option<Next> {
        let Protocol::Proxy(proxy) = &mut self.stage else { return None };
        proxy.active = turn.context.now;
        let is_for_head = proxy.proxied.part == response::Part::Head;
        let asked = if is_for_head { Asked::Head } else { Asked::Content };
        let minor = proxy.proxied.minor;
        let mut outbox = outbox!(self, turn);
        let written = match proxy.response.read(input, asked, &LIMITS) {
            Err(_) => return Some(Next::Invalid),
            Ok(None) => return None,
            // RFC 9110 §15.2: a client of HTTP/1.0 does not know them.
            Ok(Some(Part::Interim(_))) if minor == 0 => return Some(Next::Part),
            Ok(Some(Part::Interim(head))) => {
                outbox.try_write(head.bytes.len() + ADDED_BYTES_MAX, |out| {
                    heads::emit_interim(out, &head);
                })
            }
            Ok(Some(Part::Head(head))) => {
                let Ok(delimited) = Delimited::of(&head, is_for_head, minor) else {
                    return Some(Next::Invalid);
                };
                // The end of an unfinished request is not waited for.
                if delimited == Delimited::Close || !matches!(proxy.request, Progress::Whole) {
                    proxy.after = KeepAlive::Close;
                }
                let after = proxy.after;
                proxy.answered = Some(delimited);
                let written = outbox.try_write(head.bytes.len() * 2 + ADDED_BYTES_MAX, |out| {
                    heads::emit_response(out, &head, delimited, after);
                });
                let time = proxy.proxied.route.idle_timeout;
                self.set(Deadline::RelayIdle, time, turn);
                written
            }
            Ok(Some(Part::Body(piece))) => {
                let framing = match proxy.answered {
                    Some(Delimited::Chunks) => Framing::Chunked,
                    _ => Framing::UntilClose,
                };
                outbox.try_write(piece.len() + ADDED_BYTES_MAX, |out| {
                    framing.write(out, |out| out.extend_from_slice(piece));
                })
            }
            Ok(Some(Part::End(keep_alive))) => {
                let trailers = proxy.response.trailers();
                if proxy.answered == Some(Delimited::Chunks) {
                    let written = outbox.try_write(trailers.len() * 2 + ADDED_BYTES_MAX, |out| {
                        out.extend_from_slice(b"0\r\n");
                        heads::emit_trailers(out, trailers);
                    });
                    if written.is_err() {
                        return Some(Next::OutOfMemory);
                    }
                }
                return Some(Next::End(keep_alive));
            }
        };
        Some(if written.is_err() { Next::OutOfMemory } else { Next::Part })
    }

    /// The server has ended its stream, which may complete its response.
    pub(in crate::connection) fn end_response(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        match (proxy.response.end(), proxy.answered) {
            (Ending::Between, None) => self.lose_proxied(turn),
            (Ending::Completes, answered) => {
                if answered == Some(Delimited::Chunks) {
                    outbox!(self, turn).write(chunk::write_last);
                }
                self.finish_response(KeepAlive::Close, turn);
            }
            (Ending::Between | Ending::Cuts, _) => self.fail_response(turn),
        }
    }

    /// The connection to the server broke.
    pub(in crate::connection) fn break_response(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        match (proxy.response.end(), proxy.answered) {
            (Ending::Between, None) => self.lose_proxied(turn),
            _ => self.fail_response(turn),
        }
    }

    /// The response is not valid, or is cut off.
    fn fail_response(&mut self, turn: &mut Turn<'_>) {
        let Protocol::Proxy(proxy) = &mut self.stage else { return };
        proxy.note(Outcome::Invalid, turn);
        if proxy.is_unanswered() {
            return self.refuse_upstream(UpstreamFault::Invalid, turn);
        }
        // RFC 9112 §8: the client must not take it for a whole one.
        self.note_end(EndReason::UpstreamLost);
        self.leave_proxy(Leaving::Reset, turn);
        self.reset(turn);
    }

    /// The response is complete: both connections may be used again.
    fn finish_response(&mut self, keep_alive: KeepAlive, turn: &mut Turn<'_>) {
        let (_, waiting_end) = self.waiting_input();
        let Some(mut proxy) = self.take_proxy() else { return };
        proxy.note(Outcome::Answered, turn);
        self.give_back(&mut proxy, keep_alive, turn);
        match proxy.after {
            KeepAlive::Yes => self.await_request(turn),
            KeepAlive::Close => {
                self.note_end(EndReason::Answered);
                self.finish(turn);
            }
        }
        self.go_on_after_wait(waiting_end, turn);
    }

    fn give_back(&mut self, proxy: &mut Proxy, keep_alive: KeepAlive, turn: &mut Turn<'_>) {
        let is_whole = matches!(proxy.request, Progress::Whole);
        let now = turn.context.now;
        match proxy.end.take_if(|end| is_whole && !end.sending.is_backlogged()) {
            Some(mut end) if keep_alive == KeepAlive::Yes => {
                end.release(turn.operations);
                turn.upstreams.keep_idle(proxy.target, end, turn.operations, now);
                proxy.release(turn);
            }
            end => {
                if end.is_some() {
                    proxy.end = end;
                }
                proxy.leave_server(Leaving::Close, turn);
            }
        }
    }
}
