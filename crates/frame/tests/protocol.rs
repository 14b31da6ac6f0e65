//! The protocol state against a naive twin, and the two roles against each other.

mod vocabulary;

use std::collections::VecDeque;

use proptest::prelude::*;
use ringway_frame::{
    CloseCode, Control, DataKind, Message, MessageReader, ProtocolError, ProtocolState, ReadLimits,
    ReadyState, Received, Role,
};
use vocabulary::*;

/// An input to one end of a connection.
#[derive(Clone, Debug)]
enum Input {
    /// A message was read.
    Read(Event),
    /// The application closes.
    Close(Option<u16>),
    /// The peer broke the protocol.
    Fail(u16),
    /// The application checks whether the peer is alive.
    Ping,
}

/// The effects of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Output {
    /// A message is given to the application.
    served: Option<Event>,
    /// A message is given to the application after this end's Close.
    late: Option<Event>,
    /// A control frame is sent.
    sent: Option<Event>,
}

fn code(code: Option<u16>) -> Option<CloseCode> {
    code.and_then(CloseCode::new)
}

fn event(control: Control<'_>) -> Event {
    match control {
        Control::Ping(payload) => Event::Ping(payload.to_vec()),
        Control::Pong(payload) => Event::Pong(payload.to_vec()),
        Control::Close(code, reason) => Event::Close(code.map(u16::from), reason.to_owned()),
    }
}

/// The same rules, derived each time from everything that this end has sent and read.
///
/// Written from the text of RFC 6455; shares nothing with the state machine.
struct Twin {
    role: Role,
    sent: Vec<Event>,
    read: Vec<Event>,
    has_failed: bool,
}

impl Twin {
    fn has_close(events: &[Event]) -> bool {
        events.iter().any(|event| matches!(event, Event::Close(..)))
    }

    /// §5.5.1: no data after this end's Close; §1.4: nothing after the peer's Close but the answer.
    fn may_send(&self) -> bool {
        !Self::has_close(&self.sent) && !Self::has_close(&self.read) && !self.has_failed
    }

    /// §1.4: anything after a Close is discarded, and an end that has failed stops reading. By the
    /// same rule a Pong after this end's Close would be discarded.
    fn may_read(&self, event: &Event) -> bool {
        let is_vain = matches!(event, Event::Ping(_)) && Self::has_close(&self.sent);
        !Self::has_close(&self.read) && !self.has_failed && !is_vain
    }

    fn send(&mut self, event: Event) -> Option<Event> {
        self.sent.push(event.clone());
        Some(event)
    }

    fn take(&mut self, input: Input) -> Output {
        let mut output = Output::default();
        match input {
            Input::Read(event) if !self.may_read(&event) => {}
            Input::Read(event) => {
                output.sent = match &event {
                    // §5.5.3: a Pong repeats the payload of its Ping.
                    Event::Ping(payload) => self.send(Event::Pong(payload.clone())),
                    // §5.5.1: "If an endpoint receives a Close frame and did not previously send
                    // a Close frame, the endpoint MUST send a Close frame in response", and
                    // "typically echos the status code it received".
                    Event::Close(code, _) if !Self::has_close(&self.sent) => {
                        self.send(Event::Close(*code, String::new()))
                    }
                    _ => None,
                };
                self.read.push(event.clone());
                // §5.5.1: "there is no guarantee that the endpoint that has already sent a Close
                // frame will continue to process data".
                let is_data = matches!(event, Event::Text(_) | Event::Binary(_));
                match event {
                    Event::Ping(_) => {}
                    event if is_data && Self::has_close(&self.sent) => output.late = Some(event),
                    event => output.served = Some(event),
                }
            }
            Input::Close(code) if self.may_send() => {
                output.sent = self.send(Event::Close(code, "r".to_owned()));
            }
            // §7.1.7: "An endpoint MUST NOT continue to attempt to process data", and it sends a
            // Close first if the connection is established.
            Input::Fail(code) => {
                if self.may_send() {
                    output.sent = self.send(Event::Close(Some(code), "r".to_owned()));
                }
                self.has_failed |= !self.is_clean();
            }
            Input::Ping if self.may_send() => output.sent = self.send(Event::Ping(vec![1, 2])),
            Input::Close(_) | Input::Ping => {}
        }
        output
    }

