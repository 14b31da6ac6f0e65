//! The state of a connection between its opening handshake and the end of its stream, in both
//! roles: RFC 6455 §5.5 and §7.
//!
//! It takes each received message and returns what it means for this end, with the control frame
//! that must be sent in answer. Never sees a byte, a socket or a clock, and never allocates.
//! `handshake` is the opening handshake: a [`ProtocolState`] begins after it has succeeded.

use crate::control::Control;
use crate::payload::Payload;
use crate::piece::{DataKind, Role};
use crate::{CloseCode, Message};

/// The progress of the closing handshake: RFC 6455 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// Both ends may send.
    Open,
    /// Our Close is sent and the peer's is awaited. Nothing more is sent.
    Closing,
    /// Both ends have sent a Close.
    Closed,
    /// This end has failed the connection (§7.1.7): nothing more is sent or read.
    Failed,
}

/// The state of one connection. It only says what may be sent: the caller sends it.
///
/// Call order: [`receive`](Self::receive) for each received message, in order. It and
/// [`close`](Self::close), [`fail`](Self::fail) and [`ping`](Self::ping) return the frame that must
/// be sent before any other. Data may be sent while [`is_open`](Self::is_open). End the stream once
/// [`ends_stream`](Self::ends_stream).
///
/// ```
/// use ringway_frame::{CloseCode, Control, Message, ProtocolState, Received, Role};
/// let mut server = ProtocolState::new(Role::Server);
/// let close = Message::Close(Some(CloseCode::GOING_AWAY), "bye");
/// let Received::Close { answer: Some(answer), .. } = server.receive(close) else { panic!() };
/// assert_eq!(answer, Control::Close(Some(CloseCode::GOING_AWAY), ""));
/// assert!(!server.is_open() && server.ends_stream());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProtocolState {
    role: Role,
    ready: ReadyState,
}

