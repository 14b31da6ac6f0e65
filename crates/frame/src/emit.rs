//! Writing frames: the sender's side of RFC 6455 §5.2 to §5.7.
//!
//! Everything is appended to the caller's buffer, or written into its headroom. Never fragments by
//! itself, never compresses, and never draws a masking key: a client passes one from `MaskKeys`, a
//! server passes `None`.

use crate::header::{HEADER_BYTES_MAX, Header, Opcode, Rsv};
use crate::{CloseCode, mask};

/// RFC 6455 §5.5: control frames carry at most 125 bytes.
pub const CONTROL_BYTES_MAX: usize = 125;

/// RFC 6455 §5.2: the longest payload whose header has no further bytes for its length.
const SHORT_BYTES_MAX: usize = 125;

/// Bytes that are copied and then masked at a time, so that they are still in the cache when
/// masked.
const BLOCK_BYTES: usize = 16 * 1024;

/// Which part of a fragmented message a frame is: RFC 6455 §5.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// The first of several: text or binary.
    First(Opcode),
    /// A fragment between the first and the last.
    Middle,
    /// The last fragment.
    Last,
}

/// Appends a final frame, masked if there is a key.
///
/// ```
/// use ringway_frame::{Opcode, emit_frame};
/// let mut out = Vec::new();
/// emit_frame(&mut out, None, Opcode::Text, b"hi");
/// assert_eq!(out, [0x81, 2, b'h', b'i']);
/// ```
#[inline]
pub fn emit_frame(out: &mut Vec<u8>, mask: Option<[u8; 4]>, opcode: Opcode, payload: &[u8]) {
    let header = Header::new(opcode, payload.len() as u64);
    if mask.is_none() && payload.len() <= SHORT_BYTES_MAX {
        // Most frames of a server: a header of two bytes is a store, not a copy.
        let mut head = [0; 2];
        header.emit(&mut head);
        out.reserve(head.len() + payload.len());
        out.extend_from_slice(&head);
        return out.extend_from_slice(payload);
    }
    append(out, &Header { mask, ..header }, payload);
}

/// Appends a final frame whose payload is a message compressed by permessage-deflate:
/// RSV1 is set (RFC 7692 §7.2.1).
pub fn emit_compressed_frame(
    out: &mut Vec<u8>,
    mask: Option<[u8; 4]>,
    opcode: Opcode,
    payload: &[u8],
) {
    let rsv = Rsv::RSV1;
    let header = Header::new(opcode, payload.len() as u64);
    append(out, &Header { mask, rsv, ..header }, payload);
}

/// Appends one frame of a fragmented message.
///
/// ```
/// use ringway_frame::{Fragment, Opcode, emit_fragment};
/// let mut out = Vec::new();
/// emit_fragment(&mut out, None, Fragment::First(Opcode::Text), b"h");
/// emit_fragment(&mut out, None, Fragment::Last, b"i");
/// assert_eq!(out, [0x01, 1, b'h', 0x80, 1, b'i']);
/// ```
pub fn emit_fragment(out: &mut Vec<u8>, mask: Option<[u8; 4]>, fragment: Fragment, payload: &[u8]) {
    let opcode = match fragment {
        Fragment::First(opcode) => opcode,
        Fragment::Middle | Fragment::Last => Opcode::Continuation,
    };
    let fin = fragment == Fragment::Last;
    let header = Header::new(opcode, payload.len() as u64);
    append(out, &Header { mask, fin, ..header }, payload);
}

/// Appends a ping.
///
/// # Panics
/// If `payload` is over [`CONTROL_BYTES_MAX`].
pub fn emit_ping(out: &mut Vec<u8>, mask: Option<[u8; 4]>, payload: &[u8]) {
    assert!(payload.len() <= CONTROL_BYTES_MAX, "RFC 6455 §5.5");
    emit_frame(out, mask, Opcode::Ping, payload);
}

/// Appends a pong: RFC 6455 §5.5.3 requires the payload of the ping.
///
/// # Panics
/// If `payload` is over [`CONTROL_BYTES_MAX`].
pub fn emit_pong(out: &mut Vec<u8>, mask: Option<[u8; 4]>, payload: &[u8]) {
    assert!(payload.len() <= CONTROL_BYTES_MAX, "RFC 6455 §5.5");
    emit_frame(out, mask, Opcode::Pong, payload);
}

/// Appends a close frame. The reason is cut to at most 123 bytes at a character boundary; without a
/// code the payload is empty and the reason is dropped.
///
/// ```
/// use ringway_frame::{CloseCode, emit_close};
/// let mut out = Vec::new();
/// emit_close(&mut out, None, CloseCode::NORMAL, "bye");
/// assert_eq!(out, b"\x88\x05\x03\xE8bye");
/// ```
pub fn emit_close(
    out: &mut Vec<u8>,
    mask: Option<[u8; 4]>,
    code: impl Into<Option<CloseCode>>,
    reason: &str,
) {
    let mut payload = [0; CONTROL_BYTES_MAX];
    let length = match code.into() {
        None => 0,
        Some(code) => {
            let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
            payload[..2].copy_from_slice(&u16::from(code).to_be_bytes());
            payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
            2 + reason.len()
        }
    };
    emit_frame(out, mask, Opcode::Close, &payload[..length]);
}

/// Writes `header` so that it ends at `payload_start` and returns where it begins.
///
/// ```
/// use ringway_frame::{HEADER_BYTES_MAX, Header, Opcode, emit_header_before};
/// let mut buffer = [&[0; HEADER_BYTES_MAX][..], b"hi"].concat();
/// let header = Header::new(Opcode::Text, 2);
/// let start = emit_header_before(&mut buffer, HEADER_BYTES_MAX, &header);
/// assert_eq!(buffer[start..], [0x81, 2, b'h', b'i']);
/// ```
///
/// # Panics
/// If the header does not fit before `payload_start`; [`HEADER_BYTES_MAX`] bytes are
/// always enough.
#[inline]
pub fn emit_header_before(buffer: &mut [u8], payload_start: usize, header: &Header) -> usize {
    let start = payload_start.checked_sub(header.bytes()).expect("headroom for the header");
    header.emit(&mut buffer[start..payload_start]);
    start
}

#[inline]
fn append(out: &mut Vec<u8>, header: &Header, payload: &[u8]) {
    out.reserve(HEADER_BYTES_MAX + payload.len());
    let mut head = [0; HEADER_BYTES_MAX];
    let head_bytes = header.emit(&mut head);
    let Some(key) = header.mask else {
        out.extend_from_slice(&head[..head_bytes]);
        return out.extend_from_slice(payload);
    };
    out.extend_from_slice(&head[..head_bytes]);
    let mut phase = 0;
    for block in payload.chunks(BLOCK_BYTES) {
        let start = out.len();
        out.extend_from_slice(block);
        phase = mask::unmask(&mut out[start..], key, phase);
    }
}
