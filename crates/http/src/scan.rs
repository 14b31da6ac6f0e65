//! Finds the end of a head in one pass over the bytes, however they arrive.
//!
//! Refuses the first byte that no head may contain, so that a TLS hello or a bare LF does not have
//! to time out. It keeps three bytes of state and never looks back.

/// The position of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scan {
    /// Before the first byte of the first line: RFC 9112 §2.2 lets empty lines precede a request.
    #[default]
    Before,
    /// After a CR before the first line.
    BeforeCr,
    /// Inside a line.
    InLine,
    /// After a CR.
    Cr,
    /// At the start of a line.
    LineStart,
    /// After a CR at the start of a line: the LF ends the head.
    LastCr,
}

/// The result of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The head has not ended yet.
    More,
    /// The head ends after this many of the bytes.
    End(usize),
}

/// A byte that no head may contain: RFC 9112 §2.2 (bare CR, bare LF), §5.2 (obs-fold), RFC 9110
/// §5.5 (NUL and other controls).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Illegal;

impl Scan {
    /// Scans the next bytes; after `End` the scan starts again.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Found, Illegal> {
        for (index, &byte) in bytes.iter().enumerate() {
            *self = match (*self, byte) {
                (Self::Before, b'\r') => Self::BeforeCr,
                (Self::BeforeCr, b'\n') => Self::Before,
                (Self::InLine, b'\r') => Self::Cr,
                (Self::Cr, b'\n') => Self::LineStart,
                (Self::LineStart, b'\r') => Self::LastCr,
                (Self::LastCr, b'\n') => {
                    *self = Self::Before;
                    return Ok(Found::End(index + 1));
                }
                (Self::LineStart, b' ' | b'\t') => return Err(Illegal),
                (Self::InLine, b'\t') => Self::InLine,
                (Self::Before | Self::InLine | Self::LineStart, b' '..=b'~' | 0x80..) => {
                    Self::InLine
                }
                _ => return Err(Illegal),
            };
        }
        Ok(Found::More)
    }

    /// Whether no byte of a head has arrived.
    pub fn is_before(self) -> bool {
        matches!(self, Self::Before | Self::BeforeCr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_at_every_split() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let end = head.len() - 4;
        for split in 0..end {
            let mut scan = Scan::default();
            assert_eq!(scan.advance(&head[..split]), Ok(Found::More), "{split}");
            assert_eq!(scan.advance(&head[split..]), Ok(Found::End(end - split)), "{split}");
            assert!(scan.is_before());
        }
    }

    #[test]
    fn a_byte_that_no_head_may_contain_is_refused_there() {
        for head in [
            &b"GET / HTTP/1.1\n"[..],
            b"GET / HTTP/1.1\rH",
            b"GET / HTTP/1.1\r\n ",
            b"GET / HTTP/1.1\r\n\t",
            b"GET /\0",
            b"\x16",
            b"\n",
            b"GET / HTTP/1.1\r\nA: b\x7f",
            b"GET / HTTP/1.1\r\n\r\r",
        ] {
            let (most, last) = head.split_at(head.len() - 1);
            let mut scan = Scan::default();
            assert_eq!(scan.advance(most), Ok(Found::More), "{head:?}");
            assert_eq!(scan.advance(last), Err(Illegal), "{head:?}");
        }
    }
}
