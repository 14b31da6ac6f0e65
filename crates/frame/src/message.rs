//! Whole messages on top of `frames`.
//!
//! A message that is whole in the input is lent in place. Any other is assembled in a
//! buffer that grows with what was received, never with what was declared, and that goes
//! away with the message: an idle reader holds nothing.

use crate::control::Control;
use crate::frames::FrameReader;
use crate::header::HEADER_BYTES_MAX;
use crate::inflating::Inflate;
use crate::payload::Payload;
use crate::piece::{Compression, Data, DataKind, ReadLimits, Role, Step};
use crate::{CloseCode, ProtocolError, Utf8};

/// What a buffer may grow by on the word of a header alone.
const TRUSTED_BYTES: usize = 64 * 1024;

/// What a header is trusted with beyond that, as a multiple of what has arrived: a large
/// message is then copied once and not at each doubling. Memory that is reserved but never
/// written is not resident.
const TRUSTED_TIMES: usize = 16;

/// Compressed bytes inflated at a time, so that the text that comes of them is judged
/// while it is still in the cache.
const INFLATE_BYTES: usize = 2 * 1024;

/// A whole message, or a control frame between two messages or inside one.
#[derive(Debug)]
pub enum Message<'a> {
    /// A text message. Its payload is valid UTF-8.
    Text(Payload<'a>),
    /// A binary message.
    Binary(Payload<'a>),
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer's close, with its reason. Nothing is read after it.
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

/// Reads the messages of one connection.
///
/// Call [`MessageReader::read`] until it answers `None`: the input is then used up.
pub struct MessageReader {
    frames: FrameReader,
    assembly: Option<Box<Assembly>>,
    inflater: Option<Box<dyn Inflate>>,
}

/// A message that did not come whole, or that had to be inflated.
struct Assembly {
    /// Invariant: begins with [`HEADER_BYTES_MAX`] bytes of headroom.
    bytes: Vec<u8>,
    /// The validation of inflated text; plain text was validated by `frames`.
    utf8: Utf8,
}

impl MessageReader {
    /// A reader without compression for the end that `role` names.
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

    /// Takes the next message from the front of `input`; `None` when all input is used
    /// and more is needed. After a close or an error it discards all input.
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
    /// The peer's fault; the connection is to be closed with its code.
    #[inline]
    pub fn read<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Message<'s>>, ProtocolError> {
        match self.frames.read_short(input, limits) {
            Ok(Some(data)) => Ok(Some(lent(data))),
            Ok(None) => self.read_any(input, limits),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// As [`MessageReader::read`], off the fast path.
    fn read_any<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Message<'s>>, ProtocolError> {
        loop {
            match self.frames.advance(input, limits) {
                Ok(Some(Step::Data(data))) => {
                    if data.first && data.end_of_message && !data.compressed {
                        return Ok(Some(lent(data)));
                    }
                    let kind = data.kind;
                    if let Some(bytes) = self.assemble(data, limits)? {
                        return Ok(Some(message(Payload::assembled(bytes, kind), kind)));
                    }
                }
                Ok(Some(Step::Control(control))) => {
                    self.let_go_if_finished();
                    return Ok(Some(control.into()));
                }
                Ok(Some(Step::Kept)) => {
                    self.let_go_if_finished();
                    return Ok(self.frames.kept_control().map(Message::from));
                }
                Ok(None) => return Ok(None),
                Err(fault) => return Err(self.fail(fault)),
            }
        }
    }

    /// Whether the reader stands between two messages and keeps nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.assembly.is_none() && self.frames.is_idle()
    }

    /// Whether a close or a fault has ended the reading.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.frames.is_finished()
    }

    /// Discards all that follows.
    #[cold]
    fn fail(&mut self, fault: ProtocolError) -> ProtocolError {
        self.frames.finish();
        self.let_go_if_finished();
        fault
    }

    /// A message that a close or a fault cut off is never finished: its memory goes.
    fn let_go_if_finished(&mut self) {
        if self.frames.is_finished() {
            self.assembly = None;
            self.inflater = None;
        }
    }

    /// Adds a piece; the message, with its headroom, when it is whole.
    fn assemble(
        &mut self,
        data: Data<'_>,
        limits: &ReadLimits,
    ) -> Result<Option<Vec<u8>>, ProtocolError> {
        let end_of_message = data.end_of_message;
        let assembly = self.assembly.get_or_insert_with(Assembly::new);
        let added = match &mut self.inflater {
            Some(inflater) if data.compressed => assembly.inflate(data, &mut **inflater, limits),
            _ => {
                assembly.append(&data, limits);
                Ok(())
            }
        };
        match added {
            Err(fault) => Err(self.fail(fault)),
            Ok(()) if end_of_message => Ok(self.assembly.take().map(|assembly| assembly.bytes)),
            Ok(()) => Ok(None),
        }
    }
}

