//! The streaming reader: bytes in, pieces of frames out, in whatever cuts they come.
//!
//! Keeps only what straddles a read: a partial header, the place in a payload, a split
//! code point, a partial control frame. Never copies a data payload and never assembles
//! a message: that is `message`.

use std::mem;

use crate::control::{Control, KeptControl};
use crate::header::{HEADER_BYTES_MAX, Header, Opcode, Parsed, Rsv, judge_first};
use crate::text::unmask_text;
use crate::{CloseCode, ProtocolError, Utf8, mask};

/// Which end of the connection this is: RFC 6455 §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads masked frames, writes unmasked ones.
    Server,
    /// Reads unmasked frames, writes masked ones.
    Client,
}

/// Whether permessage-deflate was agreed: RFC 7692.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// No reserved bit may be set.
    Off,
    /// RSV1 may be set on the first frame of a data message.
    PerMessage,
}

/// What a data message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

impl From<DataKind> for Opcode {
    fn from(kind: DataKind) -> Self {
        match kind {
            DataKind::Text => Self::Text,
            DataKind::Binary => Self::Binary,
        }
    }
}

/// The most that a peer may send, judged when a header is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Payload bytes of one frame.
    pub frame_bytes_max: u64,
    /// Payload bytes of one message. Of a compressed message it bounds the inflated
    /// bytes, and the bytes on the wire with an allowance for what does not compress.
    pub message_bytes_max: u64,
}

impl ReadLimits {
    /// What a compressed message may have on the wire. Deflate adds at most 5 bytes to a
    /// stored block, and the smallest encoders store blocks of some 127 bytes.
    const fn compressed_bytes_max(&self) -> u64 {
        let max = self.message_bytes_max;
        max.saturating_add(max / 16).saturating_add(64)
    }
}

impl Default for ReadLimits {
    /// One mebibyte for a frame and for a message.
    fn default() -> Self {
        Self { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 }
    }
}

/// What the front of the input held.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Some payload of a data message, unmasked; UTF-8 checked if it is plain text.
    Data {
        /// What the message is.
        kind: DataKind,
        /// Whether the message is compressed: the payload is then raw deflate.
        compressed: bool,
        /// As much of the frame's payload as has come since the piece before.
        payload: &'a mut [u8],
        /// Whether this is the first piece of the message.
        first: bool,
        /// Whether the frame ends here.
        end_of_frame: bool,
        /// Whether the message ends here.
        end_of_message: bool,
    },
    /// A ping, to be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer's close, with its reason. Nothing is read after it.
    Close(Option<CloseCode>, &'a str),
}

impl<'a> From<Control<'a>> for Piece<'a> {
    fn from(control: Control<'a>) -> Self {
        match control {
            Control::Ping(payload) => Self::Ping(payload),
            Control::Pong(payload) => Self::Pong(payload),
            Control::Close(code, reason) => Self::Close(code, reason),
        }
    }
}

/// A piece before it borrows from the reader.
pub(crate) enum Step<'b> {
    Data(Data<'b>),
    Control(Control<'b>),
    /// A control frame is whole in the reader's box.
    Kept,
}

/// A piece of a data message.
pub(crate) struct Data<'b> {
    pub(crate) kind: DataKind,
    pub(crate) compressed: bool,
    pub(crate) payload: &'b mut [u8],
    pub(crate) first: bool,
    /// Payload bytes of the frame that have not come yet.
    pub(crate) remaining: u64,
    pub(crate) end_of_message: bool,
}

/// The data message under way.
#[derive(Clone, Copy)]
struct Open {
    kind: DataKind,
    compressed: bool,
}

/// Where in a frame the input stands.
enum Stage {
    /// At a header, of which `held` bytes came with earlier reads.
    Head { bytes: [u8; HEADER_BYTES_MAX], held: u8 },
    /// In the payload of a data frame.
    Payload { remaining: u64, key: [u8; 4], phase: u8, fin: bool, first: bool },
    /// In a control frame that came in parts, or just past it.
    Control(Box<KeptControl>),
    /// After a close or a fault.
    Finished,
}

