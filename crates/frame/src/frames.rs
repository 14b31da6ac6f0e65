//! The streaming reader: takes bytes and returns pieces of frames, however the bytes are cut.
//!
//! Keeps only what spans two reads: a partial header, the position in a payload, a split code
//! point, a partial control frame. Never copies a data payload and never assembles a message:
//! `message` does.

use std::mem;

use crate::assembly::Coming;
use crate::control::{Control, KeptControl};
use crate::header::{Header, Opcode, Parsed};
use crate::partial_header::PartialHeader;
use crate::piece::{Compression, Data, DataKind, Piece, ReadLimits, Role, Step};
use crate::rules::{Open, Terms};
use crate::text::{unmask_short_text, unmask_text};
use crate::{ProtocolError, Utf8, mask};

/// The input's position in a frame.
enum FrameStage {
    /// At a header; earlier reads may have received a part of it.
    Head(PartialHeader),
    /// In the payload of a data frame.
    Payload { remaining: u64, key: [u8; 4], phase: u8, fin: bool, first: bool },
    /// In a control frame that arrives in parts, or just after it.
    Control(Box<KeptControl>),
    /// After a close or a fault.
    Finished,
}

impl FrameStage {
    const HEAD: Self = Self::Head(PartialHeader::EMPTY);

    /// At the first byte of a header.
    #[inline]
    fn is_between_frames(&self) -> bool {
        matches!(self, Self::Head(partial) if partial.is_empty())
    }
}

/// Reads frames from the bytes of one connection.
///
/// Call [`FrameReader::read`] until it returns `None`: the input is then used up.
pub struct FrameReader {
    stage: FrameStage,
    /// Payload bytes that the frames of the open message have declared so far.
    message_bytes: u64,
    utf8: Utf8,
    open: Option<Open>,
    rules: Terms,
}

impl FrameReader {
    /// A reader for an end in this role.
    #[must_use]
    pub const fn new(role: Role, compression: Compression) -> Self {
        Self {
            stage: FrameStage::HEAD,
            message_bytes: 0,
            utf8: Utf8::NEW,
            open: None,
            rules: Terms { role, compression },
        }
    }

