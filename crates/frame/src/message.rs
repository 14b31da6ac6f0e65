//! Whole messages, on top of `frames`.
//!
//! A message that is whole in the input is lent in place. Any other is assembled in a buffer that
//! grows with the received bytes, never with a declared length, and that is freed with the message:
//! an idle reader holds nothing.

use crate::assembly::{Assembly, reserve};
use crate::control::Control;
use crate::frames::FrameReader;
use crate::inflating::{Allowance, Inflate, InflateStage, Inflating};
use crate::payload::Payload;
use crate::piece::{Compression, Data, DataKind, ReadLimits, Role, Step};
use crate::{CloseCode, ProtocolError};

/// A whole message, or a control frame between two messages or inside one.
#[derive(Debug)]
pub enum Message<'a> {
    /// A text message. Its payload is valid UTF-8.
    Text(Payload<'a>),
    /// A binary message.
    Binary(Payload<'a>),
    /// A ping; answer it with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer's close, with its reason. Nothing after it is read.
    Close(Option<CloseCode>, &'a str),
}

impl<'a> From<Control<'a>> for Message<'a> {
    fn from(control: Control<'a>) -> Self {
        match control {
            Control::Ping(payload) => Self::Ping(payload),
            Control::Pong(payload) => Self::Pong(payload),
            Control::Close(code, reason) => Self::Close(code, reason),
        }
    }
}

/// The result of a call of [`MessageReader::read_within`].
#[derive(Debug)]
pub enum Reading<'a> {
    /// A message; there may be more in the input.
    Message(Message<'a>),
    /// All input is used, and more is needed.
    InputUsed,
    /// The allowance is used up inside a message; later messages wait until it is finished.
    AllowanceUsed,
}

/// Reads the messages of one connection.
///
/// Call [`MessageReader::read`] until it returns `None`: the input is then used up.
pub struct MessageReader {
    frames: FrameReader,
    assembly: Option<Box<Assembly>>,
    inflater: Option<Box<dyn Inflate>>,
}

impl MessageReader {
    /// A reader without compression for an end in this role.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self { frames: FrameReader::new(role, Compression::Off), assembly: None, inflater: None }
    }

    /// A reader that inflates compressed messages with `inflater`.
    #[must_use]
    pub fn with_inflater(role: Role, inflater: Box<dyn Inflate>) -> Self {
        Self {
            frames: FrameReader::new(role, Compression::PerMessage),
            assembly: None,
            inflater: Some(inflater),
        }
    }

    /// Takes the next message from the front of `input`; `None` if all input is used and more is
    /// needed. After a close or an error it discards all input.
    ///
    /// ```
    /// # use ringway_frame::{MessageReader, ReadLimits, Role};
    /// # let (mut bytes, limits) = ([0x81, 2, b'h', b'i'], ReadLimits::default());
    /// let (mut reader, mut input) = (MessageReader::new(Role::Client), &mut bytes[..]);
    /// while let Some(message) = reader.read(&mut input, &limits)? {
    ///     println!("{message:?}");
    /// }
    /// # Ok::<(), ringway_frame::ProtocolError>(())
    /// ```
    ///
    /// # Errors
    /// The peer's fault; close the connection with its close code.
    #[inline]
    pub fn read<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Message<'s>>, ProtocolError> {
        match self.read_within(input, limits, &mut { Allowance::UNBOUNDED })? {
            Reading::Message(message) => Ok(Some(message)),
            Reading::InputUsed | Reading::AllowanceUsed => Ok(None),
        }
    }

    /// As [`MessageReader::read`], but inflates no more than `allowance`. Later calls, which may
    /// have empty input, finish a message that needs more.
    ///
    /// ```
    /// # use ringway_frame::{Allowance, MessageReader, ReadLimits, Reading, Role, Unfinished};
    /// # let (mut bytes, limits) = ([0x81, 2, b'h', b'i'], ReadLimits::default());
    /// let mut reader = MessageReader::new(Role::Client);
    /// let mut allowance = Allowance::of(1 << 18, Unfinished::Kept);
    /// let reading = reader.read_within(&mut &mut bytes[..], &limits, &mut allowance)?;
    /// assert!(matches!(reading, Reading::Message(_)));
    /// # Ok::<(), ringway_frame::ProtocolError>(())
    /// ```
    ///
    /// # Errors
    /// As [`MessageReader::read`].
    #[inline]
    pub fn read_within<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
        allowance: &mut Allowance,
    ) -> Result<Reading<'s>, ProtocolError> {
        if self.assembly.is_none() {
            match self.frames.read_short(input, limits) {
                Ok(Some(data)) => return Ok(Reading::Message(lent(data))),
                Ok(None) => {}
                Err(fault) => return Err(self.fail(fault)),
            }
        }
        self.read_any(input, limits, allowance)
    }

    /// As [`MessageReader::read_within`], off the fast path.
    fn read_any<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
        allowance: &mut Allowance,
    ) -> Result<Reading<'s>, ProtocolError> {
        if self.is_inflating() {
            return self.inflate_on(limits, allowance);
        }
        loop {
            match self.frames.advance(input, limits) {
                Ok(Some(Step::Data(data))) => {
                    if data.first && data.end_of_message {
                        return match data.compressed {
                            false => Ok(Reading::Message(lent(data))),
                            true => self.inflate(&data, limits, allowance),
                        };
                    }
                    allowance.fragments += u32::from(data.remaining == 0 && !data.end_of_message);
                    let assembly = self.assembly.get_or_insert_default();
                    if let Err(fault) = assembly.append(&data, limits) {
                        return Err(self.fail(fault));
                    }
                    if data.end_of_message {
                        let (kind, compressed) = (data.kind, data.compressed);
                        return self.complete(kind, compressed, limits, allowance);
                    }
                }
                Ok(Some(Step::Control(control))) => {
                    self.let_go_if_finished();
                    return Ok(Reading::Message(control.into()));
                }
                Ok(Some(Step::Kept)) => {
                    self.let_go_if_finished();
                    let control = self.frames.kept_control().map(Message::from);
                    return Ok(control.map_or(Reading::InputUsed, Reading::Message));
                }
                Ok(None) => return Ok(Reading::InputUsed),
                Err(fault) => return Err(self.fail(fault)),
            }
        }
    }

    /// The buffer of an unfinished message, with spare capacity that only bytes of the frame that is
    /// being received may fill. Bytes that are appended there need not be copied, and are read by
    /// [`MessageReader::read_placed`]. `None` if there is no such place.
    ///
    /// All input so far must have been read.
    pub fn place(&mut self) -> Option<&mut Vec<u8>> {
        let coming = self.frames.coming()?;
        self.assembly.as_deref_mut()?.place(coming)
    }

    /// As [`MessageReader::read_within`], for the last `length` bytes of [`MessageReader::place`].
    /// All of them are read.
    ///
    /// ```
    /// # use ringway_frame::{Allowance, MessageReader, ReadLimits, Reading, Role};
    /// let (mut bytes, limits) = ([0x82, 4, b'o', b'n'], ReadLimits::default());
    /// let mut reader = MessageReader::new(Role::Client);
    /// assert!(reader.read(&mut &mut bytes[..], &limits)?.is_none());
    /// reader.place().expect("a place").extend_from_slice(b"ly");
    /// let reading = reader.read_placed(2, &limits, &mut { Allowance::UNBOUNDED })?;
    /// assert!(matches!(reading, Reading::Message(_)));
    /// # Ok::<(), ringway_frame::ProtocolError>(())
    /// ```
    ///
    /// # Errors
    /// As [`MessageReader::read`].
    pub fn read_placed(
        &mut self,
        length: usize,
        limits: &ReadLimits,
        allowance: &mut Allowance,
    ) -> Result<Reading<'static>, ProtocolError> {
        let Some(assembly) = self.assembly.as_deref_mut() else { return Ok(Reading::InputUsed) };
        let start = assembly.bytes.len() - length;
        match self.frames.advance(&mut &mut assembly.bytes[start..], limits) {
            Ok(Some(Step::Data(data))) => {
                let (kind, compressed) = (data.kind, data.compressed);
                if data.end_of_message {
                    return self.complete(kind, compressed, limits, allowance);
                }
                allowance.fragments += u32::from(data.remaining == 0);
                Ok(Reading::InputUsed)
            }
            Ok(_) => Ok(Reading::InputUsed),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// Whether the reader is between two messages and keeps nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.assembly.is_none() && self.frames.is_idle()
    }

    /// Whether a message is complete but not fully inflated: reading continues without input.
    #[must_use]
    pub fn is_inflating(&self) -> bool {
        self.assembly.as_ref().is_some_and(|assembly| assembly.inflating.is_some())
    }

    /// Whether a close or a fault has ended the reading.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.frames.is_finished()
    }

    /// Bytes of memory held outside this struct; 0 while it is idle, unless the peer's compression
    /// context is kept between messages.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let assembly = self.assembly.as_ref().map_or(0, |assembly| assembly.held_bytes());
        let inflater = self.inflater.as_ref().map_or(0, |inflater| inflater.held_bytes());
        assembly + inflater + self.frames.held_bytes()
    }

    /// Discards all later input.
    #[cold]
    fn fail(&mut self, fault: ProtocolError) -> ProtocolError {
        self.frames.finish();
        self.let_go_if_finished();
        fault
    }

    /// Frees a message that a close or a fault has cut off, since it can never be finished.
    fn let_go_if_finished(&mut self) {
        if self.frames.is_finished() {
            self.assembly = None;
            self.inflater = None;
        }
    }

    /// Inflates a message that is whole in the input; keeps the part that is not inflated now.
    fn inflate(
        &mut self,
        data: &Data<'_>,
        limits: &ReadLimits,
        allowance: &mut Allowance,
    ) -> Result<Reading<'static>, ProtocolError> {
        let Some(inflater) = &mut self.inflater else {
            unreachable!("RSV1 is refused without an inflater");
        };
        let mut inflating = Inflating::new(data.kind);
        match inflating.advance(data.payload, &mut **inflater, limits, allowance) {
            Err(fault) => Err(self.fail(fault)),
            Ok(InflateStage::Whole) => Ok(Reading::Message(inflated(inflating))),
            Ok(InflateStage::Unfinished) => {
                let rest = &data.payload[inflating.take_read()..];
                let mut bytes = Vec::new();
                if let Err(fault) = reserve(&mut bytes, rest.len()) {
                    return Err(self.fail(fault));
                }
                bytes.extend_from_slice(rest);
                self.assembly = Some(Box::new(Assembly { bytes, inflating: Some(inflating) }));
                Ok(Reading::AllowanceUsed)
            }
        }
    }

    /// All bytes of the message that is being assembled have arrived.
    fn complete(
        &mut self,
        kind: DataKind,
        compressed: bool,
        limits: &ReadLimits,
        allowance: &mut Allowance,
    ) -> Result<Reading<'static>, ProtocolError> {
        if compressed {
            if let Some(assembly) = self.assembly.as_deref_mut() {
                assembly.inflating = Some(Inflating::new(kind));
            }
            return self.inflate_on(limits, allowance);
        }
        let bytes = self.assembly.take().map(|assembly| assembly.bytes).unwrap_or_default();
        Ok(Reading::Message(assembled(bytes, kind)))
    }

    /// Inflates more of a message that has been kept until it was complete.
    fn inflate_on(
        &mut self,
        limits: &ReadLimits,
        allowance: &mut Allowance,
    ) -> Result<Reading<'static>, ProtocolError> {
        let (Some(assembly), Some(inflater)) = (&mut self.assembly, &mut self.inflater) else {
            unreachable!("RSV1 is refused without an inflater");
        };
        let Assembly { bytes, inflating: Some(inflating) } = &mut **assembly else {
            unreachable!("called while a message inflates");
        };
        match inflating.advance(bytes, &mut **inflater, limits, allowance) {
            Err(fault) => Err(self.fail(fault)),
            Ok(InflateStage::Unfinished) => Ok(Reading::AllowanceUsed),
            Ok(InflateStage::Whole) => {
                let inflating = assembly.inflating.take();
                self.assembly = None;
                Ok(inflating.map_or(Reading::AllowanceUsed, |all| Reading::Message(inflated(all))))
            }
        }
    }
}

