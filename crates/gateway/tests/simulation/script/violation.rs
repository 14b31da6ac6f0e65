//! Every way in which a client can violate RFC 6455, and the close code for it.
//!
//! The bytes are made by hand if a correct emitter would refuse to make them.

use fastrand::Rng;
use ringway_frame::{Fragment, Opcode, ReadLimits, emit_fragment, emit_frame};

use super::mask;

/// A violation of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// §5.1
    UnmaskedFrame,
    /// §5.2
    ReservedBits,
    /// §5.2
    ReservedOpcode,
    /// §5.2
    LongForm16,
    /// §5.2
    LongForm64,
    /// §5.2
    LengthTopBit,
    /// §5.4
    LoneContinuation,
    /// §5.4
    NestedMessage,
    /// §5.5
    FragmentedControl,
    /// §5.5
    LongControl,
    /// §5.5.1
    HalfCloseCode,
    /// §7.4
    ForbiddenCloseCode,
    /// §5.5.1, §8.1
    CloseReasonNotUtf8,
    /// §8.1
    TextNotUtf8,
    /// §8.1: a code point cut off by the end of the message.
    TextCutShort,
    /// §10.4
    FrameTooBig,
    /// §10.4
    MessageTooBig,
}

/// All of them.
pub const ALL: [Violation; 17] = [
    Violation::UnmaskedFrame,
    Violation::ReservedBits,
    Violation::ReservedOpcode,
    Violation::LongForm16,
    Violation::LongForm64,
    Violation::LengthTopBit,
    Violation::LoneContinuation,
    Violation::NestedMessage,
    Violation::FragmentedControl,
    Violation::LongControl,
    Violation::HalfCloseCode,
    Violation::ForbiddenCloseCode,
    Violation::CloseReasonNotUtf8,
    Violation::TextNotUtf8,
    Violation::TextCutShort,
    Violation::FrameTooBig,
    Violation::MessageTooBig,
];

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// §8.1: a lone continuation byte, an overlong form, a surrogate, past U+10FFFF, a lead byte
/// without its continuation.
const NOT_UTF8: [&[u8]; 5] =
    [b"a\x80", b"\xC0\xAF", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\xE2\x28"];

impl Violation {
    /// The code of the Close that answers it.
    pub fn close_code(self) -> u16 {
        match self {
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 | Self::TextCutShort => 1007,
            Self::FrameTooBig | Self::MessageTooBig => 1009,
            _ => 1002,
        }
    }

    /// Whether it may follow the first fragment of an unfinished binary message.
    pub fn fits_inside_a_message(self) -> bool {
        !matches!(
            self,
            Self::LoneContinuation
                | Self::NestedMessage
                | Self::TextNotUtf8
                | Self::TextCutShort
                | Self::FrameTooBig
                | Self::MessageTooBig
        )
    }

    /// Appends the bytes; the violation is complete at their end or earlier.
    pub fn write(self, out: &mut Vec<u8>, limits: &ReadLimits, rng: &mut Rng) {
        match self {
            Self::UnmaskedFrame => emit_frame(out, None, Opcode::Ping, b"hello"),
            Self::ReservedBits => {
                let bits = rng.u8(1..8) << 4;
                let opcode = rng.choice([1, 2, 8, 9, 10]).expect("a choice");
                out.extend([FIN | bits | opcode, MASKED, 0, 0, 0, 0]);
            }
            Self::ReservedOpcode => {
                let opcode = rng.choice([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]).expect("a choice");
                out.extend([FIN | opcode, MASKED, 0, 0, 0, 0]);
            }
            Self::LongForm16 => {
                out.extend([2, MASKED | 126, 0, rng.u8(0..126)]);
            }
            Self::LongForm64 => {
                out.extend([2, MASKED | 127, 0, 0, 0, 0, 0, 0, rng.u8(..), rng.u8(..)]);
            }
            Self::LengthTopBit => {
                out.extend([2, MASKED | 127, 0x80 | rng.u8(..), 0, 0, 0, 0, 0, 0, 1]);
            }
            Self::LoneContinuation => {
                let fin = if rng.bool() { FIN } else { 0 };
                out.extend([fin, MASKED, 0, 0, 0, 0]);
            }
            Self::NestedMessage => {
                emit_fragment(out, mask(rng), Fragment::First(Opcode::Text), b"one ");
                emit_frame(out, mask(rng), Opcode::Text, b"another");
            }
            Self::FragmentedControl => {
                out.extend([rng.choice([8, 9, 10]).expect("a choice"), MASKED, 0, 0, 0, 0]);
            }
            Self::LongControl => {
                let opcode = rng.choice([8, 9, 10]).expect("a choice");
                out.extend([FIN | opcode, MASKED | rng.u8(126..128), 0, 126]);
            }
            Self::HalfCloseCode => emit_frame(out, mask(rng), Opcode::Close, &[3]),
            Self::ForbiddenCloseCode => {
                let codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX];
                let code = rng.choice(codes).expect("a choice");
                emit_frame(out, mask(rng), Opcode::Close, &code.to_be_bytes());
            }
            Self::CloseReasonNotUtf8 => {
                let mut payload = 1000u16.to_be_bytes().to_vec();
                payload.extend(rng.choice(NOT_UTF8).expect("a choice"));
                emit_frame(out, mask(rng), Opcode::Close, &payload);
            }
            Self::TextNotUtf8 => {
                let mut payload = vec![b'x'; rng.usize(0..300)];
                payload.extend(rng.choice(NOT_UTF8).expect("a choice"));
                payload.resize(payload.len() + rng.usize(0..300), b'y');
                emit_in_two(out, &payload, rng);
            }
            Self::TextCutShort => {
                let whole = "\u{1F308}".as_bytes();
                emit_in_two(out, &whole[..rng.usize(1..whole.len())], rng);
            }
            Self::FrameTooBig => {
                let length = limits.frame_bytes_max + 1 + rng.u64(..) % (1 << 62);
                out.extend([FIN | 2, MASKED | 127]);
                out.extend(length.to_be_bytes());
                out.extend([1, 2, 3, 4]);
            }
            Self::MessageTooBig => {
                emit_fragment(out, mask(rng), Fragment::First(Opcode::Binary), &[7; 100]);
                let length = limits.message_bytes_max - 99;
                out.extend([0, MASKED | 127]);
                out.extend(length.to_be_bytes());
                out.extend([1, 2, 3, 4]);
            }
        }
    }
}

fn emit_in_two(out: &mut Vec<u8>, payload: &[u8], rng: &mut Rng) {
    if rng.bool() {
        return emit_frame(out, mask(rng), Opcode::Text, payload);
    }
    let (front, rest) = payload.split_at(rng.usize(0..=payload.len()));
    emit_fragment(out, mask(rng), Fragment::First(Opcode::Text), front);
    emit_fragment(out, mask(rng), Fragment::Last, rest);
}