    /// Takes the next piece from the front of `input`; `None` if all input is used and more is
    /// needed. After a close or an error it discards all input.
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
    /// The peer's fault; close the connection with its close code.
    pub fn read<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Piece<'s>>, ProtocolError> {
        if let Some(data) = self.read_short(input, limits)? {
            return Ok(Some(data.into()));
        }
        Ok(match self.advance(input, limits)? {
            None => None,
            Some(Step::Data(data)) => Some(data.into()),
            Some(Step::Control(control)) => Some(control.into()),
            Some(Step::Kept) => self.kept_control().map(Piece::from),
        })
    }

    /// Whether no frame or message is incomplete.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_finished() || self.stage.is_between_frames() && self.open.is_none()
    }

    /// Whether a close or a fault has ended the reading.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.stage {
            FrameStage::Finished => true,
            FrameStage::Control(kept) => kept.is_whole() && kept.is_close(),
            FrameStage::Head(_) | FrameStage::Payload { .. } => false,
        }
    }

    /// Bytes of memory held outside this struct.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.stage {
            FrameStage::Control(_) => size_of::<KeptControl>(),
            FrameStage::Head(_) | FrameStage::Payload { .. } | FrameStage::Finished => 0,
        }
    }

    /// What the frame that is being received has declared beyond the bytes that have come.
    pub(crate) fn coming(&self) -> Option<Coming> {
        match (&self.stage, self.open) {
            (&FrameStage::Payload { remaining, .. }, Some(open)) => {
                Some(Coming { bytes: remaining, compressed: open.compressed })
            }
            _ => None,
        }
    }

    /// Discards all later input.
    pub(crate) fn finish(&mut self) {
        self.stage = FrameStage::Finished;
    }

    /// The control frame of the last [`Step::Kept`].
    pub(crate) fn kept_control(&self) -> Option<Control<'_>> {
        match &self.stage {
            FrameStage::Control(kept) => kept.control().ok(),
            _ => None,
        }
    }

    /// The fast path of a server: an uncompressed, masked message of at most 125 bytes, in one
    /// frame that is whole in the input. `None` means undecided: call [`FrameReader::advance`].
    #[inline]
    pub(crate) fn read_short<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Data<'b>>, ProtocolError> {
        let Some(&[first, second, ref key @ ..]) = input.first_chunk::<6>() else {
            return Ok(None);
        };
        let kind = match first {
            0x81 => DataKind::Text,
            0x82 => DataKind::Binary,
            _ => return Ok(None),
        };
        // At most 125 if the frame is masked and short, otherwise a larger number.
        let length = usize::from(second.wrapping_sub(0x80));
        let longest = limits.message_bytes_max.min(limits.frame_bytes_max).min(125);
        let (key, frame_bytes) = (*key, 6 + length);
        if length as u64 > longest
            || frame_bytes > input.len()
            || !self.stage.is_between_frames()
            || self.open.is_some()
            || self.rules.role != Role::Server
        {
            return Ok(None);
        }
        let payload = &mut take(input, frame_bytes)[6..];
        match kind {
            DataKind::Binary => {
                mask::unmask_short(payload, key, 0);
            }
            DataKind::Text => {
                if let Err(fault) = unmask_short_text(payload, key) {
                    self.finish();
                    return Err(fault);
                }
            }
        }
        Ok(Some(Data::whole(kind, false, payload)))
    }

    /// As [`FrameReader::read`], but lends nothing of the reader itself.
    pub(crate) fn advance<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let step = if self.stage.is_between_frames() {
            self.read_frame(input, limits)
        } else {
            self.resume(input, limits)
        };
        if step.is_err() {
            self.finish();
        }
        step
    }

    /// Continues where an earlier input ended.
    fn resume<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        if let FrameStage::Control(kept) = &self.stage
            && kept.is_whole()
        {
            // The previous call has returned it.
            let after = if kept.is_close() { FrameStage::Finished } else { FrameStage::HEAD };
            self.stage = after;
        }
        match self.stage {
            FrameStage::Head(partial) => self.complete_header(partial, input, limits),
            FrameStage::Payload { .. } => self.read_payload(input),
            FrameStage::Control(_) => self.read_control(input),
            FrameStage::Finished => {
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
        match self.rules.parse(input, self.open)? {
            Parsed::Whole { header, bytes } => {
                take(input, bytes);
                self.enter(header, input, limits)
            }
            Parsed::Incomplete => {
                self.stage = FrameStage::Head(PartialHeader::EMPTY.with(input));
                *input = &mut [];
                Ok(None)
            }
        }
    }

    /// Reads a frame whose header began in earlier inputs with `partial`.
    fn complete_header<'b>(
        &mut self,
        partial: PartialHeader,
        input: &mut &'b mut [u8],
        limits: &ReadLimits,
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let header = partial.with(input);
        match self.rules.parse(header.bytes(), self.open)? {
            Parsed::Whole { header, bytes: header_bytes } => {
                take(input, header_bytes - partial.len());
                self.stage = FrameStage::HEAD;
                self.enter(header, input, limits)
            }
            Parsed::Incomplete => {
                self.stage = FrameStage::Head(header);
                *input = &mut [];
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
        let open = Open::by(&header, self.open);
        open.judge_size(&header, self.message_bytes, limits)?;
        let first = self.open.is_none();
        if first && header.fin && header.length <= input.len() as u64 {
            return whole_message(header, open, input);
        }
        self.open = Some(open);
        self.message_bytes += header.length;
        self.stage = FrameStage::Payload {
            remaining: header.length,
            key: header.mask.unwrap_or_default(),
            phase: 0,
            fin: header.fin,
            first,
        };
        self.read_payload(input)
    }

    /// Continues in the payload of a data frame.
    fn read_payload<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let FrameStage::Payload { remaining, key, phase, fin, first } = self.stage else {
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

        let mask = (self.rules.role == Role::Server).then_some(key);
        let phase = unmask_piece(payload, mask, phase.into(), open, &mut self.utf8)?;
        if end_of_message {
            // RFC 6455 §8.1: a text must not end inside a code point.
            if !self.utf8.is_whole() {
                return Err(ProtocolError::InvalidUtf8);
            }
            self.open = None;
            self.message_bytes = 0;
        }
        self.stage = if remaining == 0 {
            FrameStage::HEAD
        } else {
            let phase = phase as u8;
            FrameStage::Payload { remaining, key, phase, fin, first: false }
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

    /// Lends a control frame that is whole in `input`, or starts to keep it.
    fn enter_control<'b>(
        &mut self,
        header: Header,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let length = header.length as usize;
        if length > input.len() {
            let kept = KeptControl::new(header.opcode, header.mask, length as u8);
            self.stage = FrameStage::Control(kept);
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

    /// Continues in a control frame that arrives in parts.
    fn read_control<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Step<'b>>, ProtocolError> {
        let FrameStage::Control(kept) = &mut self.stage else {
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

/// Lends a message that is whole in `input`; the reader's state does not change.
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
    Ok(Some(Step::Data(Data::whole(open.kind, open.compressed, payload))))
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

/// Takes `length` bytes from the front of `input`, which must have them.
#[inline]
fn take<'b>(input: &mut &'b mut [u8], length: usize) -> &'b mut [u8] {
    let (front, rest) = mem::take(input).split_at_mut(length);
    *input = rest;
    front
}