/// What a received message means for this end.
#[derive(Debug)]
#[must_use]
pub enum Received<'m> {
    /// A data message to process.
    Data(DataKind, Payload<'m>),
    /// A data message that arrived after our Close was sent. RFC 6455 §5.5.1: this end may still
    /// process it, but cannot answer it.
    Late(DataKind, Payload<'m>),
    /// A Ping, and the Pong that answers it. RFC 6455 §5.5.3: the Pong may be left out if a later
    /// Ping is answered.
    Ping(Control<'m>),
    /// A Pong.
    Pong(&'m [u8]),
    /// The peer's Close.
    Close {
        /// Why the peer closes, or its answer to our own code.
        code: Option<CloseCode>,
        /// The reason text.
        reason: &'m str,
        /// The Close to answer with, unless this end has already sent one.
        answer: Option<Control<'m>>,
    },
    /// Nothing to do: a Ping whose answer nobody would read, or anything after the peer's Close or
    /// a fault.
    Discarded,
}

impl ProtocolState {
    /// The state just after a successful opening handshake.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self { role, ready: ReadyState::Open }
    }

    /// The progress of the closing handshake.
    #[must_use]
    pub const fn ready_state(self) -> ReadyState {
        self.ready
    }

    /// Whether data may be sent. RFC 6455 §5.5.1: not after this end's Close, and not after the
    /// peer's, which is answered at once.
    #[inline]
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self.ready, ReadyState::Open)
    }

    /// Whether this end must end the stream now. After both Close frames the server does so first
    /// (RFC 6455 §7.1.1), after a fault the end that found it (§7.1.7).
    #[must_use]
    pub const fn ends_stream(self) -> bool {
        match self.ready {
            ReadyState::Open | ReadyState::Closing => false,
            ReadyState::Closed => matches!(self.role, Role::Server),
            ReadyState::Failed => true,
        }
    }

    /// Processes a received message.
    #[inline]
    pub fn receive<'m>(&mut self, message: Message<'m>) -> Received<'m> {
        match message {
            Message::Text(payload) if self.is_open() => Received::Data(DataKind::Text, payload),
            Message::Binary(payload) if self.is_open() => Received::Data(DataKind::Binary, payload),
            message => self.receive_other(message),
        }
    }

    /// Processes a control frame, or a message after a Close. Separate, so that a data message is
    /// moved less often.
    #[inline(never)]
    fn receive_other<'m>(&mut self, message: Message<'m>) -> Received<'m> {
        match (message, self.ready) {
            // RFC 6455 §1.4: anything after the peer's Close is discarded.
            (_, ReadyState::Closed | ReadyState::Failed) => Received::Discarded,
            (Message::Text(payload), _) => Received::Late(DataKind::Text, payload),
            (Message::Binary(payload), _) => Received::Late(DataKind::Binary, payload),
            (Message::Ping(payload), ReadyState::Open) => Received::Ping(Control::Pong(payload)),
            // By the same rule the peer would discard the Pong.
            (Message::Ping(_), ReadyState::Closing) => Received::Discarded,
            (Message::Pong(payload), _) => Received::Pong(payload),
            (Message::Close(code, reason), ready) => {
                self.ready = ReadyState::Closed;
                // RFC 6455 §5.5.1: one Close from each end, and the answer repeats the code.
                let answer = (ready == ReadyState::Open).then_some(Control::Close(code, ""));
                Received::Close { code, reason, answer }
            }
        }
    }

    /// Begins the closing handshake. Returns the Close to send; `None` if none may be sent any
    /// more.
    #[must_use = "the Close is to be sent"]
    pub fn close<'r>(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &'r str,
    ) -> Option<Control<'r>> {
        let close = self.is_open().then_some(Control::Close(code.into(), reason))?;
        self.ready = ReadyState::Closing;
        Some(close)
    }

    /// Fails the connection (RFC 6455 §7.1.7): after a fault of the peer with
    /// [`ProtocolError::close_code`], or for a reason of this end's own. Returns the Close to send;
    /// `None` if none may be sent any more.
    ///
    /// [`ProtocolError::close_code`]: crate::ProtocolError::close_code
    #[must_use = "the Close is to be sent"]
    pub fn fail<'r>(&mut self, code: CloseCode, reason: &'r str) -> Option<Control<'r>> {
        let close = self.is_open().then_some(Control::Close(Some(code), reason));
        if self.ready != ReadyState::Closed {
            self.ready = ReadyState::Failed;
        }
        close
    }

    /// Returns a Ping to send (RFC 6455 §5.5.2); `None` if the connection is not open.
    #[must_use]
    pub fn ping(self, payload: &[u8]) -> Option<Control<'_>> {
        self.is_open().then_some(Control::Ping(payload))
    }
}

#[cfg(test)]
mod tests {
    use super::ReadyState::{Closed, Closing, Failed, Open};
    use super::*;