    /// §7.1.4: both Close frames were exchanged, and no failure came first.
    fn is_clean(&self) -> bool {
        Self::has_close(&self.sent) && Self::has_close(&self.read) && !self.has_failed
    }

    /// §7.1.1: "The underlying TCP connection, in most normal cases, SHOULD be closed first by the
    /// server"; §7.1.7: after a failure each end closes.
    fn ends_stream(&self) -> bool {
        self.has_failed || (self.is_clean() && self.role == Role::Server)
    }

    fn ready_state(&self) -> ReadyState {
        match (self.has_failed, Self::has_close(&self.sent), Self::has_close(&self.read)) {
            (true, ..) => ReadyState::Failed,
            (false, true, true) => ReadyState::Closed,
            (false, true, false) => ReadyState::Closing,
            (false, false, false) => ReadyState::Open,
            (false, false, true) => panic!("a Close is answered at once"),
        }
    }
}

/// Passes an input to the state machine. Messages go through a reader, because only a reader can
/// make them.
fn take(state: &mut ProtocolState, role: Role, input: &Input) -> Output {
    let sent = |frame: Option<Control<'_>>| Output { sent: frame.map(event), ..Output::default() };
    match input {
        Input::Close(of) => sent(state.close(code(*of), "r")),
        Input::Fail(of) => sent(state.fail(code(Some(*of)).unwrap(), "r")),
        Input::Ping => sent(state.ping(&[1, 2])),
        Input::Read(message) => {
            let mut bytes = written(message, role).bytes();
            let mut reader = MessageReader::new(role);
            let message = reader.read(&mut &mut bytes[..], &limits());
            receive(state, message.expect("no fault").expect("a message"))
        }
    }
}

fn receive(state: &mut ProtocolState, message: Message<'_>) -> Output {
    let mut output = Output::default();
    match state.receive(message) {
        Received::Data(kind, payload) => output.served = Some(data(kind, &payload)),
        Received::Late(kind, payload) => output.late = Some(data(kind, &payload)),
        Received::Ping(pong) => output.sent = Some(event(pong)),
        Received::Pong(payload) => output.served = Some(Event::Pong(payload.to_vec())),
        Received::Close { code, reason, answer } => {
            output.served = Some(event(Control::Close(code, reason)));
            output.sent = answer.map(event);
        }
        Received::Discarded => {}
    }
    output
}

fn data(kind: DataKind, payload: &[u8]) -> Event {
    match kind {
        DataKind::Text => text(str::from_utf8(payload).unwrap()),
        DataKind::Binary => Event::Binary(payload.to_vec()),
    }
}

fn limits() -> ReadLimits {
    ReadLimits::default()
}

/// The frame in which an end in this role receives a message.
fn written(event: &Event, reader: Role) -> Frame {
    let frame = match event {
        Event::Text(text) => frame(TEXT, text),
        Event::Binary(bytes) => frame(BINARY, bytes),
        Event::Ping(payload) => frame(PING, payload),
        Event::Pong(payload) => frame(PONG, payload),
        Event::Close(None, _) => frame(CLOSE, []),
        Event::Close(Some(code), reason) => close(*code, reason),
        // RFC 6455 §5.2: a reserved opcode.
        Event::Fault(_) => frame(3, []),
    };
    if reader == Role::Server { frame } else { frame.unmasked() }
}

fn a_code() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![Just(None), Just(Some(1000)), Just(Some(1001)), Just(Some(4321))]
}

fn a_message() -> impl Strategy<Value = Event> {
    let payload = proptest::collection::vec(any::<u8>(), 0..4);
    prop_oneof![
        "[a-z]{0,3}".prop_map(|words| text(&words)),
        payload.clone().prop_map(Event::Binary),
        payload.clone().prop_map(Event::Ping),
        payload.prop_map(Event::Pong),
        a_code().prop_map(|code| Event::Close(code, code.map_or("", |_| "why").to_owned())),
    ]
}

fn an_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => a_message().prop_map(Input::Read),
        1 => a_code().prop_map(Input::Close),
        1 => prop_oneof![Just(1002), Just(1007), Just(1009)].prop_map(Input::Fail),
        1 => Just(Input::Ping),
    ]
}

fn a_role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