impl Stage {
    const HEAD: Self = Self::Head { bytes: [0; HEADER_BYTES_MAX], held: 0 };
}

/// Reads frames from the bytes of one connection.
///
/// Call [`FrameReader::read`] until it answers `None`: the input is then used up.
pub struct FrameReader {
    stage: Stage,
    /// Payload bytes that the frames of the open message have declared so far.
    message_bytes: u64,
    utf8: Utf8,
    open: Option<Open>,
    role: Role,
    compression: Compression,
}

impl FrameReader {
    /// A reader for the end that `role` names.
    #[must_use]
    pub const fn new(role: Role, compression: Compression) -> Self {
        Self {
            stage: Stage::HEAD,
            message_bytes: 0,
            utf8: Utf8::NEW,
            open: None,
            role,
            compression,
        }
    }

    /// Takes the next piece from the front of `input`; `None` when all input is used and
    /// more is needed. After a close or an error it discards all input.
    ///
    /// ```
    /// use ringway_frame::{Compression, FrameReader, Piece, ReadLimits, Role};
    /// let mut reader = FrameReader::new(Role::Client, Compression::Off);
    /// let mut bytes = [0x89, 2, b'h', b'i'];
    /// let piece = reader.read(&mut &mut bytes[..], &ReadLimits::default());
    /// assert_eq!(piece, Ok(Some(Piece::Ping(b"hi"))));
    /// ```
    ///
    /// # Errors
    /// The peer's fault; the connection is to be closed with its code.
    pub fn read<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Piece<'s>>, ProtocolError> {
        Ok(match self.advance(input, limits)? {
            None => None,
            Some(Step::Data(data)) => Some(Piece::Data {
                kind: data.kind,
                compressed: data.compressed,
                payload: data.payload,
                first: data.first,
                end_of_frame: data.remaining == 0,
                end_of_message: data.end_of_message,
            }),
            Some(Step::Control(control)) => Some(control.into()),
            Some(Step::Kept) => self.kept_control().map(Piece::from),
        })
    }

    /// Whether nothing of a frame or of a message is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match self.stage {
            Stage::Head { held, .. } => held == 0 && self.open.is_none(),
            Stage::Finished => true,
            Stage::Payload { .. } | Stage::Control(_) => false,
        }
    }

    /// Whether a close or a fault has ended the reading.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.stage {
            Stage::Finished => true,
            Stage::Control(kept) => kept.is_whole() && kept.is_close(),
            Stage::Head { .. } | Stage::Payload { .. } => false,
        }
    }

    /// Discards all that follows.
    pub(crate) fn finish(&mut self) {
        self.stage = Stage::Finished;
    }

    /// The control frame of the last [`Step::Kept`].
    pub(crate) fn kept_control(&self) -> Option<Control<'_>> {
        match &self.stage {
            Stage::Control(kept) => kept.control().ok(),
            _ => None,
        }
    }

    /// As [`FrameReader::read`], lending nothing of the reader itself.
    #[inline]
    pub(crate) fn advance<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let step = match self.stage {
            Stage::Head { held: 0, .. } => self.read_frame(input, limits),
            _ => self.resume(input, limits),
        };
        if step.is_err() {
            self.finish();
        }
        step
    }

    /// Goes on where an earlier input ended.
    fn resume<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        if let Stage::Control(kept) = &self.stage
            && kept.is_whole()
        {
            // It was handed out by the call before.
            let after = if kept.is_close() { Stage::Finished } else { Stage::HEAD };
            self.stage = after;
        }
        match self.stage {
            Stage::Head { held: 0, .. } => self.read_frame(input, limits),
            Stage::Head { .. } => match self.complete_header(input)? {
                Some(header) => self.enter(header, input, limits),
                None => Ok(None),
            },
            Stage::Payload { .. } => self.read_payload(input),
            Stage::Control(_) => self.read_control(input),
            Stage::Finished => {
                *input = &mut [];
                Ok(None)
            }
        }
    }

    /// Reads a frame whose first byte is at the front of `input`.
    #[inline]
    fn read_frame<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        match self.parse(input)? {
            Parsed::Whole { header, bytes } => {
                take(input, bytes);
                self.enter(header, input, limits)
            }
            Parsed::Incomplete => {
                self.keep_header(&[], input);
                Ok(None)
            }
        }
    }

    /// Parses a header and judges it for this role and state, byte by byte in wire order:
    /// the first fault is the same however the bytes were cut.
    #[inline]
    fn parse(&self, bytes: &[u8]) -> Result<Parsed, ProtocolError> {
        let Some(&first) = bytes.first() else {
            return Ok(Parsed::Incomplete);
        };
        let opcode = judge_first(first)?;
        let rsv = Rsv::of(first);
        let opens = matches!(opcode, Opcode::Text | Opcode::Binary);
        // RFC 6455 §5.2; RFC 7692 §6.1: RSV1 only on the first frame of a data message.
        if rsv != Rsv::NONE
            && !(rsv == Rsv::RSV1 && opens && self.compression == Compression::PerMessage)
        {
            return Err(ProtocolError::ReservedBits);
        }
        // RFC 6455 §5.4: fragments of one message are not mixed with another's.
        if opens && self.open.is_some() {
            return Err(ProtocolError::NestedMessage);
        }
        if opcode == Opcode::Continuation && self.open.is_none() {
            return Err(ProtocolError::LoneContinuation);
        }
        // RFC 6455 §5.1: a client masks every frame, a server none.
        if let Some(&second) = bytes.get(1) {
            match (self.role, second & 0x80 != 0) {
                (Role::Server, false) => return Err(ProtocolError::UnmaskedFrame),
                (Role::Client, true) => return Err(ProtocolError::MaskedFrame),
                _ => {}
            }
        }
        Header::parse(bytes)
    }

    /// Keeps a header that is not whole: what was `held` before and all of `input`.
    fn keep_header(&mut self, held: &[u8], input: &mut &mut [u8]) {
        let fresh = mem::take(input);
        let length = held.len() + fresh.len();
        let mut bytes = [0; HEADER_BYTES_MAX];
        bytes[..held.len()].copy_from_slice(held);
        bytes[held.len()..length].copy_from_slice(fresh);
        self.stage = Stage::Head { bytes, held: length as u8 };
    }

    /// Adds `input` to a header that is held in part.
    fn complete_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        let Stage::Head { mut bytes, held } = self.stage else {
            unreachable!("called at a header");
        };
        let held = usize::from(held);
        let fresh = input.len().min(HEADER_BYTES_MAX - held);
        bytes[held..held + fresh].copy_from_slice(&input[..fresh]);
        match self.parse(&bytes[..held + fresh])? {
            Parsed::Whole { header, bytes } => {
                take(input, bytes - held);
                self.stage = Stage::HEAD;
                Ok(Some(header))
            }
            Parsed::Incomplete => {
                self.keep_header(&bytes[..held], input);
                Ok(None)
            }
        }
    }

    /// Enters the payload of the frame that `header` describes.
    #[inline]
    fn enter<'b>(
        &mut self,
        header: Header,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        if header.opcode.is_control() {
            return self.enter_control(header, input);
        }
        let open = match (self.open, header.opcode) {
            (Some(open), _) => open,
            (None, opcode) => Open {
                kind: match opcode {
                    Opcode::Text => DataKind::Text,
                    _ => DataKind::Binary,
                },
                compressed: header.rsv == Rsv::RSV1,
            },
        };
        self.judge_size(&header, open, limits)?;
        let first = self.open.is_none();
        if first && header.fin && header.length <= input.len() as u64 {
            return whole_message(header, open, input);
        }
        self.open = Some(open);
        self.message_bytes += header.length;
        self.stage = Stage::Payload {
            remaining: header.length,
            key: header.mask.unwrap_or_default(),
            phase: 0,
            fin: header.fin,
            first,
        };
        self.read_payload(input)
    }

    /// RFC 6455 §10.4: a declared length is judged before a byte of it is kept.
    #[inline]
    fn judge_size(
        &self,
        header: &Header,
        open: Open,
        limits: &ReadLimits,
    ) -> Result<(), ProtocolError> {
        let message_bytes_max =
            if open.compressed { limits.compressed_bytes_max() } else { limits.message_bytes_max };
        let message_bytes = self.message_bytes.saturating_add(header.length);
        if header.length > limits.frame_bytes_max || message_bytes > message_bytes_max {
            return Err(ProtocolError::TooBig);
        }
        Ok(())
    }

    /// Reads on in the payload of a data frame.
    fn read_payload<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let Stage::Payload { remaining, key, phase, fin, first } = self.stage else {
            unreachable!("called in a payload");
        };
        let Some(open) = self.open else {
            unreachable!("a payload belongs to an open message");
        };
        if input.is_empty() && remaining > 0 {
            return Ok(None);
        }
        let length = remaining.min(input.len() as u64);
        let payload = take(input, length as usize);
        let remaining = remaining - length;
        let end_of_message = remaining == 0 && fin;

        let mask = (self.role == Role::Server).then_some(key);
        let phase = unmask_piece(payload, mask, phase.into(), open, &mut self.utf8)?;
        if end_of_message {
            // RFC 6455 §8.1: a text does not end inside a code point.
            if !self.utf8.is_whole() {
                return Err(ProtocolError::InvalidUtf8);
            }
            self.open = None;
            self.message_bytes = 0;
        }
        self.stage = if remaining == 0 {
            Stage::HEAD
        } else {
            let phase = phase as u8;
            Stage::Payload { remaining, key, phase, fin, first: false }
        };
        Ok(Some(Step::Data(Data {
            kind: open.kind,
            compressed: open.compressed,
            payload,
            first,
            remaining,
            end_of_message,
        })))
    }

    /// Lends a control frame that is whole in `input`, or begins to keep it.
    fn enter_control<'b>(
        &mut self,
        header: Header,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let length = header.length as usize;
        if length > input.len() {
            let kept = KeptControl::new(header.opcode, header.mask, length as u8);
            self.stage = Stage::Control(kept);
            return self.read_control(input);
        }
        let payload = take(input, length);
        if let Some(key) = header.mask {
            mask::unmask(payload, key, 0);
        }
        let control = Control::parse(header.opcode, payload)?;
        if header.opcode == Opcode::Close {
            self.finish();
        }
        Ok(Some(Step::Control(control)))
    }

    /// Reads on in a control frame that came in parts.
    fn read_control<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let Stage::Control(kept) = &mut self.stage else {
            unreachable!("called in a control frame");
        };
        let taken = kept.fill(input);
        take(input, taken);
        if !kept.is_whole() {
            return Ok(None);
        }
        kept.control()?;
        Ok(Some(Step::Kept))
    }
}