    /// An input, and for each state the output and the next state.
    type Row = (&'static str, fn(&mut ProtocolState) -> String, [(&'static str, ReadyState); 4]);

    const AWAY: CloseCode = CloseCode::GOING_AWAY;

    fn receive(state: &mut ProtocolState, message: Message<'_>) -> String {
        match state.receive(message) {
            Received::Data(kind, payload) => format!("{kind:?} {}", payload.len()),
            Received::Late(kind, payload) => format!("late {kind:?} {}", payload.len()),
            Received::Ping(pong) => format!("answer {pong:?}"),
            Received::Pong(payload) => format!("pong {}", payload.len()),
            Received::Close { code, reason, answer: None } => format!("{code:?} {reason}"),
            Received::Close { code, reason, answer: Some(answer) } => {
                format!("{code:?} {reason}, answer {answer:?}")
            }
            Received::Discarded => "-".to_owned(),
        }
    }

    fn send(frame: Option<Control<'_>>) -> String {
        frame.map_or("-".to_owned(), |frame| format!("send {frame:?}"))
    }

    // RFC 6455 §5.5, §7.1: every input in every state, in both roles.
    #[test]
    fn each_input_in_each_state_has_one_output_and_one_next_state() {
        const CLOSE: &str = "Some(CloseCode(1001)) bye, answer Close(Some(CloseCode(1001)), \"\")";
        const BARE: &str = "None , answer Close(None, \"\")";
        let unchanged = [("-", Closing), ("-", Closed), ("-", Failed)];
        let after = |open: (&'static str, ReadyState), rest: [(&'static str, ReadyState); 3]| {
            [open, rest[0], rest[1], rest[2]]
        };
        let table: [Row; 10] = [
            (
                "text",
                |state| {
                    receive(state, Message::Text(Payload::lent(&mut [b'a'; 3], DataKind::Text)))
                },
                [("Text 3", Open), ("late Text 3", Closing), ("-", Closed), ("-", Failed)],
            ),
            (
                "binary",
                |state| {
                    receive(state, Message::Binary(Payload::lent(&mut [0; 4], DataKind::Binary)))
                },
                [("Binary 4", Open), ("late Binary 4", Closing), ("-", Closed), ("-", Failed)],
            ),
            (
                "ping",
                |state| receive(state, Message::Ping(&[7])),
                after(("answer Pong([7])", Open), unchanged),
            ),
            (
                "pong",
                |state| receive(state, Message::Pong(&[7])),
                [("pong 1", Open), ("pong 1", Closing), ("-", Closed), ("-", Failed)],
            ),
            (
                "close with a code",
                |state| receive(state, Message::Close(Some(AWAY), "bye")),
                [
                    (CLOSE, Closed),
                    ("Some(CloseCode(1001)) bye", Closed),
                    ("-", Closed),
                    ("-", Failed),
                ],
            ),
            (
                "close without a code",
                |state| receive(state, Message::Close(None, "")),
                [(BARE, Closed), ("None ", Closed), ("-", Closed), ("-", Failed)],
            ),
            (
                "own close",
                |state| send(state.close(AWAY, "go")),
                after(("send Close(Some(CloseCode(1001)), \"go\")", Closing), unchanged),
            ),
            (
                "own close without a code",
                |state| send(state.close(None, "")),
                after(("send Close(None, \"\")", Closing), unchanged),
            ),
            (
                "fault",
                |state| send(state.fail(CloseCode::PROTOCOL, "no")),
                [
                    ("send Close(Some(CloseCode(1002)), \"no\")", Failed),
                    ("-", Failed),
                    ("-", Closed),
                    ("-", Failed),
                ],
            ),
            (
                "own ping",
                |state| send(state.ping(&[1])),
                after(("send Ping([1])", Open), unchanged),
            ),
        ];
        for role in [Role::Server, Role::Client] {
            for (input, apply, expected) in &table {
                for (ready, (output, next)) in [Open, Closing, Closed, Failed].iter().zip(expected)
                {
                    let mut state = ProtocolState { role, ready: *ready };
                    let told = apply(&mut state);
                    assert_eq!((&*told, state.ready), (*output, *next), "{input} in {state:?}");
                }
            }
        }
    }

    // RFC 6455 §7.1.1 and §7.1.7.
    #[test]
    fn the_server_ends_a_closed_stream_and_either_end_a_failed_one() {
        for (role, expected) in [
            (Role::Server, [false, false, true, true]),
            (Role::Client, [false, false, false, true]),
        ] {
            let ends = [Open, Closing, Closed, Failed]
                .map(|ready| ProtocolState { role, ready }.ends_stream());
            assert_eq!(ends, expected, "{role:?}");
        }
    }

    // Each idle connection keeps one.
    #[test]
    fn a_state_is_two_bytes() {
        assert_eq!(size_of::<ProtocolState>(), 2);
        assert_eq!(size_of::<Option<ProtocolState>>(), 2);
    }
}