#[inline]
fn lent(data: Data<'_>) -> Message<'_> {
    message(Payload::lent(data.payload, data.kind), data.kind)
}

/// Makes a message from bytes with headroom.
fn assembled(bytes: Vec<u8>, kind: DataKind) -> Message<'static> {
    message(Payload::assembled(bytes, kind), kind)
}

fn inflated(inflating: Inflating) -> Message<'static> {
    let (kind, bytes) = inflating.finish();
    assembled(bytes, kind)
}

#[inline]
fn message(payload: Payload<'_>, kind: DataKind) -> Message<'_> {
    match kind {
        DataKind::Text => Message::Text(payload),
        DataKind::Binary => Message::Binary(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::HEADER_BYTES_MAX;
    use crate::{Fragment, Opcode, emit_fragment, emit_frame};

    const KEY: Option<[u8; 4]> = Some([9, 8, 7, 6]);

    /// The capacity of the reader's buffer after it has used up `bytes`.
    fn room_after(reader: &mut MessageReader, bytes: &[u8], limits: &ReadLimits) -> usize {
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        while reader.read(&mut input, limits).expect("no fault").is_some() {}
        reader.assembly.as_ref().map_or(0, |assembly| assembly.bytes.capacity())
    }

    // The cost of reading for an idle connection.
    #[test]
    fn an_idle_reader_is_a_few_words() {
        assert!(size_of::<FrameReader>() <= 32, "{}", size_of::<FrameReader>());
        assert!(size_of::<MessageReader>() <= 56, "{}", size_of::<MessageReader>());
    }

    // RFC 6455 §10.4: a header costs the peer 14 bytes, and us no more than a little.
    #[test]
    fn a_declared_length_is_not_trusted() {
        let length = 256 << 20;
        let limits = ReadLimits { frame_bytes_max: length, message_bytes_max: length };
        let mut header = [0; HEADER_BYTES_MAX];
        let declared = crate::Header { mask: KEY, ..crate::Header::new(Opcode::Binary, length) };
        declared.emit(&mut header);
        let mut reader = MessageReader::new(Role::Server);
        assert_eq!(room_after(&mut reader, &header, &limits), 0);
        for came in [10, 1010, 101_010] {
            let room = room_after(&mut reader, &vec![1; came - came / 100], &limits);
            assert!(room <= HEADER_BYTES_MAX + 5 * came, "{room} bytes for {came}");
        }
        assert!(reader.held_bytes() < 600_000);
    }

    // A place holds no more than the received bytes justify, and no byte of a later frame.
    #[test]
    fn a_place_is_bounded_by_what_came_and_by_its_frame() {
        let mut reader = MessageReader::new(Role::Server);
        let limits = ReadLimits::default();
        let mut bytes = Vec::new();
        emit_fragment(&mut bytes, KEY, Fragment::First(Opcode::Binary), &[0; 1000]);
        emit_fragment(&mut bytes, KEY, Fragment::Last, &[0; 400_000]);
        let rooms = [8, 500, 500, 14, 2000, 80_000, 200_000].map(|cut| {
            let mut read: Vec<u8> = bytes.drain(..cut).collect();
            assert!(reader.read(&mut &mut read[..], &limits).unwrap().is_none());
            reader.place().map_or(0, |place| place.capacity() - place.len())
        });
        assert_eq!(rooms, [0, 500, 0, 4000, 2000, 318_000, 118_000]);
    }

    // A large message moves at most twice, before half of it has arrived.
    #[test]
    fn of_a_large_message_only_the_beginning_is_moved() {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, KEY, Opcode::Binary, &[0; 1 << 20]);
        let mut reader = MessageReader::new(Role::Server);
        let mut rooms = vec![0];
        for read in bytes.chunks(32 << 10) {
            rooms.push(room_after(&mut reader, read, &ReadLimits::default()));
        }
        rooms.dedup();
        let [0, first, second, third, 0] = rooms[..] else { panic!("{rooms:?}") };
        assert!(first + second < 1 << 19, "bytes moved: {first} and {second}");
        assert_eq!(third, HEADER_BYTES_MAX + (1 << 20));
    }

    #[test]
    fn a_small_message_in_two_reads_gets_exactly_its_buffer() {
        let mut bytes = Vec::new();
        emit_frame(&mut bytes, KEY, Opcode::Binary, &[0; 5000]);
        let mut reader = MessageReader::new(Role::Server);
        let room = room_after(&mut reader, &bytes[..4096], &ReadLimits::default());
        assert_eq!(room, HEADER_BYTES_MAX + 5000);
        assert_eq!(room_after(&mut reader, &bytes[4096..], &ReadLimits::default()), 0);
        assert!(reader.is_idle());
    }

    // Linear time means few moves of the buffer; bounded memory means a buffer that stays within
    // the limit and is freed with the message.
    #[test]
    fn many_small_fragments_move_the_buffer_a_few_times() {
        let limits = ReadLimits { frame_bytes_max: 60, message_bytes_max: 70_000 * 60 };
        let mut reader = MessageReader::new(Role::Server);
        let (mut bytes, mut rooms) = (Vec::new(), Vec::new());
        for index in 0..70_000 {
            let fragment = match index {
                0 => Fragment::First(Opcode::Binary),
                69_999 => Fragment::Last,
                _ => Fragment::Middle,
            };
            bytes.clear();
            emit_fragment(&mut bytes, KEY, fragment, &[0; 60]);
            rooms.push(room_after(&mut reader, &bytes, &limits));
        }
        assert_eq!(rooms.pop(), Some(0), "freed with the message");
        let largest = *rooms.last().expect("a fragment was kept");
        assert_eq!(largest, HEADER_BYTES_MAX + 70_000 * 60);
        rooms.dedup();
        assert!(rooms.len() <= 24, "the buffer moved {} times", rooms.len());
    }

    #[test]
    fn a_fault_or_a_close_inside_a_message_frees_it() {
        for last in [&[0x83, 0x80][..], &[0x88, 0x80, 0, 0, 0, 0]] {
            let mut bytes = Vec::new();
            emit_fragment(&mut bytes, KEY, Fragment::First(Opcode::Binary), &[0; 60]);
            let mut reader = MessageReader::new(Role::Server);
            assert!(room_after(&mut reader, &bytes, &ReadLimits::default()) > 0);
            let mut last = last.to_vec();
            let _ = reader.read(&mut &mut last[..], &ReadLimits::default());
            assert!(reader.held_bytes() == 0 && reader.is_finished());
        }
    }
}