/// Lends a message that is whole in `input`: the reader's state does not change.
#[inline]
fn whole_message<'b>(
    header: Header,
    open: Open,
    input: &mut &'b mut [u8],
) -> Result<Option<Step<'b>>, ProtocolError> {
    let payload = take(input, header.length as usize);
    let mut utf8 = Utf8::NEW;
    unmask_piece(payload, header.mask, 0, open, &mut utf8)?;
    if !utf8.is_whole() {
        return Err(ProtocolError::InvalidUtf8);
    }
    Ok(Some(Step::Data(Data {
        kind: open.kind,
        compressed: open.compressed,
        payload,
        first: true,
        remaining: 0,
        end_of_message: true,
    })))
}

/// Unmasks a piece of a data message, validates it if it is plain text, and returns the
/// new phase.
#[inline]
fn unmask_piece(
    payload: &mut [u8],
    mask: Option<[u8; 4]>,
    phase: usize,
    open: Open,
    utf8: &mut Utf8,
) -> Result<usize, ProtocolError> {
    match (open, mask) {
        (Open { kind: DataKind::Text, compressed: false }, _) => {
            unmask_text(payload, mask, phase, utf8)
        }
        (_, Some(key)) => Ok(mask::unmask(payload, key, phase)),
        (_, None) => Ok(0),
    }
}

/// Takes `length` bytes from the front of `input`, which has them.
#[inline]
fn take<'b>(input: &mut &'b mut [u8], length: usize) -> &'b mut [u8] {
    let (front, rest) = mem::take(input).split_at_mut(length);
    *input = rest;
    front
}