impl Assembly {
    fn new() -> Box<Self> {
        Box::new(Self { bytes: Vec::new(), utf8: Utf8::NEW })
    }

    /// Appends a plain piece. The buffer at least doubles when it grows, so that many
    /// small fragments cost linear time, and never passes the message limit.
    fn append(&mut self, data: &Data<'_>, limits: &ReadLimits) {
        self.begin();
        let bytes = &mut self.bytes;
        if bytes.capacity() - bytes.len() < data.payload.len() {
            let declared = usize::try_from(data.remaining).unwrap_or(usize::MAX);
            let earned = bytes.len().saturating_mul(TRUSTED_TIMES);
            let trusted = declared.min(earned.max(TRUSTED_BYTES));
            let wanted = bytes.len() + data.payload.len().saturating_add(trusted);
            let doubled = (2 * bytes.len()).min(assembled_bytes_max(limits));
            bytes.reserve_exact(wanted.max(doubled) - bytes.len());
        }
        bytes.extend_from_slice(data.payload);
    }

    /// Appends what a compressed piece inflates to.
    fn inflate(
        &mut self,
        data: Data<'_>,
        inflater: &mut dyn Inflate,
        limits: &ReadLimits,
    ) -> Result<(), ProtocolError> {
        self.begin();
        let bytes_max = assembled_bytes_max(limits);
        let mut rest: &[u8] = data.payload;
        loop {
            let (part, after) = rest.split_at(rest.len().min(INFLATE_BYTES));
            let end = data.end_of_message && after.is_empty();
            let judged = self.bytes.len();
            inflater.inflate(part, end, &mut self.bytes, bytes_max)?;
            // RFC 7692 §6.2, RFC 6455 §8.1: the text is what comes out of the inflater.
            if data.kind == DataKind::Text {
                self.utf8.push(&self.bytes[judged..])?;
            }
            if after.is_empty() {
                break;
            }
            rest = after;
        }
        if data.end_of_message && !self.utf8.is_whole() {
            return Err(ProtocolError::InvalidUtf8);
        }
        Ok(())
    }

    /// Makes the headroom.
    fn begin(&mut self) {
        if self.bytes.is_empty() {
            self.bytes.resize(HEADER_BYTES_MAX, 0);
        }
    }
}

/// What an assembly buffer may hold: the headroom and the largest message.
fn assembled_bytes_max(limits: &ReadLimits) -> usize {
    usize::try_from(limits.message_bytes_max).unwrap_or(usize::MAX).saturating_add(HEADER_BYTES_MAX)
}

#[inline]
fn lent(data: Data<'_>) -> Message<'_> {
    message(Payload::lent(data.payload, data.kind), data.kind)
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
    use crate::{Fragment, Opcode, emit_fragment, emit_frame};

    const KEY: Option<[u8; 4]> = Some([9, 8, 7, 6]);

    /// What the reader's buffer has room for, after it used up `bytes`.
    fn room_after(reader: &mut MessageReader, bytes: &[u8], limits: &ReadLimits) -> usize {
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        while reader.read(&mut input, limits).expect("no fault").is_some() {}
        reader.assembly.as_ref().map_or(0, |assembly| assembly.bytes.capacity())
    }

    // What an idle connection pays for being able to read.
    #[test]
    fn an_idle_reader_is_a_few_words() {
        assert!(size_of::<FrameReader>() <= 32, "{}", size_of::<FrameReader>());
        assert!(size_of::<MessageReader>() <= 56, "{}", size_of::<MessageReader>());
    }

    // RFC 6455 §10.4: a header costs the peer 14 bytes and us no more than a little.
    #[test]
    fn a_declared_length_is_not_trusted() {
        let length = 256 << 20;
        let limits = ReadLimits { frame_bytes_max: length, message_bytes_max: length };
        let mut header = [0; HEADER_BYTES_MAX];
        let declared = crate::Header { mask: KEY, ..crate::Header::new(Opcode::Binary, length) };
        declared.emit(&mut header);
        let mut reader = MessageReader::new(Role::Server);
        assert_eq!(room_after(&mut reader, &header, &limits), 0);
        let room = room_after(&mut reader, &[1; 10], &limits);
        assert_eq!(room, HEADER_BYTES_MAX + 10 + TRUSTED_BYTES);
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

    // Linear time is few moves of the buffer; bounded memory is a buffer that ends at the
    // limit and goes away with the message.
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
        assert_eq!(largest, assembled_bytes_max(&limits));
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
            assert!(reader.assembly.is_none() && reader.is_finished());
        }
    }
}