proptest! {
    // RFC 6455 §5.5 and §7, for any inputs in any order.
    #[test]
    fn the_state_machine_follows_the_rfc(
        role in a_role(),
        inputs in proptest::collection::vec(an_input(), 0..12),
    ) {
        let mut state = ProtocolState::new(role);
        let mut twin = Twin { role, sent: Vec::new(), read: Vec::new(), has_failed: false };
        for input in inputs {
            let output = take(&mut state, role, &input);
            prop_assert_eq!(&output, &twin.take(input.clone()), "{:?}", input);
            prop_assert_eq!(state.ready_state(), twin.ready_state());
            prop_assert_eq!(state.is_open(), twin.may_send());
            prop_assert_eq!(state.ends_stream(), twin.ends_stream());
        }
    }
}

/// What one end of a whole connection does by itself, in this order.
#[derive(Clone, Debug)]
enum Act {
    Says(Event),
    Pings,
    Closes(Option<u16>),
    /// It sends a frame that the peer refuses.
    Misbehaves,
}

/// One end, with the bytes in flight to it.
struct End {
    role: Role,
    state: ProtocolState,
    reader: MessageReader,
    incoming: VecDeque<u8>,
    /// Whether the peer's FIN follows `incoming`.
    is_ended: bool,
    has_finished: bool,
    /// Whether it was the first to close, as far as it knows.
    has_closed: bool,
    sent: Vec<Event>,
    served: Vec<Event>,
}

impl End {
    fn new(role: Role) -> Self {
        Self {
            role,
            state: ProtocolState::new(role),
            reader: MessageReader::new(role),
            incoming: VecDeque::new(),
            is_ended: false,
            has_finished: false,
            has_closed: false,
            sent: Vec::new(),
            served: Vec::new(),
        }
    }

    fn sends(&mut self, event: Event, peer: &mut Self) {
        assert!(!self.has_finished, "{event:?} after the FIN");
        peer.incoming.extend(written(&event, peer.role).bytes());
        self.sent.push(event);
    }

    fn sends_control(&mut self, frame: Option<Control<'_>>, peer: &mut Self) {
        let Some(frame) = frame else { return };
        assert!(!self.has_finished, "{frame:?} after the FIN");
        let mut bytes = Vec::new();
        frame.emit(&mut bytes, (self.role == Role::Client).then_some([9, 8, 7, 6]));
        peer.incoming.extend(bytes);
        self.sent.push(event(frame));
    }

    fn acts(&mut self, act: &Act, peer: &mut Self) {
        match act {
            Act::Says(event) if self.state.is_open() => self.sends(event.clone(), peer),
            Act::Misbehaves if self.state.is_open() => {
                self.sends(Event::Fault(ProtocolError::ReservedOpcode), peer);
            }
            Act::Says(_) | Act::Misbehaves => {}
            Act::Pings => self.sends_control(self.state.ping(b"?"), peer),
            Act::Closes(of) => {
                let close = self.state.close(code(*of), "");
                self.has_closed |= close.is_some();
                self.sends_control(close, peer);
            }
        }
    }

    /// Reads this many bytes, or the end of the stream.
    fn reads(&mut self, bytes: usize, peer: &mut Self) {
        let count = bytes.min(self.incoming.len());
        let mut bytes: Vec<u8> = self.incoming.drain(..count).collect();
        let (mut input, mut answers) = (&mut bytes[..], Vec::new());
        loop {
            match self.reader.read(&mut input, &limits()) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    let output = receive(&mut self.state, message);
                    self.served.extend(output.served.or(output.late));
                    answers.extend(output.sent);
                }
                Err(fault) => {
                    let close = self.state.fail(fault.close_code(), "");
                    answers.extend(close.map(event));
                }
            }
        }
        for answer in answers {
            self.sends(answer, peer);
        }
        // An end that has read the peer's FIN ends its own side of the TCP stream, too.
        let is_over = self.incoming.is_empty() && self.is_ended;
        if (self.state.ends_stream() || is_over) && !self.has_finished {
            if !is_over && self.state.ready_state() == ReadyState::Closed {
                assert_eq!(self.role, Role::Server, "the server ends a closed stream first");
            }
            self.has_finished = true;
            peer.is_ended = true;
        }
    }

    /// The Close that it has sent: the last frame, and the only Close.
    fn close_sent(&self) -> Option<&Event> {
        let place = self.sent.iter().position(|event| matches!(event, Event::Close(..)))?;
        assert_eq!(place, self.sent.len() - 1, "{:?}", self.sent);
        Some(&self.sent[place])
    }

    fn close_read(&self) -> Option<&Event> {
        self.served.iter().find(|event| matches!(event, Event::Close(..)))
    }

    /// The messages that it has served, and those that the other end's application has sent.
    fn heard(&self, peer: &Self) -> (Vec<Event>, Vec<Event>) {
        let is_data = |event: &&Event| matches!(event, Event::Text(_));
        let data = |events: &[Event]| events.iter().filter(is_data).cloned().collect();
        (data(&self.served), data(&peer.sent))
    }

    /// The Pongs that it has sent, and the Pings that the other end has sent.
    fn answered(&self, peer: &Self) -> (usize, usize) {
        let pongs = self.sent.iter().filter(|event| matches!(event, Event::Pong(_)));
        let pings = peer.sent.iter().filter(|event| matches!(event, Event::Ping(_)));
        (pongs.count(), pings.count())
    }
}

fn an_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => "[a-z]{0,200}".prop_map(|words| Act::Says(text(&words))),
        2 => Just(Act::Pings),
        1 => a_code().prop_map(Act::Closes),
    ]
}

/// Which end has its turn, how many bytes it reads, and whether it then acts.
fn a_turn() -> impl Strategy<Value = (Role, usize, bool)> {
    (a_role(), 0usize..40, any::<bool>())
}

/// Plays the turns, then alternating ones until both ends have finished.
fn play(acts: [Vec<Act>; 2], turns: Vec<(Role, usize, bool)>) -> [End; 2] {
    let (mut server, mut client) = (End::new(Role::Server), End::new(Role::Client));
    let mut acts = acts.map(Vec::into_iter);
    let fair = [(Role::Server, usize::MAX, true), (Role::Client, usize::MAX, true)];
    for (role, bytes, is_acting) in turns.into_iter().chain(fair.into_iter().cycle().take(200)) {
        let (end, peer, acts) = match role {
            Role::Server => (&mut server, &mut client, &mut acts[0]),
            Role::Client => (&mut client, &mut server, &mut acts[1]),
        };
        end.reads(bytes, peer);
        if is_acting && let Some(act) = acts.next() {
            end.acts(&act, peer);
        }
    }
    assert!(server.has_finished && client.has_finished, "one end waits for ever");
    [server, client]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    // RFC 6455 §7.1: however the bytes are cut and the turns are mixed, a close by either end
    // closes both ends with one code.
    #[test]
    fn both_roles_end_in_the_same_state(
        mut acts in proptest::array::uniform2(proptest::collection::vec(an_act(), 0..6)),
        closer in 0usize..2,
        turns in proptest::collection::vec(a_turn(), 0..60),
    ) {
        acts[closer].push(Act::Closes(Some(1000)));
        let [server, client] = play(acts, turns);
        for (end, peer) in [(&server, &client), (&client, &server)] {
            prop_assert_eq!(end.state.ready_state(), ReadyState::Closed);
            // §7.1.5: the code of a connection is that of the received Close.
            prop_assert!(end.close_read().is_some());
            prop_assert_eq!(end.close_read(), peer.close_sent());
            let (heard, said) = end.heard(peer);
            prop_assert_eq!(heard, said);
            if !end.has_closed {
                let (answered, asked) = end.answered(peer);
                prop_assert_eq!(answered, asked);
            }
        }
        if !(server.has_closed && client.has_closed) {
            prop_assert_eq!(server.close_read(), client.close_read());
        }
    }

    // RFC 6455 §7.1.7: the end that finds a fault reports it and ends the connection, and the other
    // end reads the reason.
    #[test]
    fn a_fault_ends_both(
        mut acts in proptest::array::uniform2(proptest::collection::vec(an_act(), 0..6)),
        culprit in 0usize..2,
        turns in proptest::collection::vec(a_turn(), 0..60),
    ) {
        acts[culprit].extend([Act::Misbehaves, Act::Closes(Some(1000))]);
        let mut ends = play(acts, turns);
        ends.rotate_left(culprit);
        let [culprit, finder] = ends;
        prop_assert_ne!(culprit.state.ready_state(), ReadyState::Failed);
        prop_assert!(finder.close_sent().is_some());
        prop_assert_eq!(culprit.close_read(), finder.close_sent());
        if finder.state.ready_state() == ReadyState::Failed && !finder.has_closed {
            prop_assert_eq!(finder.close_sent(), Some(&Event::Close(Some(1002), String::new())));
        }
    }
}
